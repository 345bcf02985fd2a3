# Three sources, servers of several versions without the extension, whose triggers
# write the calls, and one dispatcher that makes them: every event arrives, and only
# a kill may repeat some, under the same event_id.  No raw identifier is in the
# sources' data directories, their WAL and logs, or in the stream between them.
#
# One source is killed and one is disconnected during the load, and the dispatcher
# is killed too.  The test counts what the stub received.
#
# PINTEREST_CAPI_SCALE_EVENTS=N		events of each source, 600 unless given; 20000 is the full run
use strict;
use warnings;

use FindBin;
use IPC::Run ();
use lib $FindBin::RealBin;

use FaninLoad;
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SourceServers;
use Test::More;

my $events = $ENV{PINTEREST_CAPI_SCALE_EVENTS} // 600;
my $patience = 60 + $events / 100;

my $stub = PinterestStub->new;
my $dispatcher = setup_node('dispatcher', $stub,
	conf =>
	  "max_worker_processes = 16\nwal_level = logical\nshared_preload_libraries = 'pinterest_capi'\n"
);

# A database whose owner is no superuser, with a shop's table.  A second slot keeps
# the stream, too.  Of each second order, the table has no address: the trigger
# makes it of another column, so that whatever has the address got it from us.
sub source
{
	my ($server, $name) = @_;
	my $node = new_source($server, $name,
		"restart_after_crash = on\nwal_keep_size = 1GB\n");

	$node->safe_psql(
		'postgres', q{
		CREATE ROLE owner LOGIN;
		CREATE ROLE shop LOGIN;
		CREATE ROLE dispatcher LOGIN REPLICATION;
		CREATE DATABASE app OWNER owner});
	ok( (load_script($node, 'app', 'owner'))[0],
		"$name: the script runs as the database's owner");
	$node->safe_psql('app',
		q{SELECT pg_create_logical_replication_slot('capture', 'pgoutput')});
	$node->safe_psql(
		'app', q{
		CREATE TABLE orders (id text PRIMARY KEY, customer_email text, total numeric, status text, turned text);
		CREATE TRIGGER pinterest_checkout AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'paid' AND NEW.turned IS NULL)
			EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'email=customer_email', 'value=total', 'currency:=EUR',
				'order_id=id', 'event_id=id');
		CREATE TRIGGER pinterest_turned AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'paid' AND NEW.turned IS NOT NULL)
			EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'value=total', 'currency:=EUR', 'event_id=id',
				'email=(pg_catalog.translate($1.turned, ''abcdefghijklmnopqrstuvwxyz'', ''nopqrstuvwxyzabcdefghijklm''))');
		GRANT INSERT, SELECT ON orders TO shop;
		SELECT pinterest_capi.publish('dispatcher');}
		  . many_procedure(
			q{INSERT INTO orders VALUES (prefix || i, CASE WHEN i % 2 = 1 THEN 'Wallaby.' || i || '@Zyxwombat.example' END, i, 'paid',
				CASE WHEN i % 2 = 0 THEN 'dhbxxn.' || i || '@dirkvy.rknzcyr' END) ON CONFLICT DO NOTHING}
		  ),
		extra_params => [ '-U', 'owner' ]);
	return $node;
}

sub app
{
	my ($node, $sql, $user) = @_;
	return $node->safe_psql('app', $sql,
		extra_params => [ '-U', $user // 'owner' ]);
}

my @servers = source_servers();
my @shop =
  map { source($servers[ ($_ - 1) % @servers ], "shop_$_") } 1 .. 3;
for my $n (1 .. 3)
{
	$dispatcher->safe_psql('postgres',
			'SELECT pinterest_capi.subscribe('
		  . quoted_connection($shop[ $n - 1 ], 'app', 'dispatcher')
		  . ", 'shop_$n')");
}
ok( $dispatcher->poll_query_until(
		'postgres', q{
		SELECT count(*) = 3 FROM pinterest_capi.doctor() WHERE status = 'ok' AND advice LIKE 'The subscription shop\__ takes the calls of a source: last heard of it % s ago, % bytes %'}
	),
	'doctor() lists the sources');

# ---- calls at the dispatcher ----

app($shop[0], q{
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'by-hand');
	BEGIN;
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'rolled-back');
	ROLLBACK;
	BEGIN;
	SAVEPOINT s;
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'rolled-back-2');
	ROLLBACK TO s;
	SELECT pinterest_capi.track('checkout', '{"value": 2, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'by-hand-2');
	COMMIT;
	SELECT pinterest_capi.track('Unheard Of', '{}', '{"em": "a@example.com"}', event_id => 'not-allowed');
	SELECT pinterest_capi.track('checkout', '{"value": 2, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'where', destination => 'nowhere')}
);
ok($stub->wait_count(processed => 2, $patience),
	'what was committed is sent');
ok( $dispatcher->poll_query_until(
		'postgres',
		q{SELECT count(*) = 4 FROM pinterest_capi.dispatch_status}),
	'and the others are recorded');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT string_agg(event_id || ' ' || status || ' ' || coalesce(reason, '') || ' ' || origin, ', ' ORDER BY id) FROM pinterest_capi.dispatch_status}
	),
	'by-hand sent  shop_1, by-hand-2 sent  shop_1, not-allowed suppressed not allowed shop_1, where rejected unknown destination shop_1',
	'with where they come from');

