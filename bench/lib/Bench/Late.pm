# Bench/Late.pm
#	  Measure the time from COMMIT to arrival of events that commit late: they were
#	  tracked before 1,000,000 others that are sent already, and a writing transaction
#	  that began before all of them is still open.
#
# The worker has passed these events' ids, and has to find them behind its cursor.  As
# long as the old transaction is open, it can't know that no more of them will come.
# Each is in a transaction of its own, and the next one commits when the last has
# arrived.  Prepared transactions are committed by another session than the one that
# tracked their events.
package Bench::Late;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use IPC::Run ();

my $db = 'bench_late';

sub _session
{
	my $session = { in => '', out => '' };

	$session->{process} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $db ],
		'<' => \$session->{in},
		'>' => \$session->{out});
	return $session;
}

# Run statements in a session; return what they print.
sub _ask
{
	my ($session, $sql) = @_;

	$session->{out} = '';
	$session->{in} .= "$sql;\n\\echo done\n";
	$session->{process}->pump
	  until $session->{out} =~ /^done\n\z/m || !$session->{process}->pumpable;
	$session->{out} =~ s/done\n\z// or die "a session has ended: $sql\n";
	return $session->{out};
}

# Begin a transaction that tracks this event, and leave it open.
sub _tracked
{
	my ($id) = @_;
	my $session = _session();

	_ask($session, 'BEGIN');
	_ask($session,
			'SELECT '
		  . track_call('o', "'$id'")
		  . ' FROM shop.orders AS o LIMIT 1');
	return $session;
}

# Commit in the session; return the milliseconds until the event is at the stub.
sub _arrival
{
	my ($stub, $session, $id, $commit) = @_;
	my $seen;
	my ($committed) =
	  _ask($session,
		"SELECT extract(epoch FROM clock_timestamp()) * 1000;\n$commit") =~
	  /^([\d.]+)/;

	poll(sub { $seen = $stub->seen->{probes}{$id} }, 60)
	  or die "$id does not arrive\n";
	return $seen->[0] - $committed;
}

sub run
{
	my ($stub) = @_;
	my $events = scaled(1_000_000, 5_000);
	my $orders = $events < 100_000 ? $events : 100_000;
	my $number = rounds(9, 3);
	my $prepares = value('postgres', 'SHOW max_prepared_transactions') > 0;
	my (@runs, @prepared_runs);

	$stub->database($db);
	make_orders($db, $orders);
	psql($db, 'CREATE TABLE shop.other AS SELECT 1 AS one');
	set_conf('pinterest_capi.dispatch' => 'on');
	psql($db, TRACK_WARM);

	my $old = _session();

	_ask($old, 'BEGIN');
	_ask($old, 'UPDATE shop.other SET one = 2');

	my @late = map { _tracked("probe-late-$_") } 1 .. $number;
	my @prepared = map { "probe-prepared-$_" } $prepares ? 1 .. $number : ();

	for my $id (@prepared)
	{
		my $session = _tracked($id);

		_ask($session, "PREPARE TRANSACTION '$id'");
		$session->{process}->finish;
	}
	$stub->reset;
	for (my $sent = 0; $sent < $events; $sent += $orders)
	{
		psql($db,
				'SELECT count('
			  . track_call('o', "'bulk-$sent-' || o.id")
			  . ') FROM shop.orders AS o');
	}
	value($db, q{SELECT pinterest_capi.flush('30 minutes')}) eq 't'
	  or die "not all was sent\n";
	$stub->seen->{events} >= $events or die "not all has arrived\n";

	$stub->reset(probes => 1);
	for my $i (0 .. $#late)
	{
		push @runs,
		  _arrival($stub, $late[$i], 'probe-late-' . ($i + 1), 'COMMIT');
	}

	my $session = _session();

	push @prepared_runs, _arrival($stub, $session, $_, "COMMIT PREPARED '$_'")
	  for @prepared;
	_ask($old, 'ROLLBACK');
	$_->{process}->finish for @late, $session, $old;

	figure(
		name => 'commits behind the cursor, COMMIT to arrival',
		unit => 'ms',
		runs => \@runs,
		least => 1000,
		aim => 10);
	figure(
		name => 'prepared behind the cursor, COMMIT PREPARED to arrival',
		unit => 'ms',
		runs => \@prepared_runs) if $prepares;
	return;
}

1;
