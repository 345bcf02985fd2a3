# Bench/Worker.pm
#	  Count the instructions that the worker needs to send an event, with callgrind.
#
# A server of its own runs under callgrind, which writes down what a process has
# counted when the process ends.  One worker sends few events and ends, another one
# many: the difference is that of the events, HTTP and TLS included.  The worker
# does some things by the clock, so the number varies a little.
#
# The rows are inserted into the tables directly, as track would make them.
package Bench::Worker;

use strict;
use warnings;

use Bench;
use Bench::Drain;
use Bench::Growth;
use File::Temp ();
use IPC::Run   ();

my $db = 'bench_worker';

# Return the instructions of an ended process.
sub _total
{
	my ($file) = @_;
	my $totals;

	poll(
		sub {
			open my $out, '<', $file or return 0;
			($totals) = map { /^totals: (\d+)/ ? $1 : () } <$out>;
			close $out;
			return defined $totals;
		},
		120) or die "$file: no totals\n";
	return $totals;
}

# Wait until the database has another worker than this one; return its pid.
sub _worker
{
	my ($other) = @_;
	my $pid;

	poll(
		sub {
			$pid = Bench::Drain::worker_pid($db);
			return $pid && $pid != $other;
		},
		120) or die "no worker\n";
	return $pid;
}

# Let a worker that has just been started send $events; return its instructions.
sub _send
{
	my ($stub, $dir, $events) = @_;

	set_conf('pinterest_capi.dispatch' => 'off');
	Bench::Growth::fill($db, $events);

	my $before = _worker(0);

	psql($db, "SELECT pg_terminate_backend($before)");

	my $pid = _worker($before);

	$stub->reset;
	ask_conf('pinterest_capi.dispatch' => 'on');
	poll(sub { return $stub->seen->{events} == $events }, 300)
	  or die "not all was sent\n";
	value($db, q{SELECT pinterest_capi.flush('5 minutes')}) eq 't'
	  or die "not all was settled\n";
	psql($db, "SELECT pg_terminate_backend($pid)");
	return _total("$dir/callgrind.$pid");
}

sub _measure
{
	my ($stub, $dir) = @_;
	my $long = scaled(10_000, 2_000);
	my $short = $long / 5;

	Bench::Growth::make_queue($stub, $db);
	psql($db, q{SELECT pinterest_capi.resume_destination('default')});
	_send($stub, $dir, $short);

	my ($few, $many) =
	  (_send($stub, $dir, $short), _send($stub, $dir, $long));

	figure(
		name => 'instructions, worker',
		unit => 'an event',
		runs => [ ($many - $few) / ($long - $short) ]);
	return;
}

sub run
{
	my ($stub) = @_;

	if (!grep { -x "$_/valgrind" } split /:/, $ENV{PATH})
	{
		note('worker: left out, there is no valgrind');
		return;
	}

	my $dir = File::Temp->newdir;
	my $data = "$dir/data";

	init_data($data, $ENV{PGUSER});
	local $ENV{PGHOST} = "$dir";
	local $ENV{BENCH_CLUSTER} = $data;
	my $server = IPC::Run::start(
		[
			'valgrind', '-q',
			'--tool=callgrind', "--callgrind-out-file=$dir/callgrind.%p",
			'postgres', '-D',
			$data, '-k',
			"$dir", '-c',
			'listen_addresses=', '-c',
			"port=$ENV{PGPORT}", '-c',
			'autovacuum=off'
		],
		'<' => \undef,
		'>' => "$data.log",
		'2>&1');
	my $done = eval {
		poll(
			sub {
				eval { value('postgres', 'SELECT 1') }
			},
			120) or die "no server under callgrind\n";
		_measure($stub, "$dir");
		1;
	};
	my $problem = $@;

	# a fast shutdown
	$server->signal('INT');
	$server->finish;
	die $problem unless $done;
	return;
}

1;