# identify and clicks keep their order, and forget reaches all
app($shop[0], q{
	SELECT pinterest_capi.identify('cookie', '{"em": "stored@example.com", "fn": "Ana"}');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'cookie', event_id => 'known-1');
	SELECT pinterest_capi.identify('cookie', '{"fn": null, "external_id": "4711"}');
	SELECT pinterest_capi.capture_click('cookie', 'https://shop.example/?epik=first');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'cookie', event_id => 'known-2');
	SELECT pinterest_capi.capture_click('cookie', 'https://shop.example/?epik=second');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'cookie', event_id => 'known-3')}
);
ok($stub->wait_count(processed => 5, $patience), 'visitors are known');
my %user = map { $_->{event}{event_id} => $_->{event}{user_data} }
  grep { $_->{event}{event_id} =~ /^known/ } $stub->received;
my %stored = (em => [ sha256_hex('stored@example.com') ]);
is_deeply(
	$user{'known-1'},
	{ %stored, fn => [ sha256_hex('ana') ] },
	'by what identify() stored before');
is_deeply(
	$user{'known-2'},
	{ %stored, external_id => [ sha256_hex('4711') ], click_id => 'first' },
	'not by what it cleared, and by the click');
is_deeply(
	$user{'known-3'},
	{ %stored, external_id => [ sha256_hex('4711') ], click_id => 'second' },
	'by the newer click');
is(app($shop[1], q{SELECT pinterest_capi.forget('cookie') IS NULL}),
	't', 'forgotten at another source');
ok( $dispatcher->poll_query_until(
		'postgres', q{SELECT count(*) = 0 FROM pinterest_capi._visitor}),
	'is forgotten at the dispatcher');
app($shop[0],
	q{SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'cookie', event_id => 'forgotten')}
);
ok( $dispatcher->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pinterest_capi.dispatch_status WHERE event_id = 'forgotten' AND reason = 'forgotten'}
	),
	'and what comes later is suppressed');

# A rule that compares a value that a source has hashed stops the event; a rule may ask whether the value exists.
$dispatcher->safe_psql(
	'postgres', q{INSERT INTO pinterest_capi.consent_rule VALUES
	('place', NULL, 'stop', '$.user.country == "US"'), ('known', NULL, 'require', 'exists($.user.em)')}
);
app($shop[0], q{
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com", "country": "DE"}', event_id => 'rule-1');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"external_id": "1"}', event_id => 'rule-2');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'rule-3')}
);
ok( $dispatcher->poll_query_until(
		'postgres',
		q{SELECT count(*) = 3 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'rule-%' AND status <> 'queued'}
	),
	'rules are asked');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT string_agg(event_id || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY event_id) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'rule-%'}
	),
	'rule-1 suppressed consent rule place, rule-2 suppressed consent rule known, rule-3 sent',
	'and fail closed');
$dispatcher->safe_psql('postgres', 'DELETE FROM pinterest_capi.consent_rule');

# A row that the script would not make must not stop the others.
app($shop[2], q~
	INSERT INTO pinterest_capi._call (kind, called_at, event_name, event_id, call) VALUES
		('track', now(), 'checkout', 'broken-1', '{"not": json'), ('track', now(), 'checkout', 'broken-2', '[]'), ('track', now(), NULL, 'broken-3', '{"version": 1}'),
		('track', now(), 'checkout', 'broken-4', '{"version": 0}'), ('identify', now(), NULL, NULL, '7'), ('forget', now(), NULL, NULL, '{"version": 1}'),
		('track', now(), 'checkout', 'broken-5', repeat('[', 100000)), ('other', now(), NULL, NULL, '{"version": 1}'),
		('track', 'infinity', 'checkout', 'broken-6', '{"version": 1, "user_data": {"em": {"hash": 5}, "ph": {"national": []}}, "properties": 7, "marks": 7}');
	DELETE FROM pinterest_capi._call;
	INSERT INTO orders VALUES ('after-broken', 'a@example.com', 1, 'paid')~);
