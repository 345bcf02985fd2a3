# The bench works: each of its measurements runs at a small size, and the
# ratios of two figures measured side by side are within generous bounds.
# Counts of instructions are compared exactly: other processes don't change
# them.
#
# Runs by itself: it compares times.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";
my $node = PostgreSQL::Test::Cluster->new('bench');

$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', <<'CONF');
max_connections = 50
max_prepared_transactions = 5
max_wal_size = 4GB
log_statement = none
autovacuum_naptime = 1s
CONF
$node->start;

my $dir = PostgreSQL::Test::Utils::tempdir();

# Run a part of the bench; return its figures by name.
sub bench
{
	my ($part, @what) = @_;

	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGUSER} = scalar getpwuid($<);
	local $ENV{PGDATABASE} = 'postgres';
	local $ENV{BENCH_CLUSTER} = $node->data_dir;
	local $ENV{BENCH_QUICK} = $part;
	local $ENV{BENCH_STEADY} = 5;
	my ($stdout, $stderr) = ('', '');
	my $ok = IPC::Run::run(
		[
			$^X, '-I',
			"$top/bench/lib", "$top/bench/main.pl",
			'--json', "$dir/bench.json",
			@what
		],
		'<' => \undef,
		'>' => \$stdout,
		'2>' => \$stderr);

	ok($ok, "bench: @what") or diag($stderr);
	note($stderr);
	note($stdout);

	my $result = decode_json(slurp_file("$dir/bench.json"));

	ok($result->{environment}{stub}{requests_per_second} > 0,
		'the stub was measured');
	return map { $_->{name} => $_ } @{ $result->{figures} };
}

my %figure =
  bench(200, qw(enqueue drain growth latency late resume steady source look));

# Each ratio is the median of three rounds, and other processes on the machine may
# double one side of each.
my %at_most = (
	'loop, track' => 3,
	'loop, track against minimal' => 5,
	'trigger, track' => 3,
	'WAL, whole life' => 3,
	'disk, when settled' => 3,
	'source, track' => 6,
	'source, trigger' => 8,);
for my $name (sort keys %at_most)
{
	cmp_ok($figure{$name}{ratio} // 99, '<', $at_most{$name}, "$name: ratio")
	  if ok($figure{$name}, "$name was measured");
}
for my $name (
	'first 1,000 of 10,000',
	'first 1,000 of 100,000',
	'behind 1,000 undue retries',
	'while a snapshot is held')
{
	cmp_ok($figure{$name}{ratio} // 0, '>', 0.2, "$name: ratio")
	  if ok($figure{$name}, "$name was measured");
}
for my $name (
	'newest 50 events',
	'newest 50 failures',
	'one event by its event_id')
{
	cmp_ok($figure{"$name, 5,000 kept"}{ratio} // 99, '<', 5, "$name: ratio")
	  if ok($figure{"$name, 5,000 kept"}, "$name was measured");
}
cmp_ok($figure{drain}{value}, '>', 100, 'a backlog is drained');
cmp_ok($figure{'COMMIT to arrival, idle, p50'}{value},
	'<', 500, 'events arrive');
cmp_ok($figure{'commits behind the cursor, COMMIT to arrival'}{value},
	'<', 5000, 'so does one that commits behind the cursor');
for my $name ('in front', 'behind', 'behind, new worker')
{
	my $f = $figure{"resumes, $name, first request"};

	cmp_ok($f ? $f->{value} : 1e9,
		'<', 5000, "a destination sends when it resumes: $name");
}
is($figure{'steady, more than one attempt'}{value},
	0, 'steady state: each event needed one attempt');
my ($table) = grep { /^steady, _\w+$/ } sort keys %figure;
cmp_ok($figure{$table}{value},
	'<', 8192, 'steady state: the queue stays small');

SKIP:
{
	skip 'no valgrind', 1
	  unless grep { -x "$_/valgrind" } split /:/, $ENV{PATH};

	%figure = bench(1, 'instructions');
	for my $name ('track', 'trigger')
	{
		cmp_ok($figure{"instructions, $name"}{ratio},
			'<', 1, "$name takes fewer instructions than the same by hand");
		note(
			"result: instructions, $name: $figure{\"instructions, $name\"}{value}"
		);
	}
	my @written = grep { /, as written down$/ } sort keys %figure;
	cmp_ok(scalar(@written), '>', 0, 'there are figures to compare with');
	for my $name (@written)
	{
		my $f = $figure{$name};

		cmp_ok($f->{ratio}, '<', 1.1,
			"$name: no more than a tenth above $f->{reference}");
	}
}

$node->stop;
done_testing();
