# Databases without the extension, three sources whose triggers write the calls
# and one dispatcher that makes them: every event arrives, and only a kill may
# repeat some, under the same event_id.  No raw identifier is at rest.
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

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util qw(min);

my $events = $ENV{PINTEREST_CAPI_SCALE_EVENTS} // 600;
my $patience = 60 + $events / 100;
my $script = "$FindBin::RealBin/../sources/pinterest_capi_source.sql";

my $stub = PinterestStub->new;
my $dispatcher = setup_node('dispatcher', $stub,
	conf =>
	  "max_worker_processes = 16\nwal_level = logical\nshared_preload_libraries = 'pinterest_capi'\n"
);

# A database whose owner is no superuser, with a shop's table.
sub source
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(
		allows_streaming => 'logical',
		extra => [ '-E', 'UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf',
		"log_statement = none\nrestart_after_crash = on\nwal_keep_size = 1GB\n"
	);
	$node->start;
	$node->safe_psql(
		'postgres', q{
		CREATE ROLE owner LOGIN;
		CREATE ROLE shop LOGIN;
		CREATE ROLE dispatcher LOGIN REPLICATION;
		CREATE DATABASE app OWNER owner});
	$node->command_ok(
		[
			'psql', '-XAtq', '-1', '-v', 'ON_ERROR_STOP=1', '-U', 'owner',
			'-d', $node->connstr('app'),
			'-f', $script
		],
		"$name: the script runs as the database's owner");
	$node->safe_psql(
		'app', q{
		CREATE TABLE orders (id text PRIMARY KEY, customer_email text, total numeric, status text);
		CREATE TRIGGER pinterest_checkout AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'paid')
			EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'email=customer_email', 'value=total', 'currency:=EUR',
				'order_id=id', 'event_id=id', 'content_ids=(ARRAY[$1.id])');
		GRANT INSERT, SELECT ON orders TO shop;
		CREATE PROCEDURE many(prefix text, first int, last int, pause float8 DEFAULT 0) LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN first..last LOOP
				INSERT INTO orders VALUES (prefix || i, 'Quokka.' || i || '@Qvexil.example', i, 'paid') ON CONFLICT DO NOTHING;
				IF i % 20 = 0 THEN
					COMMIT;
					PERFORM pg_sleep(pause);	-- so that there is a middle to kill it in
				END IF;
			END LOOP;
		END $$;
		SELECT pinterest_capi.publish('dispatcher')},
		extra_params => [ '-U', 'owner' ]);
	return $node;
}