ok($stub->wait_count(processed => 7, $patience),
	'what follows broken rows arrives');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT string_agg(event_id || ' ' || status || ' ' || reason, ', ' ORDER BY event_id) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'broken%'}
	),
	'broken-1 rejected unreadable call, broken-2 rejected unreadable call, broken-3 rejected missing event name, '
	  . 'broken-4 rejected unreadable call, broken-5 rejected unreadable call, broken-6 rejected invalid event time',
	'which are rejected');

# ---- load, with one source killed, one disconnected, and the dispatcher killed ----

run_load(
	stub => $stub,
	dispatcher => $dispatcher,
	shop => \@shop,
	database => 'app',
	user => 'owner',
	events => $events,
	patience => $patience,
	pause => 0.02,
	committed => q{SELECT count(*) FROM orders WHERE id LIKE 'load-0-%'},
	while_cut => sub {
		ok( $dispatcher->poll_query_until(
				'postgres', q{
				SELECT count(*) = 1 FROM pinterest_capi.doctor() WHERE status = 'warning' AND advice LIKE 'The subscription shop\_2 takes the calls of a source and is not connected%'}
			),
			'doctor() says which is not connected');
	});
my %em = map { $_->{event}{event_id} => $_->{event}{user_data}{em}[0] }
  $stub->received;
is( $em{'load-0-1'},
	sha256_hex('wallaby.1@zyxwombat.example'),
	'an address that is a column');
is( $em{'load-2-2'},
	sha256_hex('quokka.2@qvexil.example'),
	'an address that an expression makes');

# ---- no row stays, and no carried row holds a raw identifier ----

is(app($_, 'SELECT count(*) FROM pinterest_capi._call'),
	'0', $_->name . ': no row stays')
  for @shop;
is( $dispatcher->safe_psql(
		'postgres', 'SELECT count(*) FROM pinterest_capi._call'),
	'0',
	'nor at the dispatcher');

app($_,
	q{SELECT pinterest_capi.track('checkout', '{"order_id": "canary"}', '{"em": "Wombatine@Zyx.example", "fn": "Wombatine", "ph": "+49 176 80817263"}', 'wombatine-cookie');
	SELECT pinterest_capi.identify('wombatine-cookie', '{"ln": "Wombatine"}')}
) for @shop;

# Return the file with all that a dispatcher of this source gets.
sub captured
{
	my ($node) = @_;
	my $file =
	  PostgreSQL::Test::Utils::tempdir() . '/' . $node->name . '.stream';

	command_ok(
		[
			'pg_recvlogical', '-d', $node->connstr('app'),
			'--slot' => 'capture',
			'--start', '--no-loop',
			'--endpos' =>
			  $node->safe_psql('app', 'SELECT pg_current_wal_lsn()'),
			'--option' => 'proto_version=1',
			'--option' => 'publication_names=pinterest_capi',
			'--file' => $file
		],
		$node->name . ': the stream');
	return $file;
}
my $raw = 'wombatine|17680817263|176 80817263|quokka|qvexil';
for my $node (@shop)
{
	my $stream = captured($node);

	is(files_with("$raw|wallaby|zyxwombat", $stream),
		'', $node->name . ': no raw identifier in the stream');
	like(files_with('canary', $stream), qr/./, 'which has the calls');
	like(files_with('load-[012]-' . $events, $stream),
		qr/./, 'and those of the load');
}
$dispatcher->safe_psql('postgres', 'DROP SUBSCRIPTION shop_' . $_) for 1 .. 3;
for my $node (@shop, $dispatcher)
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->stop;
	is( files_with($raw, $node->data_dir, $node->logfile),
		'',
		$node->name
		  . ': no raw identifier in the data directory, the WAL and the log');
}
for my $node (@shop)
{
	my $wal = $node->data_dir . '/pg_wal';

	like(files_with('canary', $wal),
		qr/./, $node->name . ': the search finds what is carried');
	like(files_with('dirkvy', $wal),
		qr/./, 'and what the application has written');
}

sub files_with
{
	my ($pattern, @where) = @_;
	my ($found, $errors) = ('', '');

	local $ENV{LC_ALL} = 'C';
	IPC::Run::run(
		[ 'grep', '-r', '-a', '-l', '-i', '-E', $pattern, @where ],
		'>' => \$found,
		'2>' => \$errors);
	return $found;
}

done_testing();
