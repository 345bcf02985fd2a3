# Databases that share a worker slot go on taking turns after a clock that was
# ahead is set right.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track fake_clock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'the wall clock can be replaced on Linux alone'
  if $^O ne 'linux';

my $stub = PinterestStub->new;
my ($set_clock, %clock) = fake_clock($stub->{dir});
$set_clock->(3600);

my $node = PostgreSQL::Test::Cluster->new('turns');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', <<"CONF");
max_worker_processes = 2
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
CONF
{
	# The server has the test's clock, the test itself has the real one.
	local @ENV{ keys %clock } = values %clock;

	$node->start;
}

sub served
{
	return $node->safe_psql('postgres',
		q{SELECT string_agg(datname, ',') FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'}
	);
}

sub is_sent
{
	my ($database, $id, $name) = @_;

	ok( poll(
			sub { sql_status($node, $id, 'status', $database) eq 'sent' }, 60
		),
		$name);
	return;
}

for my $database (qw(a b))
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	configure($node, $stub, $database);
	track($node, "first-$database", database => $database);
}
is_sent($_, "first-$_", "$_: sent, with one slot for both") for qw(a b);

# This database has its worker, and by the clock that is ahead neither
# database is due, so the worker stays.  If the clock were set right between
# two workers, the server itself would start the next one an hour later.
sub stays
{
	my ($database) = @_;
	my @listed = glob($node->data_dir . '/pg_stat_tmp/pinterest_capi.*');

	return served() eq $database
	  && 2 == grep { ((stat $_)[9] // 0) > time() + 3602 } @listed;
}

for my $database (qw(a b a))
{
	my $waits = $database eq 'a' ? 'b' : 'a';

	$set_clock->(3600);
	ok(poll(sub { stays('a') || stays('b') }, 60),
		"$database: times are of a clock that is an hour ahead");
	track($node, "ahead-$database-" . time(), database => $database);
	ok(poll(sub { stays($database) }, 60), "$database: its worker is there");
	$set_clock->(0);
	ok(poll(sub { served() eq $waits }, 60),
		"$waits: the clock is set right, and it gets the slot");
	track($node, "waits-$waits-$database", database => $waits);
	is_sent($waits, "waits-$waits-$database", "$waits: sent");
}

$node->stop;
$stub->stop;
done_testing();
