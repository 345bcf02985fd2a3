# Bench/Resume.pm
#	  Measure how soon a destination that was paused sends again, when much was tracked
#	  and sent for another one meanwhile.
#
# 100,000 events of the one wait, 5,000,000 of the other are tracked and sent.  The
# time is that from resume_destination() until its first request is at the stub:
#	in front	what waits was tracked first
#	behind		it was tracked last, so that all of the other's are before it
#	behind, new worker	likewise, with a worker that has just been started
package Bench::Resume;

use strict;
use warnings;

use Bench;
use Bench::Drain;
use Bench::Workload;

my $db = 'bench_resume';
my $number = 0;

sub _track
{
	my ($destination, $events, $orders) = @_;

	for (my $tracked = 0; $tracked < $events; $tracked += $orders)
	{
		my $call = track_call('o', "'batch-" . ++$number . "-' || o.id") =~
		  s/\)\s*\z/, destination => '$destination')/r;

		psql($db,
				"SELECT count($call) FROM (SELECT * FROM shop.orders LIMIT "
			  . ($events - $tracked < $orders ? $events - $tracked : $orders)
			  . ') AS o');
	}
	return;
}

# Wait until all is sent that may be.
sub _flush
{
	value($db, q{SELECT pinterest_capi.flush('60 minutes')}) eq 't'
	  or die "not all was sent\n";
	return;
}

sub _new_worker
{
	my $pid = Bench::Drain::worker_pid($db);

	psql($db, "SELECT pg_terminate_backend($pid)");
	poll(
		sub {
			my $new = Bench::Drain::worker_pid($db);

			return $new && $new != $pid;
		},
		30) or die "no other worker\n";
	return;
}

# Resume the destination; return the milliseconds until its first request.
sub _first_request
{
	my ($stub, $events) = @_;
	my $seen;

	psql('postgres', 'CHECKPOINT');
	$stub->reset;

	my ($resumed) = psql($db, <<'SQL');
SELECT extract(epoch FROM clock_timestamp()) * 1000;
SELECT pinterest_capi.resume_destination('pausing') AS x \gset
SQL
	poll(sub { $seen = $stub->seen; return defined $seen->{first_ms} }, 120)
	  or die "no request\n";
	_flush();
	$seen = $stub->seen;
	die "$seen->{events} of $events arrived\n"
	  unless $seen->{events} == $events;
	return $seen->{first_ms} - $resumed;
}

sub run
{
	my ($stub) = @_;
	my $waiting = scaled(100_000, 1_000);
	my $others = scaled(5_000_000, 25_000);
	my $orders = $others < 100_000 ? $others : 100_000;
	my %order = (
		'in front' => [qw(waiting others)],
		'behind' => [qw(others waiting)],
		'behind, new worker' => [qw(others waiting new_worker)],);

	$stub->database($db);
	psql($db, <<"SQL");
SELECT pinterest_capi.configure_destination('2617998078212', 'pina_TESTONLY_bench', '549755885175', destination => 'pausing');
SELECT pinterest_capi.allow_event('Checkout', destination => 'pausing');
UPDATE pinterest_capi.destination AS d SET api_url = e.api_url, max_requests_per_minute = e.max_requests_per_minute
FROM pinterest_capi.destination AS e WHERE d.destination = 'pausing' AND e.destination = 'default';
SQL
	make_orders($db, $orders);
	set_conf('pinterest_capi.dispatch' => 'on');
	for my $name (sort keys %order)
	{
		note("resume: $name");
		psql($db, q{SELECT pinterest_capi.pause_destination('pausing')});
		for my $step (@{ $order{$name} })
		{
			_track('pausing', $waiting, $orders) if $step eq 'waiting';
			_track('default', $others, $orders) if $step eq 'others';
			_new_worker() if $step eq 'new_worker';
		}
		_flush();
		figure(
			name => "resumes, $name, first request",
			unit => 'ms',
			runs => [ _first_request($stub, $waiting) ],
			least => 1000,
			aim => 100);
	}
	return;
}

1;
