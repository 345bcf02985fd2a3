# Fan-in by logical replication, three servers that only enqueue and one that
# sends: every event arrives, and only a kill may repeat some, under the same
# event_id.
#
# One publisher is killed, one is disconnected during the stream, and the
# dispatcher is killed too.  The test counts what the stub received.
#
# PINTEREST_CAPI_SCALE_EVENTS=N		events on each publisher, 2000 unless given; 20000 is the full run
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use FaninLoad;
use PinterestStub qw(:DEFAULT track_sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $events = $ENV{PINTEREST_CAPI_SCALE_EVENTS} // 2000;
my $patience = 30 + $events / 100;

my $stub = PinterestStub->new;
my $dispatcher = setup_node('dispatcher', $stub,
	conf =>
	  "max_worker_processes = 16\nwal_level = logical\nshared_preload_libraries = 'pinterest_capi'"
);
my $token = PinterestStub::TOKEN;

# An application's server: destinations by name, no token.
sub publisher
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(
		allows_streaming => 'logical',
		extra => [ '-E', 'UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
pinterest_capi.dispatch = off
restart_after_crash = on
CONF
	$node->start;
	$node->safe_psql(
		'postgres', q{
		CREATE EXTENSION pinterest_capi;
		INSERT INTO pinterest_capi.destination (destination) VALUES ('second'), ('default');
		SELECT pinterest_capi.allow_event('checkout');
		CREATE ROLE dispatcher LOGIN REPLICATION;}
		  . many_procedure(
			q{PERFORM pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => prefix || i)}
		  ));
	return $node;
}

sub subscribe
{
	my ($node, $name) = @_;

	$dispatcher->safe_psql('postgres',
			'SELECT pinterest_capi.subscribe('
		  . quoted_connection($node, 'postgres', 'dispatcher')
		  . ", '$name')");
	return;
}

sub fails
{
	my ($node, $sql, $like, $name) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql);

	isnt($status, 0, "$name: refused");
	like($err, $like, "$name: why");
	return;
}

my @shop = map { publisher("shop_$_") } 1 .. 3;

# ---- setting up ----

fails(
	$dispatcher,
	q{SELECT pinterest_capi.subscribe(NULL, 'a')},
	qr/must not be null/,
	'no connection');
fails(
	$dispatcher,
	q{SELECT pinterest_capi.subscribe('dbname=postgres', 'A b')},
	qr/lower-case letters/,
	'a name that is no slot\'s');
fails(
	$dispatcher,
	q{SELECT pinterest_capi.subscribe('host=/nonexistent password=geheim', 'a')},
	qr/could not connect/,
	'no server listens');
fails(
	$dispatcher,
	"BEGIN; SELECT pinterest_capi.subscribe('dbname=postgres', 'a'); COMMIT",
	qr/transaction block/,
	'in a transaction');
my $quoted = quoted_connection($shop[0], 'postgres', 'dispatcher');
fails(
	$dispatcher,
	"SELECT pinterest_capi.subscribe($quoted, 'shop_1')",
	qr/permission denied for function _make_slot/,
	'before publish');
unlike(slurp_file($dispatcher->logfile), qr/geheim/,
	'no password in the log');

# Events queued before the publication are handed over, too.
$shop[0]->safe_psql('postgres', q{CALL many('early-', 1, 50)});
is( $shop[0]->safe_psql(
		'postgres',
		q{SELECT DISTINCT status, reason FROM pinterest_capi.dispatch_status}
	),
	'queued|destination not ready: no Tag ID, no access token, no ad account id',
	'queued before publishing');
is( $_->safe_psql(
		'postgres', 'SELECT pinterest_capi.publish(\'dispatcher\')'),
	'0',
	'published') for @shop;
is($shop[0]->safe_psql('postgres', 'SELECT pinterest_capi.publish()'),
	'0', 'publishing twice is no error');
$shop[0]->safe_psql('postgres', q{CALL many('between-', 1, 50)});
is( $shop[0]->safe_psql(
		'postgres',
		q{SELECT DISTINCT status, reason FROM pinterest_capi.dispatch_status}
	),
	'queued|waits for the dispatcher',
	'queued before anybody subscribed');
like(
	$shop[0]->safe_psql(
		'postgres',
		q{SELECT message FROM pinterest_capi.destination_status WHERE destination = 'default'}
	),
	qr/another server sends.*no dispatcher has subscribed/,
	'which the view says');
is( $shop[0]
	  ->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots}),
	'0',
	'a refused call has created no slot');
