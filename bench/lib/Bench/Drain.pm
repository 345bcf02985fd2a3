# Bench/Drain.pm
#	  Measure the cost of an event to the server after COMMIT, by sending a backlog.
#
# The time begins when dispatch is switched on and ends with flush(), which
# returns when the last verdict is committed.  CPU is that of the worker, and
# that of the whole server (its workers, WAL writer, autovacuum).  WAL is counted from before
# the events to after VACUUM of the tables they went through, against one INSERT
# of the same payloads into a table with a primary key, and its VACUUM.
package Bench::Drain;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use Time::HiRes qw(time);

my $db = 'bench_drain';

sub _lsn
{
	return value($db, 'SELECT pg_current_wal_insert_lsn() - \'0/0\'::pg_lsn');
}

# Return how many rows were inserted into the table of outcomes, and how many became
# dead in the tables that events go through: those deleted, and those updated.
sub _rows
{
	my $names = join ',', event_tables($db);
	my ($inserted, $dead) = split /\|/, value($db, <<"SQL");
SELECT sum(n_tup_ins) FILTER (WHERE relname = '_outcome'), sum(n_tup_del + n_tup_upd)
FROM pg_stat_user_tables WHERE schemaname = 'pinterest_capi' AND relname = ANY ('{$names}')
SQL

	return ($inserted, $dead);
}

sub worker_pid
{
	return value($_[0], 'SELECT pid FROM pinterest_capi.worker_status');
}

# Send the events that wait in the database; return the measured values.
sub drain
{
	my ($stub, $database, $events) = @_;
	my $cpu = cluster_cpu();
	my $pid;

	# the worker must be running, so that its start isn't measured
	psql($database, 'SELECT pinterest_capi._wake()');
	poll(sub { $pid = worker_pid($database) }, 30) or die "no worker\n";

	my $worker_cpu = cpu_of($pid);
	my $before = $stub->reset->{cpu_us};
	my $started = time();

	ask_conf('pinterest_capi.dispatch' => 'on');
	poll(sub { return $stub->seen->{requests} > 0 }, 30)
	  or die "nothing is sent\n";
	value($database, q{SELECT pinterest_capi.flush('30 minutes')}) eq 't'
	  or die "not all was sent\n";

	my $seconds = time() - $started;
	my $seen = $stub->seen;

	die "$seen->{events} events arrived, $events were queued\n"
	  unless $seen->{events} == $events;
	my $sent = value($database,
		q{SELECT count(*) FROM pinterest_capi._outcome WHERE status = 'sent' AND attempts = 1}
	);
	die "$sent of $events are sent, at once\n" unless $sent == $events;
	return {
		rate => $events / $seconds,
		worker_cpu => 1e6 * (cpu_of($pid) - $worker_cpu) / $events,
		cluster_cpu => 1e6 * (cluster_cpu() - $cpu) / $events,
		stub_cpu => (
			$seen->{cpu_us}{user} +
			  $seen->{cpu_us}{system} -
			  $before->{user} -
			  $before->{system}) / $events,
		requests => $seen->{requests},
	};
}

sub run
{
	my ($stub) = @_;
	my $events = scaled(200_000, 2_000);
	my (%runs, @plain);

	$stub->database($db);
	make_orders($db, $events);
	make($db, hand_schema());

	my @tables = event_tables($db);
	my $names = join ',', @tables, '_lease';

	for my $round (1 .. rounds(5))
	{
		set_conf('pinterest_capi.dispatch' => 'off');
		empty_queues($db);

		my $lsn = _lsn();

		psql($db,
			'SELECT count(' . track_call('o') . ') FROM shop.orders AS o;');
		push @{ $runs{wal_enqueue} }, (_lsn() - $lsn) / $events;

		my ($inserted, $dead) = _rows();
		my $figures = drain($stub, $db, $events);

		# a process reports its counts when it is idle
		poll(sub { return (_rows())[0] >= $inserted + $events }, 30)
		  or die "the worker's counts are not reported\n";
		push @{ $runs{dead} }, ((_rows())[1] - $dead) / $events;

		push @{ $runs{$_} }, $figures->{$_} for keys %$figures;
		push @{ $runs{wal_settled} }, (_lsn() - $lsn) / $events;
		psql($db, "VACUUM pinterest_capi.$_") for @tables;
		push @{ $runs{wal_life} }, (_lsn() - $lsn) / $events;
		push @{ $runs{disk} }, value($db, <<"SQL") / $events;
SELECT sum(pg_total_relation_size(c)) FROM unnest('{$names}'::text[]) AS t (name),
	LATERAL (SELECT ('pinterest_capi.' || name)::regclass AS c) AS r
SQL
		$lsn = _lsn();
		psql($db,
			'INSERT INTO hand.plain (payload) SELECT payload FROM pinterest_capi._event ORDER BY id'
		);
		psql($db, 'VACUUM hand.plain');
		push @plain, (_lsn() - $lsn) / $events;
		push @{ $runs{disk_plain} },
		  value($db, q{SELECT pg_total_relation_size('hand.plain')}) /
		  $events;
	}
	figure(
		name => 'drain',
		unit => 'events/s',
		runs => $runs{rate},
		least => 40000,
		aim => 83333,
		higher => 1);
	figure(
		name => 'drain, CPU of the worker',
		unit => 's/million events',
		runs => $runs{worker_cpu},
		least => 3.2,
		aim => 2.5);
	figure(
		name => 'drain, CPU of the whole server',
		unit => 's/million events',
		runs => $runs{cluster_cpu});
	figure(
		name => 'drain, CPU of the stub',
		unit => 's/million events',
		runs => $runs{stub_cpu});
	figure(name => 'drain, requests', unit => '', runs => $runs{requests});
	figure(
		name => 'WAL, tracked',
		unit => 'bytes/event',
		runs => $runs{wal_enqueue},
		reference => \@plain,
		against => 'INSERT of the payload');
	figure(
		name => 'WAL, to settled',
		unit => 'bytes/event',
		runs => $runs{wal_settled},
		reference => \@plain,
		against => 'INSERT of the payload');
	figure(
		name => 'WAL, whole life',
		unit => 'bytes/event',
		runs => $runs{wal_life},
		reference => \@plain,
		against => 'INSERT of the payload',
		least => 1.65,
		aim => 1.5);
	figure(
		name => 'dead rows, of events and what becomes of them',
		unit => 'rows/event',
		runs => $runs{dead},
		least => 0,
		aim => 0);
	figure(
		name => 'disk, when settled',
		unit => 'bytes/event',
		runs => $runs{disk},
		reference => $runs{disk_plain},
		against => 'INSERT of the payload');
	return;
}

1;
