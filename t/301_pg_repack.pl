# pg_repack of the orders and of the extension's tables, while orders come in
# and are sent: each is sent once, and the tables are smaller afterwards.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Environment;
use PinterestStub qw(:DEFAULT worker_pid clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pg_repack) = needs('pg_repack');
my (undef, $version) = run_tool($pg_repack, '--version');
chomp $version;
note "result: $version";

my $stub = PinterestStub->new;
my $node = setup_node('shop', $stub,
	conf => "shared_preload_libraries = 'pinterest_capi'\n");
make_shop($node);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_repack');

sub repack
{
	my (@options) = @_;

	return run_tool(
		$pg_repack, '-h', $node->host, '-p',
		$node->port, '-d', 'postgres', '--wait-timeout=10',
		@options);
}

slow_orders($stub, address($node), 60);

# It leaves out unlogged tables and those without a primary key.
my $file = sub {
	return $node->safe_psql('postgres',
		"SELECT pg_relation_filenode('$_[0]')");
};
my @table = split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT c.oid::regclass FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
	WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND (c.relnamespace = 'pinterest_capi'::regnamespace OR c.relname = 'orders') ORDER BY 1}
);
cmp_ok(scalar @table, '>', 8, 'tables: ' . join ' ', @table);
my %before = map { $_ => $file->($_) } @table;
my $worker = worker_pid($node);

ok(repack('--table=orders'), 'pg_repack of the orders');
orders_flow($stub, 40, 'orders go on');
ok(repack('--schema=pinterest_capi'), 'of all tables of the extension');
is(join(' ', grep { $file->($_) eq $before{$_} } @table), '', 'all are new');
orders_flow($stub, 40, 'orders go on');
ok( repack(
		'--only-indexes',
		map { "--table=pinterest_capi.$_" } qw(_event _retry _outcome)),
	'of indexes alone');
orders_flow($stub, 40, 'orders go on');

# once more, in a session and a worker that know the new tables
ok( repack(
		map { "--table=pinterest_capi.$_" } qw(_event _retry _outcome _lease)
	),
	'of the queue, once more');
orders_flow($stub, 40, 'orders go on');
ok( repack(
		'--no-order',
		'--table=orders',
		map { "--table=pinterest_capi.$_" }
		  qw(destination _destination_state _secret)),
	'of settings');
orders_flow($stub, 40, 'orders go on');

$stub->script();
all_is_well($stub, $node);
is(worker_pid($node), $worker, 'the worker is the one that was there before');
clean_log($node);
$node->stop;
$stub->stop;
done_testing();
