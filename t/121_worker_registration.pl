# A session finds the worker by its process, not by a row that a dead worker
# has left.  Others wait for the session that had a worker started while its
# transaction runs, and never after that.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql track crash worker_pid workers);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node =
  setup_node('registration', $stub, conf => "log_min_messages = debug1\n");
my $library = "$stub->{dir}/worker";

system_or_bail('cc', '-shared', '-fPIC', '-O',
	'-I' . ($node->config_data('--includedir-server') =~ s/\s+\z//r),
	'-o', "$library.so", "$FindBin::RealBin/../test/worker.c");

sub has_worker
{
	my ($name) = @_;

	ok( poll(
			sub {
				sql('SELECT count(*) FROM pinterest_capi.worker_status') eq
				  '1';
			},
			30),
		$name);
	return;
}

# The server is killed and restarted, without a worker.
sub without_worker
{
	crash($node);
	$node->start;
	is(workers($node), '0', 'no worker is there');
	return;
}

sql("CREATE FUNCTION test_procno(integer) RETURNS integer LANGUAGE c AS '$library'"
);
sql("CREATE FUNCTION test_register(bigint, integer, integer) RETURNS boolean LANGUAGE c AS '$library'"
);
track($node, 'first');
becomes($node, 'first', 'status', 'sent', 'a first event is sent');

# ---- the row names another process of this database ----

without_worker();
my $other = $node->background_psql('postgres');
my $pid = $other->query_safe('SELECT pg_backend_pid()');
my $procno = sql("SELECT test_procno($pid)");
cmp_ok($procno, '>=', 0, 'a process of this database');
sql("DELETE FROM pinterest_capi._worker; INSERT INTO pinterest_capi._worker VALUES ($pid, $procno, 1, now())"
);
track($node, 'found');
ok(poll(sub { sql_status($node, 'found', 'status') eq 'sent' }, 30),
	'it is not taken for a worker: one is started');
is( sql(qq{SELECT count(*) FROM pinterest_capi.worker_status WHERE pid <> $pid}
	),
	'1',
	'which is another process');

# ---- a registration that is older than any transaction that runs ----

my $next = sql('SELECT pg_current_xact_id()');
for my $ahead (1000, 1_000_000, 2_000_000_000)
{
	without_worker();

	# The session that had the worker started has ended; another process may
	# have its pid.
	sql("SELECT test_register($next + $ahead, $_->[0], $_->[1])")
	  for $ahead == 1000
	  ? [ $pid, $procno ]
	  : [ sql('SELECT pg_backend_pid()'), 0 ];
	has_worker("an xid that seems to be $ahead ahead is not waited for");
}
without_worker();
$other = $node->background_psql('postgres');
$pid = $other->query_safe('SELECT pg_backend_pid()');
$procno = sql("SELECT test_procno($pid)");
$other->query_safe('BEGIN');
my $xid = $other->query_safe('SELECT pg_current_xact_id()');
sql("SELECT test_register($xid - 1, $pid, $procno)");
has_worker('nor is one that was that process\'s before');
without_worker();
$other = $node->background_psql('postgres');
$pid = $other->query_safe('SELECT pg_backend_pid()');
$procno = sql("SELECT test_procno($pid)");
$other->query_safe('BEGIN');
$xid = $other->query_safe('SELECT pg_current_xact_id()');
sql("SELECT test_register($xid, $pid, $procno)");
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker' AND wait_event = 'transactionid'}
	),
	'one that runs is');
is(sql('SELECT count(*) FROM pinterest_capi.worker_status'),
	'0', 'so long there is no worker');
$other->query_safe('COMMIT');
has_worker('then there is one');

# ---- a second worker beside the first ----

my $first = worker_pid($node);
my $log_from = -s $node->logfile;
my $exited =
  qr/background worker "pinterest_capi worker" \(PID (\d+)\) exited with exit code 0/;
sql('SELECT test_register(0, 0, 0)');
ok(poll(sub { slurp_file($node->logfile, $log_from) =~ $exited }),
	'one of two workers exits');
my ($second) = slurp_file($node->logfile, $log_from) =~ $exited;
isnt($second, $first, 'it is the one that started later');
is(worker_pid($node), $first, 'the first one stays');
is(workers($node), '1', 'alone');

$node->stop;
$stub->stop;
done_testing();
