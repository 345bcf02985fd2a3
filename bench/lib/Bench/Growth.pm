# Bench/Growth.pm
#	  Measure whether a long queue, retries that are not due, or another session's
#	  old snapshot make sending slower.
#
# The time from resume_destination() until the first 100,000 events are at the
# stub: of 100,000, of 1,000,000 and of 10,000,000 that wait; of 100,000 behind
# as many retries that are due tomorrow; and with a reader whose snapshot was
# taken before all rounds, so that VACUUM removes nothing.  Each has a database
# of its own, and the rounds alternate.
#
# The rows are inserted into the tables directly, as track would make them.
package Bench::Growth;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use IPC::Run    ();
use Time::HiRes qw(time);

sub fill
{
	my ($db, $rows, $undue) = @_;
	my $retry = retry_table($db);
	my $into =
	  $undue
	  ? "INSERT INTO pinterest_capi.$retry (id, dest, attempts, due_at, last_attempt_at) SELECT id, dest, 1, now() + interval '1 day', now() FROM e ORDER BY id"
	  : waits_in_retry($db)
	  ? "INSERT INTO pinterest_capi.$retry (id, dest) SELECT id, dest FROM e ORDER BY id"
	  : 'SELECT count(*) FROM e';

	psql($db, <<"SQL");
BEGIN;
WITH e AS (
	INSERT INTO pinterest_capi._event (id, created_at, event_time, dest, event_id, event_name, sent_as, payload)
	SELECT i, now(), now(), t.dest, 'row-' || i, t.event_name, t.sent_as, replace(t.payload, 'template', 'row-' || i)
	FROM growth_template AS t,
		LATERAL (SELECT nextval('pinterest_capi._event_id_seq') AS i FROM generate_series(1, $rows)) AS n
	RETURNING id, dest)
$into;
COMMIT;
VACUUM ANALYZE pinterest_capi._event;
VACUUM ANALYZE pinterest_capi.$retry;
SELECT pinterest_capi._wake();
SQL
	return;
}

sub make_queue
{
	my ($stub, $db) = @_;

	$stub->database($db);
	psql($db, q{SELECT pinterest_capi.pause_destination('default')});
	make_orders($db, 1);
	psql($db,
			'SELECT '
		  . track_call('o', q{'template'})
		  . ' FROM shop.orders AS o');
	psql($db,
		'CREATE TABLE growth_template AS SELECT dest, event_name, sent_as, payload FROM pinterest_capi._event'
	);
	empty_queues($db);
	return;
}

# database => how many events its last round sent
my %sent;

# Return the events a second, of the first $n events, in a queue that is as long as it
# was before the last round.
sub _first
{
	my ($stub, $db, $events) = @_;

	fill($db, delete $sent{$db}) if $sent{$db};
	psql('postgres', 'CHECKPOINT');
	$stub->reset(mark => $events);

	my $started = 1000 * time();
	my $seen;

	psql($db, q{SELECT pinterest_capi.resume_destination('default')});
	poll(sub { $seen = $stub->seen; return defined $seen->{mark_ms} }, 600)
	  or die "$db: $seen->{events} of $events events arrived\n";
	psql($db, q{SELECT pinterest_capi.pause_destination('default')});
	poll(
		sub {
			return value($db, 'SELECT count(*) FROM pinterest_capi._lease')
			  == 0;
		},
		60) or die "$db: requests are out\n";
	$sent{$db} = $stub->seen->{events};
	return 1000 * $events / ($seen->{mark_ms} - $started);
}

sub run
{
	my ($stub) = @_;
	my $events = scaled(100_000, 1_000);
	my @long = (10 * $events, 100 * $events);
	my $word =
	  sub { return scalar reverse(join ',', unpack('(A3)*', reverse $_[0])) };

	set_conf('pinterest_capi.dispatch' => 'on');
	make_queue($stub, "growth_$_") for qw(short undue snapshot), @long;
	for my $rows (@long)
	{
		note("growth: $rows rows");
		fill("growth_$rows", $rows);
	}

	my ($in, $out) =
	  ("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'held';\n", '');
	my $reader = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', 'growth_snapshot' ],
		'<' => \$in,
		'>' => \$out);

	$reader->pump until $out =~ /held/;

	my %runs = alternate(
		rounds(3, 3),
		short => sub {
			empty_queues('growth_short');
			delete $sent{growth_short};
			fill('growth_short', $events);
			return _first($stub, 'growth_short', $events);
		},
		undue => sub {
			empty_queues('growth_undue');
			delete $sent{growth_undue};
			fill('growth_undue', $events, 1);
			fill('growth_undue', $events);
			return _first($stub, 'growth_undue', $events);
		},
		snapshot => sub {
			delete $sent{growth_snapshot};
			fill('growth_snapshot', $events);
			return _first($stub, 'growth_snapshot', $events);
		},
		map {
			my $rows = $_;
			($rows => sub { return _first($stub, "growth_$rows", $events) })
		} @long);

	$reader->finish;

	my %same = (
		unit => 'events/s',
		reference => $runs{short},
		against => $word->($events) . ' queued',
		higher => 1);

	figure(
		name => 'first ' . $word->($events) . ' of ' . $word->($_),
		runs => $runs{$_},
		%same,
		least => 0.9,
		aim => 1.0) for @long;
	figure(
		name => 'behind ' . $word->($events) . ' undue retries',
		runs => $runs{undue},
		%same,
		least => 0.8,
		aim => 1.0);
	figure(
		name => 'while a snapshot is held',
		runs => $runs{snapshot},
		%same,
		least => 0.8,
		aim => 1.0);
	psql('postgres', "DROP DATABASE growth_$_ WITH (FORCE)")
	  for qw(short undue snapshot), @long;
	return;
}

1;
