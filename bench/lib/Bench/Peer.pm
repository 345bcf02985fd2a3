# Bench/Peer.pm
#	  Send the same events through pg_net, where the server has it.
#
# pg_net is a general HTTP client for SQL: net.http_post() queues one request,
# its worker makes it.  So an event is a request of its own there.  Both send to
# the same stub, by plain HTTP on loopback, what was committed before: from
# COMMIT to the last arrival.  pg_net with its defaults, and with larger
# batches; of those, the fastest that lost nothing counts.
package Bench::Peer;

use strict;
use warnings;

use Bench;
use Bench::Drain;
use Bench::Workload;
use IPC::Run    ();
use Time::HiRes qw(time usleep);

my $db = 'bench_peer';
my @batch_sizes = (200, 500, 1000, 2000);

sub _restart
{
	my ($libraries) = @_;
	my $out = '';

	# An empty list can't be set, only reset.
	psql('postgres',
		$libraries eq ''
		? 'ALTER SYSTEM RESET shared_preload_libraries'
		: "ALTER SYSTEM SET shared_preload_libraries = '$libraries'");
	IPC::Run::run(
		[
			'pg_ctl', '-D', $ENV{BENCH_CLUSTER}, '-l',
			"$ENV{BENCH_CLUSTER}.log", '-s', '-w', '-m', 'fast', 'restart'
		],
		'<' => \undef,
		'>' => \$out,
		'2>&1'
	) or die "restart: $out\n" . `tail -n 5 $ENV{BENCH_CLUSTER}.log`;
	return;
}

# Wait until all events have arrived, or none has arrived for long; return
# events a second, and how many did not arrive.
sub _arrive
{
	my ($stub, $started, $events) = @_;
	my $seen = $stub->seen;
	my $changed = time();

	while ($seen->{events} < $events && time() - $changed < 20)
	{
		my $before = $seen->{events};

		usleep(20_000);
		$seen = $stub->seen;
		$changed = time() if $seen->{events} != $before;
	}
	return ($seen->{events} / ($seen->{last_ms} / 1000 - $started),
		$events - $seen->{events});
}

sub _peer
{
	my ($stub, $events, $batch_size) = @_;

	psql('postgres', "ALTER SYSTEM SET pg_net.batch_size = $batch_size");
	psql('postgres', 'SELECT pg_reload_conf()');
	psql($db, 'TRUNCATE net._http_response; CHECKPOINT');
	$stub->reset;

	my $started = time();

	psql($db, <<"SQL");
SELECT count(net.http_post('http://127.0.0.1:$stub->{plain_port}/v5/ad_accounts/549755885175/events',
	body := jsonb_build_object('data', jsonb_build_array(payload::jsonb)),
	headers := '{"Content-Type": "application/json", "Authorization": "Bearer pina_TESTONLY_bench"}'))
FROM (SELECT payload FROM shop.payloads LIMIT $events) AS e
SQL
	return _arrive($stub, $started, $events);
}

sub run
{
	my ($stub) = @_;

	if (value('postgres',
			q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_net'}
		) == 0)
	{
		note('peer: left out, the server has no pg_net');
		return;
	}

	my $events = scaled(100_000, 2_000);
	my $requests = scaled(20_000, 4_000);
	my (%runs, %lost, @ours);
	my $before = value('postgres', 'SHOW shared_preload_libraries') // '';

	$stub->database($db,
		api_url => "http://127.0.0.1:$stub->{plain_port}/v5");

	# its worker has to know the database when it starts, and the setting only exists once it has
	_restart(join ',', grep { $_ ne '' } $before, 'pg_net');
	psql('postgres', "ALTER SYSTEM SET pg_net.database_name = '$db'");
	_restart(join ',', grep { $_ ne '' } $before, 'pg_net');
	psql($db, 'CREATE EXTENSION pg_net');
	set_conf('pinterest_capi.dispatch' => 'off');
	make_orders($db, $events);
	psql($db, 'SELECT count(' . track_call('o') . ') FROM shop.orders AS o');
	psql($db,
		'CREATE TABLE shop.payloads AS SELECT payload FROM pinterest_capi._event ORDER BY id'
	);

	for my $round (1 .. rounds(3))
	{
		set_conf('pinterest_capi.dispatch' => 'off');
		empty_queues($db);
		psql($db,
			'SELECT count(' . track_call('o') . ') FROM shop.orders AS o');
		push @ours, Bench::Drain::drain($stub, $db, $events)->{rate};
		for my $size (@batch_sizes)
		{
			my ($rate, $lost) = _peer($stub, $requests, $size);

			push @{ $runs{$size} }, $rate;
			$lost{$size} += $lost;
		}
	}
	_restart($before);

	my ($best) = sort { median(@{ $runs{$b} }) <=> median(@{ $runs{$a} }) }
	  grep { $lost{$_} == 0 } @batch_sizes;

	for my $size (@batch_sizes)
	{
		my %goal = $size == 200 ? (least => 100, aim => 400) : defined $best
		  && $size == $best ? (least => 20, aim => 80) : ();

		figure(
			name => "against pg_net, batch_size $size"
			  . ($size == 200 ? ', its default' : ''),
			unit => 'events/s',
			runs => \@ours,
			reference => $runs{$size},
			against => 'pg_net',
			higher => 1,
			remark => $lost{$size}
			? "pg_net lost $lost{$size} of " . rounds(3) * $requests
			: 'pg_net lost none',
			%goal);
	}
	return;
}

1;
