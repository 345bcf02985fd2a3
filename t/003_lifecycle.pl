# Restarts, preloading and administrative commands during a request that hangs
# lose no event and block nobody.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Compare;
use PinterestStub
  qw(:DEFAULT sql track all_sent clean_log worker_pid worker_polls workers);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Far longer than any step below may take, so no step passes because it ended.
my $request_timeout = 300;

my $stub = PinterestStub->new;
my $node = setup_node('lifecycle', $stub,
	conf =>
	  "pinterest_capi.request_timeout = ${request_timeout}s\nrestart_after_crash = on\nlog_min_messages = debug1"
);

# Wait until the stub has processed an event and its row is settled.
sub arrives
{
	my ($id, $name) = @_;

	$stub->arrives($id, $name);
	becomes($node, $id, 'status', 'sent', "$id: and is sent");
	return;
}

# ---- without preload ----

# a restart with events queued
$stub->down;
track($node, "kept-$_") for 1 .. 20;
within('a fast shutdown with events queued', sub { $node->restart });
$stub->up;
track($node, 'after-restart');
ok($stub->wait_count(processed => 21),
	'events queued before a restart are sent with the next event');
all_sent($node, 'and settled');
is($stub->count->{duplicates}, 0, 'none twice');

# a fast shutdown does not wait for an answer
$stub->hang($node, 'shutdown');
within('a fast shutdown while a request hangs', sub { $node->restart });
$stub->release;
track($node, 'after-shutdown');
arrives('shutdown', 'the event in question arrives');
arrives('after-shutdown', 'the next one too');

# CREATE EXTENSION that is rolled back has no worker started.  The postmaster starts
# workers in the order in which they were registered: the one for another database
# shows that none was registered before it.
sql('CREATE DATABASE undone');
sql('CREATE DATABASE done');
my $undone = sql(q{SELECT oid FROM pg_database WHERE datname = 'undone'});
my $log_from = -s $node->logfile;
$node->safe_psql('undone',
	'BEGIN; CREATE EXTENSION pinterest_capi; ROLLBACK');
$node->safe_psql('done', 'CREATE EXTENSION pinterest_capi');
ok( $node->poll_query_until(
		'done', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'CREATE EXTENSION that is committed has a worker started');
my @registered = slurp_file($node->logfile, $log_from) =~
  /registering background worker "pinterest_capi worker for database (\d+)"/g;
is(scalar(@registered), 1, 'one');
isnt($registered[0], $undone, 'not for the one that was rolled back');
within('and is in nobody\'s way',
	sub { sql("DROP DATABASE $_") for qw(undone done) });

# ---- preloaded ----

$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'");
$stub->reset;
$stub->down;
track($node, "preload-$_") for 1 .. 5;
$node->restart;
$stub->up;
ok( $stub->wait_count(processed => 5),
	'preloaded: events queued before a restart are sent without another event'
);
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'one worker');

# SIGTERM of the worker
$stub->hang($node, 'sigterm');
my $pid = worker_pid($node);
within(
	'SIGTERM ends a worker while its request hangs',
	sub {
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		ok( $node->poll_query_until(
				'postgres',
				"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
			'the worker has exited');
	});
$stub->release;
ok(poll(sub { my $new = worker_pid($node); $new ne '' && $new ne $pid }),
	'another one takes over by itself');
arrives('sigterm', 'the event in question arrives');

# repeated, while events are tracked
$stub->reset;
for my $turn (1 .. 10)
{
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'}
	);
	track($node, "ended-$turn");
}
ok($stub->wait_count(distinct => 10),
	'a worker that is ended again and again: all arrives');
all_sent($node, 'all is settled');
ok(poll(sub { workers($node) eq '1' }), 'by one worker');

# A killed worker makes the server end all connections; no event is lost.
$stub->hang($node, 'sigkill');
$pid = worker_pid($node);
kill 'KILL', $pid;
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
	'the server comes back from a crash');
$stub->release;
arrives('sigkill', 'the event in question arrives');

# The worker reads settings again while a request hangs.
$stub->hang($node, 'reload');
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$node->reload;
$stub->release;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'reload'}
	),
	'dispatch off: a request in flight is finished');
track($node, 'held');
like(
	sql('SELECT message FROM pinterest_capi.destination_status'),
	qr/dispatch is off/,
	'the view says so');
worker_polls($node);
is_deeply([ $stub->received('held') ],
	[], 'dispatch off: events tracked after that are not sent');
is(sql_status($node, 'held', 'status, attempts'), 'queued|0', 'it waits');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.dispatch', 'on');
$node->reload;
arrives('held', 'dispatch on: the waiting events arrive');

# DROP EXTENSION
$stub->hang($node, 'drop-extension');
within(
	'DROP EXTENSION while a request hangs',
	sub {
		$node->safe_psql('postgres', 'DROP EXTENSION pinterest_capi CASCADE');
	});
$stub->release;
ok( $node->poll_query_until(
		'postgres', q{
		SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'pinterest_capi%' AND datname = 'postgres'}
	),
	'its worker exits');
is( $node->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pg_namespace WHERE nspname = 'pinterest_capi'}
	),
	'0',
	'nothing remains');
$stub->reset;
configure($node, $stub, 'postgres');
track($node, 'created-again');
arrives('created-again', 'CREATE EXTENSION again, and it works');

# a database as template, while its worker's request hangs
$node->safe_psql('postgres', 'CREATE DATABASE shop');
configure($node, $stub, 'shop');
$stub->reset;
track($node, 'shop-first', database => 'shop');
ok($stub->wait_count(processed => 1), 'another database sends too');
isnt(worker_pid($node, 'shop'), worker_pid($node), 'by a worker of its own');
$stub->hang($node, 'template', database => 'shop');
within(
	'CREATE DATABASE ... TEMPLATE while a request hangs',
	sub { $node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop') }
);
$stub->release;
ok( poll(
		sub {
			grep { $_->{verdict} eq 'processed' } $stub->received('template');
		}),
	'the event in question arrives');

# DROP DATABASE, with and without force
$stub->hang($node, 'drop-database', database => 'shop');
within('DROP DATABASE while a request hangs',
	sub { $node->safe_psql('postgres', 'DROP DATABASE shop') });
$stub->release;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
configure($node, $stub, 'shop');
$stub->hang($node, 'drop-force', database => 'shop');
within('DROP DATABASE (FORCE) while a request hangs',
	sub { $node->safe_psql('postgres', 'DROP DATABASE shop WITH (FORCE)') });
$stub->release;

# a fast shutdown once more, preloaded
$stub->hang($node, 'shutdown-preloaded');
within('preloaded: a fast shutdown while a request hangs',
	sub { $node->restart });
$stub->release;
arrives('shutdown-preloaded',
	'the event arrives after the restart, without another one');

clean_log($node);

$node->stop;
$stub->stop;
done_testing();
