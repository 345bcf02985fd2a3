# A name server that doesn't answer delays only the events to names that it
# resolves, and neither shutdown nor DROP DATABASE.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Compare;
use PinterestStub qw(:DEFAULT sql track worker_pid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'the resolver can be replaced on Linux alone'
  if $^O ne 'linux';

my $stub = PinterestStub->new;
my $answers = "$stub->{dir}/answers";
system_or_bail('cc', '-shared', '-fPIC', '-O', '-o', "$stub->{dir}/names.so",
	"$FindBin::RealBin/../test/slow_names.c", '-ldl');

my $node = do
{
	local @ENV{qw(LD_PRELOAD TEST_NAMES)} =
	  ("$stub->{dir}/names.so", $answers);
	setup_node('names', $stub,
		conf => "pinterest_capi.connect_timeout = 1s\n");
};

# more than one request at a time: names are resolved
sub threads { return scalar(() = glob("/proc/$_[0]/task/*")) }

add_destination($node, $stub, 'slow');
sql(q{UPDATE pinterest_capi.destination SET api_url = 'https://api.slow.example/v5' WHERE destination = 'slow'}
);
track($node, 'first', destination => 'default');
becomes($node, 'first', 'status', 'sent', 'a name that is known: sent');
my $worker = worker_pid($node);

# twice the timeout of a name resolution that hangs all the time
track($node, 'waits', destination => 'slow');
ok(poll(sub { threads($worker) > 1 }), 'a name is being resolved');
my $begin = time();
my @took;
for (my $i = 1; time() - $begin < 3; $i++)
{
	my $tracked = time();

	track($node, "good-$i", destination => 'default');
	last
	  unless becomes($node, "good-$i", 'status', 'sent',
		"event $i to another destination meanwhile: sent", 20);
	push @took, time() - $tracked;
}
@took = sort { $a <=> $b } @took;

# the half of them: what else runs on the machine may delay any single one
cmp_ok(
	$took[ @took / 2 ],
	'<', 1,
	sprintf('they do not wait for the timeout: %.2f to %.2f s',
		@took[ 0, -1 ]));
becomes($node, 'waits',
	q{status, attempts, reason LIKE 'no connection: %timed out%'},
	'queued|0|t', 'its own event waits, and says why');
is(worker_pid($node), $worker, 'the worker is still the same');
cmp_ok(threads($worker), '>', 1,
	'with a thread that is still asked for the name');

# DROP DATABASE waits for the worker, which notices within a second that it
# blocks it.
sql('CREATE DATABASE other');
configure($node, $stub, 'other');
$node->safe_psql('other',
	q{UPDATE pinterest_capi.destination SET api_url = 'https://api.slow.example/v5'}
);
$node->safe_psql('other', PinterestStub::track_sql('other'));
ok( $node->poll_query_until(
		'other',
		q{SELECT reason LIKE '%timed out%' FROM pinterest_capi.dispatch_status}
	),
	'the same in another database');
within('which can be dropped', sub { sql('DROP DATABASE other') });

# A shutdown doesn't wait, whatever is in flight.
track($node, 'once-more', destination => 'slow');
within('a fast shutdown', sub { $node->stop('fast') });

# once the name server answers again
{
	local @ENV{qw(LD_PRELOAD TEST_NAMES)} =
	  ("$stub->{dir}/names.so", $answers);

	$node->start;
}
track($node, 'third', destination => 'slow');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'after a restart');
ok(poll(sub { threads(worker_pid($node)) > 1 }),
	'a name is being resolved again');
append_to_file($answers, '');
ok( poll(sub { threads(worker_pid($node)) == 1 }, 60),
	'the name server answers: no thread is left behind');

$node->stop;
$stub->stop;
done_testing();
