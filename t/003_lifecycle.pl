# Restarts, preloading, and whatever an administrator does while a request hangs.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Far longer than any step below may take: nothing may pass by waiting for it.
my $request_timeout = 300;

my $stub = PinterestStub->new;
my $node = setup_node('lifecycle', $stub,
	conf => "pinterest_capi.request_timeout = ${request_timeout}s\nrestart_after_crash = on");

sub track
{
	my ($id, $database) = @_;

	$node->safe_psql($database // 'postgres', qq{
		SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}', event_id => '$id')});
	return;
}

sub worker
{
	my ($database) = @_;

	return $node->safe_psql($database // 'postgres', 'SELECT pid FROM pinterest_capi.worker_status');
}

sub within
{
	my ($seconds, $name, $action) = @_;
	my $begin = time();

	$action->();
	cmp_ok(time() - $begin, '<', $seconds, $name);
	return;
}

# an event whose request hangs
sub hang
{
	my ($id, $database) = @_;

	$stub->reset;
	$stub->script({ hang => 1 });
	track($id, $database);
	ok($stub->wait_count(hanging => 1), "$id: a request hangs");
	return;
}

sub arrives
{
	my ($id, $name) = @_;

	ok(poll(sub { grep { $_->{verdict} eq 'processed' } $stub->received($id) }), $name);
	ok($node->poll_query_until('postgres', "SELECT status FROM pinterest_capi.dispatch_status WHERE event_id = '$id'", 'sent'),
		"$id: and is sent");
	return;
}

# ---- without preload ----

# a restart with events queued
$stub->down;
track("kept-$_") for 1 .. 20;
within(20, 'a fast shutdown with events queued', sub { $node->restart });
$stub->up;
track('after-restart');
ok($stub->wait_count(processed => 21), 'what was queued before a restart is sent with the next event');
is($stub->count->{duplicates}, 0, 'none twice');

# a fast shutdown does not wait for an answer
hang('shutdown');
within(15, 'a fast shutdown while a request hangs', sub { $node->restart });
$stub->release;
track('after-shutdown');
arrives('shutdown', 'the event in question arrives');
arrives('after-shutdown', 'the next one too');

# ---- preloaded ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pinterest_capi'");
$stub->reset;
$stub->down;
track("preload-$_") for 1 .. 5;
$node->restart;
$stub->up;
ok($stub->wait_count(processed => 5), 'preloaded: what was queued before a restart is sent without another event');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'), 'one worker');

# SIGTERM of the worker
hang('sigterm');
my $pid = worker();
within(5, 'SIGTERM ends a worker while its request hangs', sub {
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), 'the worker is gone');
	});
$stub->release;
ok(poll(sub { my $new = worker(); $new ne '' && $new ne $pid }), 'another one takes over by itself');
arrives('sigterm', 'the event in question arrives');

# a worker that is killed takes all connections down; nothing is lost by that
hang('sigkill');
$pid = worker();
kill 'KILL', $pid;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), 'the server comes back from a crash');
$stub->release;
arrives('sigkill', 'the event in question arrives');

# settings are read again while a request hangs
hang('reload');
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$node->reload;
$stub->release;
ok($node->poll_query_until('postgres', q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'reload'}),
	'dispatch off: what is under way is finished');
track('held');
like($node->safe_psql('postgres', 'SELECT message FROM pinterest_capi.destination_status'), qr/dispatch is off/, 'the view says so');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.dispatch', 'on');
$node->reload;
arrives('held', 'dispatch on: what waited arrives');

# DROP EXTENSION
hang('drop-extension');
within(10, 'DROP EXTENSION while a request hangs',
	sub { $node->safe_psql('postgres', 'DROP EXTENSION pinterest_capi CASCADE') });
$stub->release;
ok($node->poll_query_until('postgres', q{
		SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'pinterest_capi%' AND datname = 'postgres'}),
	'its worker leaves');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'pinterest_capi'}), '0', 'nothing remains');
$stub->reset;
configure($node, $stub, 'postgres');
track('created-again');
arrives('created-again', 'CREATE EXTENSION again, and it works');

# CREATE EXTENSION that is rolled back leaves no worker
$node->safe_psql('postgres', 'CREATE DATABASE undone');
$node->safe_psql('undone', 'BEGIN; CREATE EXTENSION pinterest_capi; ROLLBACK');
within(15, 'and is in nobody\'s way', sub { $node->safe_psql('postgres', 'DROP DATABASE undone') });

# a database as template, while its worker's request hangs
$node->safe_psql('postgres', 'CREATE DATABASE shop');
configure($node, $stub, 'shop');
$stub->reset;
track('shop-first', 'shop');
ok($stub->wait_count(processed => 1), 'another database sends too');
isnt(worker('shop'), worker('postgres'), 'by a worker of its own');
hang('template', 'shop');
within(10, 'CREATE DATABASE ... TEMPLATE while a request hangs',
	sub { $node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop') });
$stub->release;
ok(poll(sub { grep { $_->{verdict} eq 'processed' } $stub->received('template') }), 'the event in question arrives');

# DROP DATABASE, with and without force
hang('drop-database', 'shop');
within(10, 'DROP DATABASE while a request hangs', sub { $node->safe_psql('postgres', 'DROP DATABASE shop') });
$stub->release;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
configure($node, $stub, 'shop');
hang('drop-force', 'shop');
within(10, 'DROP DATABASE (FORCE) while a request hangs',
	sub { $node->safe_psql('postgres', 'DROP DATABASE shop WITH (FORCE)') });
$stub->release;

# a fast shutdown once more, preloaded
hang('shutdown-preloaded');
within(15, 'preloaded: a fast shutdown while a request hangs', sub { $node->restart });
$stub->release;
arrives('shutdown-preloaded', 'the event arrives after the restart, without another one');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|invalid memory|out of memory|resource .* leak/i, 'no such word in the log');

$node->stop;
$stub->stop;
done_testing();
