# The worker's memory doesn't grow: over many events, over a backlog, with
# large payloads, and with answers made to cost memory.
#
# The test measures RssAnon of /proc/PID/status, the process's private memory.
# Buffers and other shared memory are the server's.
#
# PINTEREST_CAPI_MEMORY_EVENTS=2000000	sent one after the other; 50,000 unless given
# PINTEREST_CAPI_MEMORY_BACKLOG=10000000	waiting at once; 50,000 unless given
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Compare;
use IPC::Run      ();
use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql worker_pid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'needs /proc to see the memory of a process'
  unless -r "/proc/$$/status";

use constant LIMIT_KB => 64 * 1024;

my $events = $ENV{PINTEREST_CAPI_MEMORY_EVENTS} // 50_000;
my $backlog = $ENV{PINTEREST_CAPI_MEMORY_BACKLOG} // 50_000;
my $step = $events > 1_000_000 ? 100_000 : 10_000;
my $stub = PinterestStub->new;
my $node = setup_node('memory', $stub,
	conf =>
	  "max_wal_size = '4GB'\nautovacuum = on\npinterest_capi.max_concurrent_requests = 4"
);

# Return the process's private memory in kB; 0 when it has ended.
sub own_memory
{
	my ($pid) = @_;

	open(my $status, '<', "/proc/$pid/status") or return 0;
	my ($kb) = join('', <$status>) =~ /^RssAnon:\s+(\d+) kB/m;
	close $status;
	return $kb // 0;
}

# Return the worker's maximum of private memory until the condition holds.
sub most_until
{
	my ($pid, $condition, $seconds) = @_;
	my $deadline = time() + $seconds;
	my $most = 0;
	my $look_at = 0;

	while (time() < $deadline)
	{
		my $kb = own_memory($pid);

		$most = $kb if $kb > $most;
		if (time() >= $look_at)
		{
			return $most if sql("SELECT $condition") eq 't';
			$look_at = time() + 0.5;
		}
		usleep(5_000);
	}
	diag("still not after $seconds s: $condition");
	return -1;
}

sub most_until_sent
{
	return most_until($_[0],
		'NOT EXISTS (SELECT FROM pinterest_capi._waiting)', $_[1]);
}

sub bounded
{
	my ($most, $what) = @_;

	cmp_ok($most, '>', 0, "$what: done");
  SKIP:
	{
		skip 'under AddressSanitizer', 1 if $ENV{PINTEREST_CAPI_SANITIZED};
		cmp_ok($most, '<', LIMIT_KB,
			"$what: the worker has under 64 MB of its own");
	}
	return;
}

# Events as track makes them, inserted into the tables directly, since only
# the worker is measured.
sub queue
{
	my ($n, $filler) = @_;

	sql(<<"SQL");
WITH dest AS (SELECT dest FROM pinterest_capi._destination_state WHERE destination = 'default')
	INSERT INTO pinterest_capi._event (created_at, event_time, dest, event_id, event_name, sent_as, payload)
	SELECT now(), now(), dest, 'memory-' || nextval('pinterest_capi._event_id_seq'), 'checkout', 'checkout',
		format('{"event_name":"checkout","action_source":"web","event_time":%s,"event_id":"%s","user_data":{"em":["%s"]},'
			'"custom_data":{"currency":"EUR","value":"%s","order_id":"%s"}}',
			floor(extract(epoch FROM now())), 'memory-' || currval('pinterest_capi._event_id_seq'),
			encode(sha256(i::text::bytea), 'hex'), i, $filler)
	FROM dest, generate_series(1, $n) AS i;
SELECT pinterest_capi._wake();
SQL
	return;
}

