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

for my $mode (qw(smart fast immediate))
{
	$stub->hang($node, "stop-$mode");
	my $begin = time();
	$node->stop($mode);
	my $took = time() - $begin;

	# pg_ctl itself polls once a second
	cmp_ok(
		$took, '<', 2,
		sprintf(
			'%s: stopped in under 2 s with a request hanging (%.1f)',
			$mode, $took));
	$stub->release;
	$node->start;
	$stub->arrives("stop-$mode", 'and the event arrives after the start');
}
all_sent($node, 'all is settled');
clean_log($node);
$node->stop;
$stub->stop;
done_testing();
