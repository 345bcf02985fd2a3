# Bench/Fanin.pm
#	  Measure the cost of an event where several servers enqueue and one sends,
#	  part by part, at 1, 2 and 4 enqueueing servers on this machine; and compare
#	  the sum of the parts with the measured rate.
#
# The sessions enqueue an event per transaction, with synchronous_commit off:
# the question is the CPU, not the disk.  Only the sending is measured alone,
# as bench/run drain does; the other parts run at the same time.  All
# servers share the machine's cores, so the model is: rate = cores / (CPU per
# event of all parts), but no faster than the one session of each server.
package Bench::Fanin;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use IPC::Run    ();
use Time::HiRes qw(time);

my $db = 'bench_fanin';
my @shop;

sub _make_shop
{
	my ($n, $events) = @_;
	my $shop = new_server("shop-$n",
		"synchronous_commit = off\npinterest_capi.dispatch = off");

	at_server(
		$shop,
		sub {
			psql('postgres', "CREATE DATABASE $db");
			psql(
				$db, q{
			CREATE EXTENSION pinterest_capi;
			INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
			SELECT pinterest_capi.allow_event('Checkout');
			SELECT pinterest_capi.publish();});
			make_orders($db, $events);
			psql($db, <<"SQL");
CREATE PROCEDURE shop.place(prefix text) LANGUAGE plpgsql AS \$\$
DECLARE
	o shop.orders;
BEGIN
	FOR o IN SELECT * FROM shop.orders ORDER BY id LOOP
		PERFORM @{[ track_call('o', 'prefix || o.id') ]};
		COMMIT;
	END LOOP;
END \$\$
SQL
		});
	return $shop;
}

# Return the CPU seconds so far of each part.
sub _cpu
{
	my (@shops) = @_;
	my %cpu = (session => 0, walsender => 0, handover => 0, apply => 0);

	for my $shop (@shops)
	{
		my ($all, $walsender, $handover) = at_server(
			$shop,
			sub {
				my $pid =
				  value($db, q{SELECT active_pid FROM pg_replication_slots})
				  // '';
				my $worker =
				  value($db, q{SELECT pid FROM pinterest_capi.worker_status})
				  // '';

				return (
					cluster_cpu(),
					cpu_of($pid || 0),
					cpu_of($worker || 0));
			});

		$cpu{walsender} += $walsender;
		$cpu{handover}  += $handover;
		$cpu{session}   += $all - $walsender - $handover;
	}
	$cpu{apply} += cpu_of($_)
	  for psql($db,
		q{SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL});
	return %cpu;
}

sub _round
{
	my ($stub, $round, $events, @shops) = @_;
	my $n = @shops * $events;

	empty_queues($db);
	my %before = _cpu(@shops);
	my $started = time();
	my @session = map {
		my $shop = $_;
		at_server(
			$shop,
			sub {
				IPC::Run::start(
					[
						'psql', '-Xq', '-d', $db, '-c',
						"CALL shop.place('$round-$shop->{port}-')"
					],
					'<' => \undef);
			})
	} @shops;
	$_->finish or die "a session failed\n" for @session;
	my $enqueued = time() - $started;
	poll(
		sub { value($db, 'SELECT count(*) FROM pinterest_capi._event') == $n }
		,
		600) or die "not all arrived\n";
	my $arrived = time() - $started;
	at_server($_,
		sub { value($db, q{SELECT pinterest_capi.flush('10 minutes')}) }) eq
	  't'
	  or die "not handed over\n"
	  for @shops;
	my %after = _cpu(@shops);
	my %figures =
	  map { $_ => 1e6 * ($after{$_} - $before{$_}) / $n } keys %after;
	my $worker = value($db, 'SELECT pid FROM pinterest_capi.worker_status');
	my $sent = cpu_of($worker);

	$stub->reset;
	set_conf('pinterest_capi.dispatch' => 'on');
	value($db, q{SELECT pinterest_capi.flush('30 minutes')}) eq 't'
	  or die "not all was sent\n";
	$figures{send} = 1e6 * (cpu_of($worker) - $sent) / $n;
	$stub->seen->{events} == $n or die "not all was received\n";
	set_conf('pinterest_capi.dispatch' => 'off');

	my $cores = () = glob '/sys/devices/system/cpu/cpu[0-9]*';
	my $sum =
	  $figures{session} +
	  $figures{walsender} +
	  $figures{handover} +
	  $figures{apply};
	my $alone = 1e6 * @shops / $figures{session};
	my $shared = 1e6 * $cores / $sum;

	return (
		%figures,
		enqueued => $n / $enqueued,
		arrived => $n / $arrived,
		predicted => $alone < $shared ? $alone : $shared);
}

sub run
{
	my ($stub) = @_;
	my $events = scaled(20_000, 500);
	my $rounds = scaled(3, 1);

	$stub->database($db);
	set_conf('pinterest_capi.dispatch' => 'off');
	my $ok = eval {
		my $role = $ENV{PGUSER};

		for my $n (1 .. 4)
		{
			my $shop = _make_shop($n, $events);

			push @shop, $shop;
			psql($db,
				"SELECT pinterest_capi.subscribe('host=$ENV{PGHOST} port=$shop->{port} dbname=$db user=$role', 'shop_$n')"
			);
		}
		for my $servers (1, 2, 4)
		{
			my %runs;

			for my $round (1 .. $rounds)
			{
				my %figures = _round(
					$stub, "$servers-$round",
					$events, @shop[ 0 .. $servers - 1 ]);

				push @{ $runs{$_} }, $figures{$_} for keys %figures;
			}
			my $name = "fan-in of $servers";

			figure(
				name => "$name, enqueued",
				unit => 'events/s',
				runs => $runs{enqueued});
			figure(
				name => "$name, arrived at the dispatcher",
				unit => 'events/s',
				runs => $runs{arrived},
				reference => $runs{predicted},
				against => 'model');
			figure(
				name => "$name, CPU of the session",
				unit => 'us/event',
				runs => $runs{session});
			figure(
				name => "$name, CPU of the walsender",
				unit => 'us/event',
				runs => $runs{walsender});
			figure(
				name => "$name, CPU of handing over",
				unit => 'us/event',
				runs => $runs{handover});
			figure(
				name => "$name, CPU of the apply worker",
				unit => 'us/event',
				runs => $runs{apply});
			figure(
				name => "$name, CPU of sending",
				unit => 'us/event',
				runs => $runs{send});
		}
		1;
	};
	my $error = $@;

	eval { psql($db, "DROP SUBSCRIPTION shop_$_") } for 1 .. @shop;
	stop_servers();
	die $error unless $ok;
	return;
}

1;
