# Bench/Latency.pm
#	  Measure the time from COMMIT to the arrival of the request's last byte at the
#	  stub.
#
# The session reads the clock before it sends COMMIT, so that the commit's own
# time, the flush of its WAL included, counts too; the stub reads the same
# machine's clock.  Idle: an event at a time, the next when the last is settled.
# Half load: beside 20,000 events a second, in transactions of 20.
package Bench::Latency;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use File::Temp ();
use IPC::Run   ();

our $number = 0;

# Return the milliseconds of each event; $between: what the session does
# between two.
sub probe
{
	my ($stub, $db, $count, $between) = @_;
	my $sql = TRACK_WARM;

	for (1 .. $count)
	{
		my $id = 'probe-' . ++$number;

		$sql .= <<"SQL";
BEGIN;
SELECT pinterest_capi.track('Checkout', '{"value": 12.34, "currency": "EUR", "order_id": "$number"}', '{"email": "a\@example.com"}', event_id => '$id') AS x \\gset
SELECT '$id', extract(epoch FROM clock_timestamp()) * 1000;
COMMIT;
SELECT $between AS x \\gset
SQL
	}
	my %committed =
	  map { split /\|/ } grep { /^probe-\d+\|/ } psql($db, $sql);
	my $seen;

	die "probes were not committed\n" unless keys %committed == $count;
	poll(
		sub {
			$seen = $stub->seen->{probes};
			return !grep { !$seen->{$_} } keys %committed;
		},
		60) or die "not all probes arrived\n";
	return map { $seen->{$_}[0] - $committed{$_} } keys %committed;
}

# Start transactions of $events events each, at this rate; they end by
# themselves.
sub load
{
	my ($db, $events, $rate, $seconds) = @_;
	my $script = <<"SQL";
\\set id random(1, 1000000000)
SELECT count(pinterest_capi.track('Checkout',
	jsonb_build_object('value', 12.34, 'currency', 'EUR', 'order_id', :id::text, 'product_id', 'sku-1', 'quantity', 2),
	jsonb_build_object('email', 'customer.' || :id::text || '\@example.com', 'phone', '+49 (30) 1234567', 'external_id', 'c-' || :id::text)))
FROM generate_series(1, $events);
SQL
	my $self = { dir => File::Temp->newdir };

	# files, not pipes: no process reads a pipe while it runs
	open my $file, '>', "$self->{dir}/script" or die "script: $!\n";
	print $file $script;
	close $file;
	$self->{process} = IPC::Run::start(
		[
			'pgbench', '-n', '-M', 'prepared', '-c', 4, '-j', 2, '-R', $rate,
			'-T', $seconds, '-f', "$self->{dir}/script", $db
		],
		'<' => \undef,
		'>' => "$self->{dir}/out",
		'2>&1');
	return $self;
}

sub finish_load
{
	my ($self) = @_;

	$self->{process}->finish;
	open my $file, '<', "$self->{dir}/out" or die "pgbench: $!\n";
	my $out = do { local $/; <$file> };

	close $file;
	$out =~ /^tps = ([\d.]+)/m or die "pgbench: $out\n";
	return $1;
}

sub run
{
	my ($stub) = @_;
	my $db = 'bench_latency';
	my $count = scaled(500, 30);
	my (%runs, @rate);

	$stub->database($db);
	set_conf('pinterest_capi.dispatch' => 'on');
	for my $round (1 .. rounds(3))
	{
		$stub->reset(probes => 1);

		my @idle = probe($stub, $db, $count, 'pinterest_capi.flush()');

		push @{ $runs{idle_50} }, percentile(0.50, @idle);
		push @{ $runs{idle_99} }, percentile(0.99, @idle);

		$stub->reset(probes => 1);
		my $load = load($db, 20, 1000, scaled(15, 4));

		# wait until the load runs and the first batch is over
		poll(sub { return $stub->seen->{requests} > 5 }, 30)
		  or die "no load\n";
		my @loaded = probe($stub, $db, $count, 'pg_sleep(0.02)');

		push @{ $runs{load_50} }, percentile(0.50, @loaded);
		push @{ $runs{load_99} }, percentile(0.99, @loaded);
		push @rate, 20 * finish_load($load);
		value($db, q{SELECT pinterest_capi.flush('10 minutes')}) eq 't'
		  or die "not all was sent\n";
		empty_queues($db);
	}
	figure(
		name => 'COMMIT to arrival, idle, p50',
		unit => 'ms',
		runs => $runs{idle_50},
		least => 10,
		aim => 2);
	figure(
		name => 'COMMIT to arrival, idle, p99',
		unit => 'ms',
		runs => $runs{idle_99},
		least => 50,
		aim => 10);
	figure(
		name => 'half load, events in',
		unit => 'events/s',
		runs => \@rate);
	figure(
		name => 'COMMIT to arrival, half load, p50',
		unit => 'ms',
		runs => $runs{load_50});
	figure(
		name => 'COMMIT to arrival, half load, p99',
		unit => 'ms',
		runs => $runs{load_99});
	return;
}

1;