# The strict stub remembers every event.  For millions another stub only
# counts.
my ($stdin, $stdout) = ('', '');
my $counter = IPC::Run::start(
	[
		'node', "$FindBin::RealBin/../bench/stub.js",
		'--cert' => "$stub->{dir}/server.pem",
		'--key' => "$stub->{dir}/server.key"
	],
	'<' => \$stdin,
	'>' => \$stdout,
	IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
$counter->pump until $stdout =~ /\n/ || !$counter->pumpable;
my $counter_port = JSON::PP::decode_json($stdout)->{port};

sub send_to
{
	my ($port) = @_;

	sql("UPDATE pinterest_capi.destination SET api_url = 'https://localhost:$port/v5'"
	);
	return;
}

send_to($counter_port);
queue(1, "'first'");
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._waiting'),
	'a first event is sent');
my $pid = worker_pid($node);
ok($pid, 'a worker runs');

# ---- one after the other ----

my @after;
my $most = 0;
for (my $sent = 0; $sent < $events; $sent += $step)
{
	queue($step, "'step'");
	my $peak = most_until_sent($pid, 600);

	last if $peak < 0;
	$most = $peak if $peak > $most;
	push @after, own_memory($pid);
}
is(scalar @after, $events / $step, "$events events are sent");
bounded($most, "$events events");

# The memory after the first third is what the worker needs.
my $settled = $after[ @after / 3 ];
SKIP:
{
	skip 'under AddressSanitizer', 1 if $ENV{PINTEREST_CAPI_SANITIZED};
	cmp_ok(
		$after[-1], '<',
		$settled + 2048,
		'and no more at the end than after a third of them');
}
note(
	"result: $events events: $most kB at most, $settled kB after a third, $after[-1] kB at the end"
);

# ---- a backlog ----

sql('SELECT pinterest_capi.pause_destination()');
for (my $queued = 0; $queued < $backlog; $queued += 1_000_000)
{
	my $rest = $backlog - $queued;

	queue($rest < 1_000_000 ? $rest : 1_000_000, "'backlog'");
}
is(sql('SELECT count(*) FROM pinterest_capi._waiting'),
	$backlog, "$backlog events wait");
sql('SELECT pinterest_capi.resume_destination()');
$most = most_until_sent($pid, 60 + $backlog / 1000);
bounded($most, "a backlog of $backlog events");
note("result: a backlog of $backlog events: $most kB at most");

# ---- large payloads: an order of a thousand lines, more of them than there is memory for ----

queue(200, "repeat(md5(i::text), 32000)");
$most = most_until_sent($pid, 180);
bounded($most, '200 events of 1 MB each');
note("result: 200 events of 1 MB each: $most kB at most");

# ---- answers ----

send_to($stub->{port});

sub answered
{
	my ($name, $body, $id) = @_;
	my $used = cpu_seconds($pid);

	$stub->script({ times => 1, status => 200, body => $body });
	queue(1, "'$id'");

	# It may have been retried before this query ran.
	my $event = sql('SELECT max(id) FROM pinterest_capi._event');
	my $most = most_until(
		$pid,
		"coalesce((SELECT attempts > 0 FROM pinterest_capi._retry WHERE id = $event),"
		  . " (SELECT attempts > 1 FROM pinterest_capi._outcome WHERE id = $event), false)",
		60);
	$used = cpu_seconds($pid) - $used;
	bounded($most, $name);
	sql('UPDATE pinterest_capi._retry SET due_at = now(); UPDATE pinterest_capi._destination_state SET backoff_until = NULL; SELECT pinterest_capi._wake()'
	);
	cmp_ok(most_until_sent($pid, 60), '>', 0, "$name: and sent again");
	note("result: $name: $most kB at most");
	return $used;
}

my $used = answered(
	'four million bytes of escapes',
	'{"message":"' . '\\u00e9' x 666_000 . '"}',
	'escapes');
cmp_ok($used, '<', 5, 'which take no time to speak of');
answered(
	'a message given a hundred thousand times',
	'{"events":[{' . '"error_message":"x",' x 100_000 . '"status":1}]}',
	'repeated');

is(worker_pid($node), $pid, 'the same worker all the time');
unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|ERROR:|server process .* was terminated/,
	'no such word in the log');
$node->stop;
$counter->kill_kill(grace => 5);
$stub->stop;
done_testing();
