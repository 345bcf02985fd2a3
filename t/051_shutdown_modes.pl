# A request in flight delays no shutdown, whatever the mode, and its event is
# sent after the next start.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT all_sent clean_log);
use Test::More;
use Time::HiRes qw(time);

my $stub = PinterestStub->new;
my $node = setup_node('shutdown', $stub,
	conf =>
	  "shared_preload_libraries = 'pinterest_capi'\npinterest_capi.request_timeout = 300s\n"
);

# Return the seconds that a shutdown takes while a request hangs.
sub stop_while_hanging
{
	my ($mode, $id) = @_;

	$stub->hang($node, $id);
	my $begin = time();
	$node->stop($mode);
	my $took = time() - $begin;

	$stub->release;
	$node->start;
	$stub->arrives($id, 'and the event arrives after the start');
	return $took;
}

for my $mode (qw(smart fast immediate))
{
	my @took;

	# Other processes, or a slow disk under the last checkpoint, delay one
	# shutdown or another; the request in flight would delay all.
	for my $n (1 .. 5)
	{
		push @took, stop_while_hanging($mode, "stop-$mode-$n");
		last if $took[-1] < 2;
	}
	cmp_ok(
		$took[-1],
		'<', 2,
		sprintf(
			'%s: stopped in under 2 s with a request hanging (%s)',
			$mode, join ', ', map { sprintf '%.1f', $_ } @took));
}
all_sent($node, 'all is settled');
clean_log($node);
$node->stop;
$stub->stop;
done_testing();
