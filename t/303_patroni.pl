# With Patroni and etcd, a switchover, a lost node, a killed postmaster and an
# etcd that is away lose no order of the database that goes on: one server
# sends, and the standby does not.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Environment;
use HTTP::Tiny;
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($patroni, $patronictl, $etcd) = needs('patroni', 'patronictl', 'etcd');
note 'result: ', join ', ',
  map { (split /\n/, (run_tool($_, '--version'))[1])[0] } $patroni, $etcd;

my $stub = PinterestStub->new;
my $directory = PostgreSQL::Test::Utils::tempdir();
my $user = getpwuid($>);
my @node = map { PostgreSQL::Test::Cluster->new($_) } qw(one two);
my $bindir = $node[0]->config_data('--bindir');
adopt(@node);

# ---- etcd, and a node that Patroni makes ----

my ($etcd_port, $peer_port, @rest_port) =
  map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 4;

sub start_etcd
{
	daemon(
		'etcd', $etcd,
		'--data-dir' => "$directory/etcd",
		'--listen-client-urls' => "http://127.0.0.1:$etcd_port",
		'--advertise-client-urls' => "http://127.0.0.1:$etcd_port",
		'--listen-peer-urls' => "http://127.0.0.1:$peer_port",
		'--unsafe-no-fsync' => ());
	return;
}

sub conf { return "$directory/$_[0].yml" }

sub start_patroni
{
	my ($n) = @_;

	daemon("patroni-$n", $patroni, conf($n));
	return;
}

for my $n (0, 1)
{
	append_to_file(conf($n), <<"YML");
scope: shop
name: @{[$node[$n]->name]}
restapi:
  listen: 127.0.0.1:$rest_port[$n]
  connect_address: 127.0.0.1:$rest_port[$n]
etcd3:
  host: 127.0.0.1:$etcd_port
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        log_statement: none
        shared_preload_libraries: pinterest_capi
        pinterest_capi.ca_file: '@{[$stub->ca_file]}'
        wal_keep_size: 256MB
  initdb:
  - encoding: UTF8
  - locale: C
  - data-checksums
  pg_hba:
  - local all all trust
  - local replication all trust
  - host all all 127.0.0.1/32 trust
  - host replication all 127.0.0.1/32 trust
postgresql:
  listen: 127.0.0.1:@{[$node[$n]->port]}
  connect_address: 127.0.0.1:@{[$node[$n]->port]}
  use_unix_socket: true
  data_dir: @{[$node[$n]->data_dir]}
  bin_dir: $bindir
  pgpass: $directory/pgpass-$n
  authentication:
    superuser:
      username: $user
    replication:
      username: replicator
  parameters:
    unix_socket_directories: '@{[$node[$n]->host]}'
YML
}

# Wait until a node is a standby that Patroni would promote: it notes that some
# seconds after the primary waits for the standby.
sub is_sync_standby
{
	my ($n, $name) = @_;
	my $http = HTTP::Tiny->new(timeout => 5);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( poll(
			sub {
				$http->get("http://127.0.0.1:$rest_port[$n]/sync")->{success};
			}),
		$name);
	return;
}

start_etcd();
start_patroni(0);
becomes_primary($node[0], 'Patroni makes a primary');
configure($node[0], $stub, 'postgres');
make_shop($node[0]);
start_patroni(1);
is_sync_standby(1, 'and a synchronous standby');

slow_orders($stub, address(@node));

# ---- switchover ----

ok( run_tool(
		$patronictl, '-c', conf(0), 'switchover',
		'shop', '--candidate', 'two', '--force'),
	'a switchover');
becomes_primary($node[1], 'the other one is the primary');
is_sync_standby(0, 'the old primary is its standby');
orders_flow($stub, 40, 'orders go on');

# ---- the primary's machine is lost, and comes back ----

end_daemon('patroni-1', 'KILL');
kill_server($node[1]);
becomes_primary($node[0], 'the standby of the lost node is promoted');
orders_flow($stub, 40, 'orders go on');
start_patroni(1);
is_sync_standby(1, 'the lost node comes back as a standby');

# ---- the postmaster is killed, Patroni lives ----

kill_server($node[0]);
ok( poll(
		sub {
			grep { holds($_, 'NOT pg_is_in_recovery()') } @node;
		}),
	'after its postmaster was killed there is a primary again');
orders_flow($stub, 40, 'orders go on');

# ---- etcd is away ----

end_daemon('etcd', 'KILL');
ok( poll(
		sub {
			!grep { holds($_, 'NOT pg_is_in_recovery()') } @node;
		}),
	'without etcd no server stays primary');
start_etcd();
orders_flow($stub, 40, 'orders go on once etcd is back');

my ($primary) = grep { holds($_, 'NOT pg_is_in_recovery()') } @node;
my ($standby) = grep { $_ != $primary } @node;
has_standby($primary, 'there is a standby');
$stub->script();
all_is_well($stub, $primary, others => [$standby]);
for my $n (1, 0)
{
	end_daemon("patroni-$n");
	unlike(
		slurp_file("$PostgreSQL::Test::Utils::log_path/patroni-$n.log"),
		qr/PANIC|TRAP:|invalid memory|resource .* leak/i,
		"node $n: no such word in the log");
}
$stub->stop;
done_testing();