subscribe($shop[$_], 'shop_' . ($_ + 1)) for 0 .. 2;
fails(
	$dispatcher,
	"SELECT pinterest_capi.subscribe($quoted, 'shop_1')",
	qr/already exists/,
	'the same name again');
is( $shop[0]
	  ->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots}),
	'1',
	'and no second slot exists');
ok($stub->wait_count(processed => 100, $patience),
	'events queued before are sent');
is($stub->count->{duplicates}, 0, 'once');
ok( $shop[0]->poll_query_until(
		'postgres', q{
		SELECT count(*) = 100 FROM pinterest_capi.dispatch_status
		WHERE status = 'queued' AND reason = 'handed over to the dispatcher' AND finished_at IS NOT NULL}
	),
	'the server where it was tracked is done with it');
is( $shop[0]
	  ->safe_psql('postgres', q{SELECT pinterest_capi.flush('30 seconds')}),
	't',
	'flush there waits for that');

# ---- rows at the dispatcher ----

$shop[0]->safe_psql(
	'postgres', q{
	BEGIN;
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'rolled-back');
	ROLLBACK;
	SELECT pinterest_capi.track('Unheard Of', '{}', '{"em": "a@example.com"}', event_id => 'not-allowed');
	SELECT pinterest_capi.track('checkout', '{"value": 2, "currency": "EUR"}', '{"em": "b@example.com"}', 'visitor', event_id => 'twice')}
);
$shop[1]->safe_psql(
	'postgres', q{
	SELECT pinterest_capi.track('checkout', '{"value": 2, "currency": "EUR"}', '{"em": "b@example.com"}', event_id => 'twice');
	SELECT pinterest_capi.allow_event('checkout', NULL, 'second');
	SELECT pinterest_capi.track('checkout', '{"value": 3, "currency": "EUR"}', '{"em": "b@example.com"}', event_id => 'other', destination => 'second');
	SELECT pinterest_capi.disallow_event('checkout', 'second')});
ok( $stub->wait_count(processed => 101, $patience),
	'the same event at two servers is one');
ok( $dispatcher->poll_query_until(
		'postgres', q{
		SELECT count(*) = 1 FROM pinterest_capi.dispatch_status WHERE event_id = 'other'}
	),
	'a destination that the dispatcher doesn\'t know');
is( $dispatcher->safe_psql(
		'postgres',
		q{SELECT status, reason, destination, origin FROM pinterest_capi.dispatch_status WHERE event_id = 'other'}
	),
	'queued|destination not ready: not configured on this server|second|shop_2',
	'waits for its configuration');
$dispatcher->safe_psql(
	'postgres', qq{
	SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '$token', '@{[PinterestStub::ACCOUNT]}', 'second');
	UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'});
ok($stub->wait_count(processed => 102, $patience), 'and is sent then');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT string_agg(origin || ':' || n, ' ' ORDER BY origin)
		FROM (SELECT origin, count(*) AS n FROM pinterest_capi.dispatch_status WHERE event_id IN ('twice', 'other', 'early-1') GROUP BY 1) AS c}
	) =~ /^shop_1:[12] shop_2:[12]$/ ? 'yes' : 'no',
	'yes',
	'origins');
is( $dispatcher->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id IN ('rolled-back', 'not-allowed')}
	),
	'0',
	'events rolled back or final at the publisher stay there');
is( $shop[0]->safe_psql(
		'postgres',
		q{SELECT status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'not-allowed'}
	),
	'suppressed|not allowed',
	'and is seen there');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT count(*), count(DISTINCT id) FROM pinterest_capi.dispatch_status}),
	'102|102',
	'ids don\'t collide');
ok( $shop[0]->safe_psql('postgres',
		q{SELECT created_at FROM pinterest_capi.dispatch_status WHERE event_id = 'twice'}
	) ne '',
	'tracked');
is( $_->safe_psql('postgres', 'SELECT count(*) FROM pinterest_capi._secret'),
	'0',
	'no token on an application\'s server') for @shop;

# A person forgotten at the dispatcher stays forgotten.
$dispatcher->safe_psql('postgres',
	q{SELECT pinterest_capi.forget(user_data => '{"em": "gone@example.com"}')}
);
$shop[2]->safe_psql(
	'postgres', q{
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "gone@example.com"}', event_id => 'gone')}
);
ok( $dispatcher->poll_query_until(
		'postgres', q{
		SELECT status = 'suppressed' AND reason = 'forgotten' AND payload IS NULL FROM pinterest_capi.dispatch_status WHERE event_id = 'gone'}
	),
	'forgotten at the dispatcher, suppressed from any server');

