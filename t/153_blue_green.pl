# In a blue/green upgrade the new server, which follows the old one by logical
# replication of all tables, sends nothing until the switch-over, and stops no
# subscription.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT add_destination track_sql clean_log track_many);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $conf =
  "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nshared_preload_libraries = 'pinterest_capi'\n";
my $blue = setup_node('blue', $stub, conf => $conf);
my $green = PostgreSQL::Test::Cluster->new('green');

$green->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$green->append_conf('postgresql.conf',
	$conf
	  . "log_statement = none\nmax_worker_processes = 16\npinterest_capi.ca_file = '@{[$stub->ca_file]}'\n"
);
$green->start;
$green->safe_psql('postgres', 'CREATE EXTENSION pinterest_capi');
my $tables = $green->safe_psql(
	'postgres', q{
	SELECT string_agg(c.relname, ', ' ORDER BY 1) FROM pg_class AS c
	WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relname NOT IN ('_sending_server', '_statistics_mark')
		AND EXISTS (SELECT FROM query_to_xml(format('SELECT 1 FROM %s LIMIT 1', c.oid::regclass), false, true, '') AS x WHERE x::text LIKE '%row%')}
);
is($tables, '', 'no table has rows from the start but those that may have');

# ---- green follows blue ----

track_many($blue, 'before', 20);
ok($stub->wait_count(processed => 20), 'blue sends');
$stub->script({ hang => 1 });
track_many($blue, 'out', 5);
ok($stub->wait_count(hanging => 1), 'a request of blue is in flight');
$blue->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
$green->safe_psql('postgres',
		"CREATE SUBSCRIPTION follows CONNECTION '"
	  . ($blue->connstr('postgres') =~ s/'/''/gr)
	  . "' PUBLICATION everything");
ok( $green->poll_query_until(
		'postgres',
		q{SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}
	),
	'the initial copy of each table ends');
is( $green->safe_psql(
		'postgres', q{SELECT count(*) > 0 FROM pinterest_capi._waiting}),
	't',
	'green has the waiting events');
ok( $green->poll_query_until(
		'postgres', q{
		SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE state = 'held' AND last_cycle_at > started_at + interval '1 second'}
	),
	'the worker of green is held');
like(
	$green->safe_psql(
		'postgres',
		q{SELECT status || ': ' || message FROM pinterest_capi.destination_status}
	),
	qr/^not ready: .*the subscription "follows" writes the queue of this database/,
	'it says so');
like(
	$green->safe_psql(
		'postgres',
		q{SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = 'dispatch'}
	),
	qr/^error: .*switch-over, DROP SUBSCRIPTION/,
	'so does doctor');
is( () =
	  slurp_file($green->logfile) =~
	  /LOG:  nothing is sent from this server: the subscription/g,
	1,
	'and one line in the log');
my ($hint) = slurp_file($green->logfile) =~
  /LOG:  nothing is sent from this server: the subscription.*\n.*HINT:  (.*)/;
like($hint, qr/drop the subscription/, 'with a hint that helps');
unlike($hint, qr/resume_destination|senders/, 'and none that does not');
my $pid = $green->safe_psql('postgres',
	q{SELECT pid FROM pinterest_capi.worker_status});
$green->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok( $green->poll_query_until(
		'postgres',
		qq{SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE state = 'held' AND pid <> $pid}
	),
	'another worker is held too');
is( $green->safe_psql(
		'postgres', q{SELECT count(*) FROM pinterest_capi._lease}),
	'1',
	'and does not change blue\'s lease');
$stub->release;
track_many($blue, 'meanwhile', 20);
ok($stub->wait_count(processed => 45), 'blue goes on');
$blue->wait_for_catchup('follows');
is( $green->safe_psql(
		'postgres',
		q{SELECT count(*) FILTER (WHERE status = 'sent') || ' of ' || count(*) FROM pinterest_capi.dispatch_status}
	),
	'45 of 45',
	'green has their outcome');
is($stub->count->{duplicates}, 0, 'each was sent once');

# ---- the switch-over ----

set_conf($blue, dispatch => 'off');
track_many($blue, 'left', 20);
add_destination($blue, $stub, 'last');
$blue->safe_psql('postgres',
	q{SELECT pinterest_capi.disallow_event('checkout', 'last')});
$blue->wait_for_catchup('follows');
my ($status, $out, $err) = $green->psql('postgres',
	q{SELECT pinterest_capi.resume_destination('default')});
like(
	$err,
	qr/nothing is sent from this server: the subscription/,
	'no message claims that resuming helps');
like(
	$err,
	qr/HINT:  After the switch-over, drop the subscription/,
	'and the right remedy is named');
$green->safe_psql('postgres', q{DROP SUBSCRIPTION follows});
track_many($green, 'after', 5);
ok($stub->wait_count(processed => 70),
	'green sends the remaining events, and its own');
is($stub->count->{duplicates}, 0, 'each was sent once');
add_destination($green, $stub, 'new');
$green->safe_psql('postgres', track_sql('for-both'));
ok( poll(
		sub {
			(grep { $_->{verdict} eq 'processed' }
				  $stub->received('for-both')) >= 2;
		}),
	'a new destination collides with none that came');
unlike(
	slurp_file($green->logfile),
	qr/duplicate key/,
	'nothing has ever collided');

clean_log($_) for $blue, $green;
$_->stop for $green, $blue;
$stub->stop;
done_testing();
