# A full disk loses no answer and no committed transaction, neither in the
# worker nor in a session, and both go on by themselves once there is room.
#
# A limit on the size of files, for one process alone, stands for the full
# disk: extending a table fails.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql track_sql clean_log worker_pid);
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no prlimit here'
  unless system('prlimit --version >/dev/null 2>&1') == 0;

my $full = qr/could not extend file/;
my $stub = PinterestStub->new;

# WAL segments must fit under the limit
my $limit = 2 * 1024 * 1024;
my $node = setup_node(
	'full', $stub,
	initdb => ['--wal-segsize=1'],
	conf => "shared_preload_libraries = 'pinterest_capi'\nautovacuum = off\n"
);

# Limit the size of files of a process from now on.
sub limit_files
{
	my ($pid, $bytes, $name) = @_;

	is(system("prlimit --pid $pid --fsize=$bytes: >/dev/null"), 0, $name);
	return;
}

# Track this many events in one transaction.
sub many_sql
{
	my ($prefix, $n) = @_;

	return
	  "SELECT count(pinterest_capi.track('Checkout', '{\"value\": 1, \"currency\": \"USD\"}', '{\"em\": \"vexilloquark\@example.com\"}', event_id => '$prefix-' || n)) FROM generate_series(1, $n) AS n";
}

# ---- the worker can't write an outcome ----

# short rows, so that no page has room for what settling writes
sql(q{INSERT INTO pinterest_capi._outcome (id, finished_at, dest, status, reason)
	SELECT -n, clock_timestamp(), 0, '', '' FROM generate_series(1, 40000) AS n}
);
cmp_ok(sql(q{SELECT pg_relation_size('pinterest_capi._outcome')}),
	'>', $limit, 'a table beyond the limit');
sql('CHECKPOINT');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'a worker');
my $pid = worker_pid($node);
my $log_from = -s $node->logfile;
$stub->script({ hang => 1 });
sql(many_sql('outcome', 500));
ok($stub->wait_count(hanging => 1), 'a request is in flight');
limit_files($pid, $limit, 'from here on the worker can\'t extend files');
$stub->release;
ok(poll(sub { slurp_file($node->logfile, $log_from) =~ $full }),
	'the answer can\'t be written');
my $processed = $stub->count->{processed};
ok( $node->poll_query_until(
		'postgres',
		q{SELECT last_error ~ 'could not extend file' FROM pinterest_capi.worker_status}
	),
	'worker_status says why');
sql(track_sql('outcome-while'));
ok( poll(
		sub { 3 <= (() = slurp_file($node->logfile, $log_from) =~ /$full/g) }
	),
	'the worker tries again, later each time');
is($stub->count->{processed}, $processed, 'but sends nothing meanwhile');
is(worker_pid($node), $pid, 'the worker lives on');
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'outcome-%' AND status = 'sent'}
	),
	'0',
	'no outcome is written');
limit_files($pid, 'unlimited', 'there is room again');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 501 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'outcome-%' AND status = 'sent'}
	),
	'all is settled by itself');
is(worker_pid($node), $pid, 'by the same worker');
is($stub->count->{processed}, 501, 'each was sent');
is($stub->count->{duplicates}, 0, 'none twice');

# ---- a session can't write an event ----

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $backend = $session->query_safe('SELECT pg_backend_pid()');
$log_from = -s $node->logfile;
sql('CHECKPOINT');
limit_files($backend, 8192, 'a session that can\'t extend files');

# more rows than fit into the existing pages
$session->query(many_sql('full', 2000));
like($session->{stderr}, qr/ERROR:  $full/, 'track: the server\'s error');
unlike(slurp_file($node->logfile, $log_from),
	qr/vexilloquark/, 'and the log has no raw identifier from it');
$session->{stderr} = '';
limit_files($backend, 'unlimited', 'there is room again');
is($session->query_safe(many_sql('room', 2000)),
	'2000', 'the same session goes on');
$session->quit;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 2000 FROM pinterest_capi.dispatch_status WHERE status = 'sent' AND event_id LIKE 'room-%'}
	),
	'its events are sent');
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'full-%'}
	),
	'0',
	'the failed transaction\'s events don\'t exist');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