# A row that this extension would not make must not stop the others.
$shop[2]->safe_psql(
	'postgres', q~
	INSERT INTO pinterest_capi._event (created_at, event_time, dest, event_id, event_name, payload, destination)
		VALUES (now(), now(), 1, 'broken', 'checkout', '{"not": json', 'default'),
			(now(), now(), 1, 'broken-2', 'checkout', '[]', 'default');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'after-broken')~
);
ok($stub->wait_count(processed => 103, $patience),
	'events after a broken row arrive');
is( $dispatcher->safe_psql(
		'postgres', q{
		SELECT string_agg(status || '|' || reason, ' ' ORDER BY id) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'broken%'}
	),
	'rejected|invalid payload rejected|invalid payload',
	'which is rejected');

# cancelling at the publisher after the handover
$dispatcher->safe_psql('postgres', 'ALTER SUBSCRIPTION shop_3 DISABLE');
ok( $shop[2]->poll_query_until(
		'postgres', 'SELECT NOT active FROM pg_replication_slots'),
	'a subscription that is disabled reads no slot');
$shop[2]->safe_psql(
	'postgres', q{
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'too-late');
	SELECT pinterest_capi.cancel('too-late')});
is( $shop[2]->safe_psql(
		'postgres',
		q{SELECT status, warnings FROM pinterest_capi.dispatch_status WHERE event_id = 'too-late'}
	),
	'cancelled|{"published, the dispatcher may send it"}',
	'a row that is on its way says so when it is cancelled');
$dispatcher->safe_psql('postgres', 'ALTER SUBSCRIPTION shop_3 ENABLE');
ok($stub->wait_count(processed => 104, $patience), 'it is sent indeed');

# A replayed event is handed over again.
is( $shop[2]->safe_psql(
		'postgres', q{SELECT pinterest_capi.replay('default', 'cancelled')}),
	'1',
	'replay under the same event_id');
is($shop[2]->safe_psql('postgres', q{SELECT pinterest_capi.flush()}),
	't', 'is handed over');
is($stub->count->{processed}, 104, 'and known there already');
$shop[2]->safe_psql(
	'postgres', q{BEGIN;
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'another');
	SELECT pinterest_capi.cancel('another'); COMMIT});
ok( $stub->wait_count(processed => 105, $patience),
	'another one that is sent all the same');
is( $shop[2]->safe_psql(
		'postgres',
		q{SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true)}
	),
	'1',
	'replay in a published database');
ok($stub->wait_count(processed => 106, $patience),
	'is sent by the dispatcher');
is( $shop[2]->safe_psql(
		'postgres', q{SELECT pinterest_capi.replay('default', 'cancelled')}),
	'0',
	'and is not replayed again');

# ---- load, with one publisher killed, one disconnected, and the dispatcher killed ----

run_load(
	stub => $stub,
	dispatcher => $dispatcher,
	shop => \@shop,
	database => 'postgres',
	user => scalar getpwuid($>),
	events => $events,
	patience => $patience,
	pause => 0.01,
	committed =>
	  q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'load-0-%'},
	while_cut => sub {
		is( $shop[1]->safe_psql(
				'postgres', q{
				SELECT count(*) > 0 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'load-1-%' AND reason = 'waits for the dispatcher'}
			),
			't',
			'cut off, its events wait');
	});
is($_->safe_psql('postgres', q{SELECT pinterest_capi.flush('30 seconds')}),
	't', $_->name . ': all is handed over')
  for @shop;
is( $_->safe_psql('postgres', 'SELECT count(*) FROM pinterest_capi._waiting'),
	'0',
	$_->name . ': nothing waits') for @shop;

# ---- subscribing again ----

# A subscription is dropped and created again while the publisher goes on:
# events committed between are sent, too.
$stub->reset;
$dispatcher->safe_psql('postgres', 'DROP SUBSCRIPTION shop_3');
$shop[2]->safe_psql('postgres', q{CALL many('gap-', 1, 40)});
subscribe($shop[2], 'shop_3');
ok( $stub->wait_count(processed => 40, $patience),
	'events tracked between two subscriptions are sent');
is($stub->count->{duplicates}, 0, 'once');

