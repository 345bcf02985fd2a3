# Bench/Steady.pm
#	  Track and send 5,000 events a second for ten minutes, and measure whether
#	  anything grows.
#
# One event a transaction.  Sizes, the worker's memory and the latency of probes
# are read in equal intervals.  The last quarter's median is compared with the
# second's, since the first is the start.  In a full run final rows are
# kept for two minutes, so that the tables that hold them have to stop growing
# too; the worker searches once a minute for older rows.
package Bench::Steady;

use strict;
use warnings;

use Bench;
use Bench::Drain;
use Bench::Latency;
use Bench::Workload;
use Time::HiRes qw(time usleep);

use constant {
	RATE => 5000,
	LOOKS => 40,
	KEPT => 120,
};

# Return the ratio of a series' last quarter's median to its second quarter's.
sub _flat
{
	my ($name, $unit, $series, %f) = @_;
	my $quarter = int(@$series / 4);
	my @second = @$series[ $quarter .. 2 * $quarter - 1 ];
	my @last = @$series[ -$quarter .. -1 ];

	figure(
		name => $name,
		unit => $unit,
		runs => [ median(@last) ],
		reference => [ median(@second) ],
		against => 'the second quarter',
		%f);
	return;
}

# Return of each table that events go through how often autovacuum has vacuumed it, and how
# many of its rows were deleted or updated.
sub _vacuums
{
	my ($db) = @_;
	my $names = join ',', event_tables($db);

	return map {
		my ($table, $runs, $dead) = split /\|/;
		($table => { runs => $runs, dead => $dead })
	} psql($db, <<"SQL");
SELECT relname, autovacuum_count, n_tup_del + n_tup_upd FROM pg_stat_user_tables
WHERE schemaname = 'pinterest_capi' AND relname = ANY ('{$names}') ORDER BY 1
SQL
}

sub run
{
	my ($stub) = @_;
	my $db = 'bench_steady';
	my $seconds = $ENV{BENCH_STEADY} // scaled(600, 30);
	my $kept = $seconds >= 4 * KEPT ? KEPT : undef;
	my %series;

	$stub->database($db);
	set_conf(
		'pinterest_capi.dispatch' => 'on',
		$kept
		? ( 'pinterest_capi.retention' => "$kept s",
			'pinterest_capi.payload_retention' => "$kept s")
		: ());
	$stub->reset(probes => 1);

	my $retry = retry_table($db);
	my %before = _vacuums($db);
	my $load = Bench::Latency::load($db, 1, RATE, $seconds);
	my $started = time();
	my $pid;

	poll(sub { return $pid = Bench::Drain::worker_pid($db) }, 30)
	  or die "no worker\n";
	for my $look (1 .. LOOKS)
	{
		my $at = $started + $look * ($seconds - 1) / LOOKS;
		my @latency =
		  Bench::Latency::probe($stub, $db, 20, 'pg_sleep(0.005)');

		push @{ $series{p50} }, percentile(0.50, @latency);
		push @{ $series{p99} }, percentile(0.99, @latency);
		push @{ $series{memory} }, memory_kb($pid);

		my ($queue, $queue_index, $events, $waiting) = split /\|/,
		  value($db, <<"SQL");
SELECT pg_table_size('pinterest_capi.$retry'), pg_indexes_size('pinterest_capi.$retry'),
	pg_total_relation_size('pinterest_capi._event') + pg_total_relation_size('pinterest_capi._outcome'),
	(SELECT sum(queued + retrying) FROM pinterest_capi.destination_status)
SQL
		push @{ $series{queue} }, $queue / 1024;
		push @{ $series{queue_index} }, $queue_index / 1024;
		push @{ $series{events} }, $events / 1024;
		push @{ $series{waiting} }, $waiting;
		usleep(1e6 * ($at - time())) if $at > time();
	}

	my $tps = Bench::Latency::finish_load($load);
	my $finished = time();

	value($db, q{SELECT pinterest_capi.flush('10 minutes')}) eq 't'
	  or die "not all was sent\n";

	my $behind = time() - $finished;
	my $seen = $stub->seen;
	my ($rows, $again) = split /\|/, value($db, <<'SQL');
SELECT (SELECT count(*) FROM pinterest_capi._event), (SELECT count(*) FROM pinterest_capi._outcome WHERE attempts <> 1)
SQL
	my %after = _vacuums($db);

	figure(name => 'steady, events in', unit => 'events/s', runs => [$tps]);
	figure(
		name => 'steady, events out',
		unit => 'events/s',
		runs =>
		  [ 1000 * $seen->{events} / ($seen->{last_ms} - $seen->{first_ms}) ],
		reference => [$tps],
		against => 'in',
		higher => 1);
	figure(
		name => 'steady, behind at the end',
		unit => 's',
		runs => [$behind]);
	figure(
		name => 'steady, more than one attempt',
		unit => 'events',
		runs => [$again]);
	_flat('steady, waiting', 'events', $series{waiting});
	_flat("steady, $retry", 'kB', $series{queue});
	_flat("steady, indexes of $retry", 'kB', $series{queue_index});
	_flat("steady, event and outcome, kept for $kept s",
		'kB', $series{events})
	  if $kept;
	_flat('steady, memory of the worker', 'kB', $series{memory});
	_flat('steady, COMMIT to arrival, p50', 'ms', $series{p50});
	_flat('steady, COMMIT to arrival, p99', 'ms', $series{p99});

	for my $table (sort keys %after)
	{
		figure(
			name => "steady, autovacuum of $table",
			unit => 'times',
			runs => [ $after{$table}{runs} - $before{$table}{runs} ]);
		figure(
			name => "steady, rows of $table that became dead",
			unit => 'rows/event',
			runs => [
				($after{$table}{dead} - $before{$table}{dead}) /
				  $seen->{events}
			]);
	}
	return unless $kept;
	figure(
		name => 'steady, rows kept at the end',
		unit => '',
		runs => [$rows],
		reference => [ $kept * $tps ],
		against => "those of $kept s");
	set_conf(
		'pinterest_capi.retention' => '30 days',
		'pinterest_capi.payload_retention' => '7 days');
	return;
}

1;
