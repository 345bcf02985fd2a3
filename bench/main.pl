# main.pl
#	  Run the named measurements, print a table and write JSON.
#
# bench/run calls this, and a test with small sizes.  It needs PGHOST and PGPORT
# of a server of its own, the server's directory in BENCH_CLUSTER, and the
# directory of its Perl modules in @INC.
use strict;
use warnings;

use Bench;
use Bench::Environment;
use Bench::Stub;
use File::Temp ();
use JSON::PP   ();

my @known =
  qw(enqueue drain growth latency late resume steady peer fanin source look worker instructions);
my ($json, @what);

while (@ARGV)
{
	my $word = shift @ARGV;

	if    ($word eq '--json') { $json = shift @ARGV }
	elsif (grep { $_ eq $word } @known)
	{
		push @what, $word;
	}
	else { die "unknown: $word; known are @known\n" }
}
@what = @known unless @what;

$| = 1;
my $begun = time;
local $SIG{INT} = sub { die "interrupted\n" };

my $dir = File::Temp->newdir;
my $stub = Bench::Stub->new("$dir");
my $capacity = $stub->capacity;
my $environment = Bench::Environment::describe(
	command => $ENV{BENCH_COMMAND} // 'bench/main.pl',
	what => \@what);

$environment->{stub} = {
	requests_per_second => $capacity + 0,
	events_per_second => 1000 * $capacity,
};
note(sprintf 'the stub takes %.0f requests of 1000 events a second',
	$capacity);

my $failed = 0;

for my $what (@what)
{
	my $module = 'Bench::' . ucfirst $what;

	note(sprintf "%s, after %d s", $what, time - $begun);
	if (!eval {
			require "Bench/" . ucfirst($what) . '.pm';
			$module->can('run')->($stub);
			1;
		})
	{
		note("$what: $@");
		$failed = 1;
	}
}
$stub->stop;

my $result = { environment => $environment, figures => [ figures() ] };

Bench::Environment::print_table($result);
if ($json)
{
	open my $file, '>', $json or die "$json: $!\n";
	print $file JSON::PP->new->canonical->pretty->encode($result);
	close $file or die "$json: $!\n";
}
exit $failed;