sub app
{
	my ($node, $sql, $user) = @_;
	return $node->safe_psql('app', $sql,
		extra_params => [ '-U', $user // 'owner' ]);
}

my @shop = map { source("shop_$_") } 1 .. 3;
for my $n (1 .. 3)
{
	$dispatcher->safe_psql(
		'postgres',
		"SELECT pinterest_capi.subscribe('"
		  . (
			($shop[ $n - 1 ]->connstr('app') . ' user=dispatcher') =~
			  s/'/''/gr)
		  . "', 'shop_$n')");
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

$stub->reset;
my @load;
for my $n (0 .. 2)
{
	# of the second source, only the first half
	my $last = $n == 1 ? $events / 2 : $events;

	push @load,
	  IPC::Run::start(
		[
			'psql', '-XAtq', '-U', 'owner', '-d', $shop[$n]->connstr('app'),
			'-c', "CALL many('load-$n-', 1, $last, 0.02)"
		],
		'<' => \undef,
		'>' => \my $o,
		'2>' => \my $e);
}
ok(poll(sub { $stub->count->{distinct} > 100 }, $patience), 'the load flows');
$shop[0]->stop('immediate');
ok(!$load[0]->finish, 'the load of a source that is killed ends');
$shop[0]->start;
my $committed =
  app($shop[0], q{SELECT count(*) FROM orders WHERE id LIKE 'load-0-%'});
cmp_ok($committed, '<', $events, "killed in the middle, after $committed");

$shop[1]->safe_psql(
	'postgres', q{
	ALTER ROLE dispatcher NOLOGIN;
	SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active}
);
ok($load[1]->finish, 'all of the load of one that is cut off commits');
ok( $dispatcher->poll_query_until(
		'postgres', q{
		SELECT count(*) = 1 FROM pinterest_capi.doctor() WHERE status = 'warning' AND advice LIKE 'The subscription shop\_2 takes the calls of a source and is not connected%'}
	),
	'which doctor() says');
app($shop[1], "CALL many('load-1-', 1, $events)");
app($shop[0], "CALL many('load-0-', 1, $events)");

$dispatcher->stop('immediate');
$dispatcher->start;
ok($load[2]->finish, 'no load notices that the dispatcher is killed');
my $before = $stub->count->{distinct};
$shop[1]->safe_psql('postgres', 'ALTER ROLE dispatcher LOGIN');
ok($stub->wait_count(distinct => 3 * $events, $patience), 'all arrive');
cmp_ok($before, '<', 3 * $events, 'not before it was let in again');
my %seen;
$seen{ $_->{event}{event_id} }++
  for grep { $_->{verdict} eq 'processed' } $stub->received;
my @missing = grep { !$seen{$_} } map {
	my $n = $_;
	map { "load-$n-$_" } 1 .. $events
} 0 .. 2;
is(scalar @missing, 0, 'none is lost')
  or diag("missing: @missing[0 .. min(9, $#missing)]");
is(scalar keys %seen, 3 * $events, 'none that nobody wrote');
ok( $dispatcher->poll_query_until(
		'postgres', q{
		SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
	),
	'the dispatcher has a verdict on each');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT string_agg(origin || ' ' || status || ' ' || n, ', ' ORDER BY origin) FROM (
			SELECT origin, status, count(*) AS n FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'load-%' GROUP BY 1, 2) AS c}
	),
	"shop_1 sent $events, shop_2 sent $events, shop_3 sent $events",
	'status and origin');
my $unknown = $dispatcher->safe_psql(
	'postgres', q{
	SELECT count(*) FROM pinterest_capi.dispatch_status WHERE 'outcome of an earlier attempt unknown' = ANY (warnings)}
);
cmp_ok($stub->count->{duplicates},
	'<=', $unknown, 'twice came only what says so');

# ---- no row stays, and no carried row holds a raw identifier ----

is(app($_, 'SELECT count(*) FROM pinterest_capi._call'),
	'0', $_->name . ': no row stays')
  for @shop;
is( $dispatcher->safe_psql(
		'postgres', 'SELECT count(*) FROM pinterest_capi._call'),
	'0',
	'nor at the dispatcher');

# The application's own table has the addresses, so the search is for track()'s arguments alone.
app($_,
	q{SELECT pinterest_capi.track('checkout', '{"order_id": "canary"}', '{"em": "Wombatine@Zyx.example", "fn": "Wombatine", "ph": "+49 176 80817263"}', 'wombatine-cookie');
	SELECT pinterest_capi.identify('wombatine-cookie', '{"ln": "Wombatine"}')}
) for @shop;
$dispatcher->safe_psql('postgres', 'DROP SUBSCRIPTION shop_' . $_) for 1 .. 3;
for my $node (@shop, $dispatcher)
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->stop;
	my $found =
	  files_with('wombatine|17680817263|176 80817263', $node->data_dir);
	is($found, '',
		$node->name
		  . ': no raw identifier in the data directory, the WAL and the log');
}
like(files_with('canary', $shop[0]->data_dir . '/pg_wal'),
	qr/./, 'the search finds what is carried');

sub files_with
{
	my ($pattern, $dir) = @_;
	my ($found, $errors) = ('', '');

	local $ENV{LC_ALL} = 'C';
	IPC::Run::run(
		[ 'grep', '-r', '-a', '-l', '-i', '-E', $pattern, $dir ],
		'>' => \$found,
		'2>' => \$errors);
	return $found;
}

done_testing();
