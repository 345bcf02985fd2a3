# With the library preloaded, each database that has the extension gets its
# worker, without a list to maintain, as databases are created, dropped and
# closed to connections.  No database is retried for ever.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track all_sent clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('databases', $stub,
	conf =>
	  "shared_preload_libraries = 'pinterest_capi'\nmax_worker_processes = 16"
);

sub has_worker
{
	my ($database, $name) = @_;

	ok( $node->poll_query_until(
			$database,
			'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
		$name);
	return $node->safe_psql($database,
		'SELECT pid FROM pinterest_capi.worker_status');
}

sub end_worker
{
	my ($database) = @_;

	$node->safe_psql(
		'postgres',
		qq{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
		WHERE backend_type = 'pinterest_capi worker' AND datname = '$database'});
	return;
}

# The postmaster restarts a failed worker after one second.  When this worker
# was ended and restarted twice, another would have been restarted, too.
sub time_for_restarts
{
	for my $turn (1, 2)
	{
		my $pid = has_worker('postgres', 'a worker');

		end_worker('postgres');
		ok( $node->poll_query_until(
				'postgres',
				"SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE pid <> $pid"
			),
			'which is restarted');
	}
	return;
}

sub count_in_log
{
	my ($from, $what) = @_;

	return scalar(() = slurp_file($node->logfile, $from) =~ /$what/g);
}

# ---- from server start ----

for my $database (qw(one two))
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	configure($node, $stub, $database);
}
$node->safe_psql('postgres', 'CREATE DATABASE without');
$stub->down;
track($node, "start-$_", database => $_) for qw(postgres one two);
$node->restart;
$stub->up;
$stub->arrives("start-$_",
	"$_: what was queued is sent after a restart, without an event")
  for qw(postgres one two);
has_worker($_, "$_: a worker") for qw(postgres one two);
is( $node->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pinterest_capi%' AND datname IN ('without', 'template1')}
	),
	'0',
	'none where there is no extension');

# ---- databases created later ----

$node->safe_psql('postgres', 'CREATE DATABASE later');
$node->safe_psql('later', 'CREATE EXTENSION pinterest_capi');
has_worker('later',
	'a database that is made later: CREATE EXTENSION alone starts its worker'
);
$node->safe_psql('without', 'CREATE EXTENSION pinterest_capi');
has_worker('without', 'as it does in one that the launcher has passed over');

# A copy has the extension, the token and waiting events, and no commit wakes
# it.
$stub->reset;
$stub->down;
track($node, 'copied', database => 'one');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE one');
has_worker('copy',
	'a database that is copied: the launcher finds it by itself');
$stub->up;
ok($stub->wait_count(processed => 1),
	'the original sends the waiting events');
ok( $node->poll_query_until(
		'copy', q{SELECT state = 'held' FROM pinterest_capi.worker_status}),
	'the copy is held');
$node->safe_psql('copy', 'SELECT pinterest_capi.resume_destination()');
ok($stub->wait_count(processed => 2), 'both send, once an operator says so');
is($stub->count->{distinct}, 1, 'under one event_id');

# ---- databases closed to connections ----

my $from = -s $node->logfile;
$node->safe_psql('postgres', 'ALTER DATABASE copy ALLOW_CONNECTIONS false');
end_worker('copy');
time_for_restarts();
is( $node->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker' AND datname = 'copy'}
	),
	'0',
	'a database that takes no connections has no worker');
cmp_ok(count_in_log($from, 'is not currently accepting connections'),
	'<=', 1, 'nor is one tried again and again');
$node->safe_psql('postgres', 'ALTER DATABASE copy ALLOW_CONNECTIONS true');
has_worker('copy', 'opened again: the launcher finds it');

SKIP:
{
	skip 'no invalid databases before 15.4', 4
	  if $node->safe_psql('postgres', 'SHOW server_version_num') < 150004;

	$from = -s $node->logfile;
	$node->safe_psql('postgres',
		q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'copy'});
	end_worker('copy');
	time_for_restarts();
	is( $node->safe_psql(
			'postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker' AND datname = 'copy'}
		),
		'0',
		'a database that an interrupted DROP DATABASE left has no worker');
	cmp_ok(count_in_log($from, 'cannot connect to invalid database'),
		'<=', 1, 'nor is one tried again and again');
	$node->restart;
	has_worker($_, "after a restart: $_ has")
	  for qw(postgres one two later without);
	is(count_in_log($from, 'cannot connect to invalid database'),
		1, 'the launcher doesn\'t try at all');
}
$node->safe_psql('postgres', 'DROP DATABASE copy');

# ---- the launcher itself ----

my %before =
  map { $_ => has_worker($_, "$_: a worker") } qw(postgres one two);
my $launcher = $node->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pinterest_capi launcher'}
);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
ok( $node->poll_query_until(
		'postgres',
		qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pinterest_capi launcher' AND pid <> $launcher}
	),
	'a terminated launcher is restarted');
is($node->safe_psql($_, 'SELECT pid FROM pinterest_capi.worker_status'),
	$before{$_}, "$_: its worker goes on")
  for qw(postgres one two);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 5 FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'}
	),
	'and there is one for each');

for my $database (qw(one two))
{
	$node->safe_psql('postgres',
		"DROP DATABASE $database"
		  . ($database eq 'two' ? ' WITH (FORCE)' : ''));
	is( $node->safe_psql(
			'postgres',
			"SELECT count(*) FROM pg_database WHERE datname = '$database'"),
		'0',
		"$database: dropped");
}
track($node, 'last');
$stub->arrives('last', 'the others go on');
all_sent($node, 'and settle');
clean_log($node);
$node->stop;
$stub->stop;
done_testing();
