# Compare.pm
#	  Compare times on a machine that other processes use, too.
#
# Another process makes one measurement slower at any moment, and never all of
# them.  So what is compared is measured in pairs, the two of a pair right after
# each other, and the median of the pairs' ratios counts.  CPU time is better
# where there is one process to look at, since what others use isn't in it.
package Compare;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(at_most_times cpu_seconds within);

use constant {
	FEWEST_PAIRS => 3,
	MOST_PAIRS => 15,
};

sub _median
{
	my @sorted = sort { $a <=> $b } @_;

	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# Check that the one measurement is at most $limit times the other, by the median of the
# pairs' ratios.  one, other: subs that return a number, called alternately.
# More pairs are measured until the median is well under the limit: on a busy
# machine it takes more of them.  fewest, most: how many pairs; unit: of the numbers.
sub at_most_times
{
	my ($limit, $name, %p) = @_;
	my $enough = 1 + 0.75 * ($limit - 1);
	my (@one, @other, @ratios);

	while (@ratios < ($p{most} // MOST_PAIRS))
	{
		# in another order each time, so that neither has the better place
		for my $which (@ratios % 2 ? qw(one other) : qw(other one))
		{
			push @{ $which eq 'one' ? \@one : \@other }, $p{$which}->();
		}
		push @ratios, $one[-1] / $other[-1];
		last
		  if @ratios >= ($p{fewest} // FEWEST_PAIRS)
		  && _median(@ratios) <= $enough;
	}

	# of many the first ones
	my $some = sub {
		join ' ', map { sprintf '%.0f', $_ } grep { defined } @_[ 0 .. 14 ];
	};

	note(
		sprintf
		  'result: %s: %.2f times, median of %d pairs: %s against %s %s',
		$name,
		_median(@ratios),
		scalar(@ratios),
		$some->(@one),
		$some->(@other),
		$p{unit});
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok(_median(@ratios), '<=', $limit, $name);
	return;
}

# Return the CPU time that a process has used; where the system doesn't tell, the clock's.
sub cpu_seconds
{
	my ($pid) = @_;

	# the first field: nanoseconds on a processor
	return (split ' ', slurp_file("/proc/$pid/schedstat"))[0] / 1e9
	  if -r "/proc/$pid/schedstat";
	return time();
}

# Check that the action doesn't wait for something that takes much longer than a
# minute, such as a request_timeout of 300 s.  Whatever else the machine does, the
# action takes less.
sub within
{
	my ($name, $action) = @_;
	my $begin = time();

	$action->();
	my $took = time() - $begin;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok($took, '<', 60, sprintf '%s (%.1f s)', $name, $took);
	return;
}

1;
