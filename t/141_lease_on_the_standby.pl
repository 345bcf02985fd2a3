# A request is sent only when its lease is stored where its events are: with a
# synchronous standby, on the standby.  So after a failover the row says that
# an earlier attempt's outcome is unknown.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT track_sql track clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(
	allows_streaming => 1,
	extra => [ '-E', 'UTF8', '--no-locale' ]);
$primary->append_conf('postgresql.conf', <<"CONF");
log_statement = none
shared_preload_libraries = 'pinterest_capi'
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
pinterest_capi.request_timeout = 300s
CONF
$primary->start;
configure($primary, $stub, 'postgres');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$primary->reload;
ok( $primary->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}
	),
	'a synchronous standby');
track($primary, 'together');
$stub->arrives('together', 'with it, an event is sent');

# ---- no lease on the standby, no request ----

my $waits =
  q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker' AND wait_event = 'SyncRep'};

$standby->stop;
ok( $primary->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pg_stat_replication'),
	'it is away');
$stub->reset;
$stub->script({ hang => JSON::PP::true });
$primary->safe_psql('postgres',
	'SET synchronous_commit = local; ' . track_sql('alone'));
ok($primary->poll_query_until('postgres', $waits), 'the worker waits for it');
is($stub->count->{requests}, 0, 'no request is sent');
$standby->start;
ok($stub->wait_count(hanging => 1), 'once it is back, the request is sent');

# ---- the server is lost while the request is in flight ----

$primary->stop('immediate');
$standby->promote;

# the lost server's request, whose answer no process reads
$stub->release;
becomes($standby, 'alone', 'status, attempts',
	'sent|2', 'its successor sends again');
is( sql_status(
		$standby, 'alone',
		q{'outcome of an earlier attempt unknown' = ANY (warnings)}),
	't',
	'and says that it may be the second time');
is( $standby->safe_psql(
		'postgres', q{SELECT count(*) FROM pinterest_capi._lease}),
	'0',
	'no lease is left');
is( sql_status(
		$standby, 'together',
		q{status, 'outcome of an earlier attempt unknown' = ANY (warnings)}),
	'sent|f',
	'what was settled is as it was');

# ---- a worker that is stopped while it waits sends nothing ----

$standby->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$standby->reload;
$stub->reset;
$standby->safe_psql('postgres',
	'SET synchronous_commit = local; ' . track_sql('stopped'));
ok($standby->poll_query_until('postgres', $waits), 'again it waits for one');
$standby->stop;
is($stub->count->{requests}, 0, 'a shutdown ends that, without a request');
$standby->append_conf('postgresql.conf', "synchronous_commit = off");
$standby->start;
$stub->arrives('stopped',
	'where sessions do not wait for a standby, nor does the worker');

clean_log($standby);
$standby->stop;
$stub->stop;
done_testing();