# An event is committed after later ones were handed over.
my $late = $shop[2]->background_psql('postgres');
$late->query_safe('BEGIN');
$late->query_safe(track_sql('late'));
$shop[2]->safe_psql('postgres', q{CALL many('passed-', 1, 40)});
ok( $shop[2]->poll_query_until(
		'postgres', q{
		SELECT count(*) = 40 FROM pinterest_capi.dispatch_status
		WHERE event_id LIKE 'passed-%' AND reason = 'handed over to the dispatcher'}
	),
	'events are handed over while a transaction is open that began before');
$late->query_safe('COMMIT');
$late->quit;
ok(poll(sub { $stub->received('late') }), 'its event is sent');
ok( $shop[2]->poll_query_until(
		'postgres', q{
		SELECT reason = 'handed over to the dispatcher' FROM pinterest_capi.dispatch_status WHERE event_id = 'late'}
	),
	'and handed over');
is( $shop[2]->safe_psql(
		'postgres', q{
		SELECT min(done_below) > 0, (SELECT count(*) FROM pinterest_capi._lost) FROM pinterest_capi._destination_state}
	),
	't|0',
	'the next worker would begin behind what is done, and miss nothing');

# A replication slot is lost, as after the publisher's failover: waiting
# events use the next one.
$stub->reset;
$dispatcher->safe_psql('postgres', 'ALTER SUBSCRIPTION shop_3 DISABLE');
ok( $shop[2]->poll_query_until(
		'postgres', 'SELECT NOT active FROM pg_replication_slots'),
	'no process reads from the slot');
$shop[2]->safe_psql('postgres', q{CALL many('before-', 1, 40)});
ok( $shop[2]->poll_query_until(
		'postgres', q{
		SELECT looked_at > (SELECT max(created_at) FROM pinterest_capi.dispatch_status) FROM pinterest_capi._subscriber}
	),
	'they wait for that slot to confirm them');
$shop[2]->safe_psql('postgres',
	q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots});
$shop[2]->safe_psql('postgres', q{CALL many('after-', 1, 40)});
$dispatcher->safe_psql('postgres',
	q{ALTER SUBSCRIPTION shop_3 SET (slot_name = NONE)});
$dispatcher->safe_psql('postgres', q{DROP SUBSCRIPTION shop_3});
subscribe($shop[2], 'shop_3');
ok($stub->wait_count(processed => 80, $patience),
	'events queued before and after the slot was lost are sent');
is($stub->count->{duplicates}, 0, 'once each');
is( $shop[2]->safe_psql(
		'postgres', q{SELECT count(*) FROM pinterest_capi._subscriber}),
	'1',
	'the old slot is forgotten');
$stub->reset;

# A dispatcher has lost events that were handed over to it: they are handed
# over again, and only the lost ones are sent.
my $lost = $dispatcher->safe_psql(
	'postgres', q{
	WITH gone AS (DELETE FROM pinterest_capi._event WHERE event_id IN ('gap-7', 'gap-8') RETURNING id)
	DELETE FROM pinterest_capi._outcome AS o USING gone WHERE o.id = gone.id RETURNING 1}
);
ok( $shop[2]->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._waiting'),
	'all is handed over');
cmp_ok(
	$shop[2]->safe_psql(
		'postgres',
		q{SELECT pinterest_capi.publish(since => now() - interval '1 hour')}),
	'>=', 120,
	'publish(since)');
ok( $stub->wait_count(processed => 2, $patience),
	'the events that the dispatcher lost are sent again');
ok( $shop[2]->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._waiting'),
	'and handed over');
is($stub->count->{processed}, 2, 'the rest is not');

# ---- no longer published ----

$dispatcher->safe_psql('postgres', 'DROP SUBSCRIPTION shop_3');
$shop[2]->safe_psql('postgres', 'DROP PUBLICATION pinterest_capi');
$shop[2]->safe_psql('postgres', q{CALL many('own-', 1, 5)});
is( $shop[2]->safe_psql(
		'postgres',
		q{SELECT DISTINCT reason FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'own-%'}
	),
	'destination not ready: no Tag ID, no access token, no ad account id',
	'without the publication it is a server like any other');

for my $node ($dispatcher, @shop)
{
	my $log = slurp_file($node->logfile);

	unlike(
		$log,
		qr/PANIC|TRAP:|invalid memory|out of memory|resource .* leak/i,
		$node->name . ': no such word in the log');
	unlike($log, qr/\Q$token\E|\@example\.com/,
		$node->name . ': no token and no identifier either');
}
$_->stop for $dispatcher, @shop;
$stub->stop;
done_testing();
