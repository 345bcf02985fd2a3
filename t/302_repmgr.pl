# With repmgr, a switchover and a killed primary under load lose no order of the
# database that goes on: one server sends, and the old primary comes back as a
# standby that does not.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Environment;
use PinterestStub qw(:DEFAULT clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($repmgr, $repmgrd) = needs('repmgr', 'repmgrd');
my $bindir = PostgreSQL::Test::Cluster->new('probe')->config_data('--bindir');

# a wrapper of Debian's takes the server's version from elsewhere
($repmgr, $repmgrd) = map { "$bindir/$_" } qw(repmgr repmgrd);
plan skip_all => 'no repmgr for this server' unless -x $repmgrd;
my (undef, $version) = run_tool($repmgr, '--version');
chomp $version;
note "result: $version";

my $stub = PinterestStub->new;
my $directory = PostgreSQL::Test::Utils::tempdir();
my $user = getpwuid($>);

# repmgr reaches the other node by ssh; here both are on one machine
append_to_file("$directory/ssh", <<'SH');
#!/bin/sh
while [ "${1#-}" != "$1" ]; do
	[ "$1" != -o ] || shift
	shift
done
shift
exec sh -c "$*"
SH
chmod 0755, "$directory/ssh";

# ---- two nodes ----

my @node = map { PostgreSQL::Test::Cluster->new($_) } qw(one two);
$node[0]->init(
	allows_streaming => 1,
	extra => [ '-E', 'UTF8', '--no-locale', '-k' ]);
$node[0]->append_conf('postgresql.conf', <<"CONF");
log_statement = none
shared_preload_libraries = 'pinterest_capi, repmgr'
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
hot_standby = on
wal_keep_size = 256MB
CONF
start_server($node[0]);
configure($node[0], $stub, 'postgres');
make_shop($node[0]);
$node[0]->safe_psql('postgres', 'CREATE DATABASE repmgr');
$node[0]->backup('base');
$node[1]->init_from_backup($node[0], 'base', has_streaming => 1);
start_server($node[1]);

# not before: test/run's initdb is the first in the path
$ENV{PATH} = "$directory:$ENV{PATH}";

sub conf { return "$directory/repmgr-$_[0].conf" }

sub conninfo
{
	my ($n) = @_;
	return sprintf 'host=%s port=%s user=%s dbname=repmgr connect_timeout=2',
	  $node[$n]->host, $node[$n]->port, $user;
}

sub repmgr
{
	my ($n, @command) = @_;
	return run_tool($repmgr, '-f', conf($n), @command);
}

for my $n (0, 1)
{
	my $other = $node[ 1 - $n ]->data_dir;

	append_to_file(conf($n), <<"CONF");
node_id = @{[$n + 1]}
node_name = '@{[$node[$n]->name]}'
conninfo = '@{[conninfo($n)]}'
data_directory = '@{[$node[$n]->data_dir]}'
pg_bindir = '$bindir'
repmgr_bindir = '$bindir'
failover = automatic
promote_command = '$bindir/pg_ctl -D $other -m immediate stop; $repmgr -f @{[conf($n)]} standby promote'
follow_command = '$repmgr -f @{[conf($n)]} standby follow --upstream-node-id=%n'
reconnect_attempts = 2
reconnect_interval = 1
monitor_interval_secs = 1
repmgrd_pid_file = '$directory/repmgrd-$n.pid'
shutdown_check_timeout = 60
node_rejoin_timeout = 60
log_level = INFO
CONF
}
ok(repmgr(0, 'primary', 'register'), 'the primary is registered');
$node[0]->wait_for_catchup($node[1]);
ok(repmgr(1, 'standby', 'register', '--force'), 'so is the standby');
$node[0]->wait_for_catchup($node[1]);

# both wait for the other's disk, whichever is the primary
for (@node)
{
	$_->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
	$_->safe_psql('postgres', 'SELECT pg_reload_conf()');
}
has_standby($node[0], 'the standby is synchronous');

sub start_repmgrd
{
	my ($n) = @_;

	daemon("repmgrd-$n", $repmgrd, '-f', conf($n), '--daemonize=false',
		'--verbose');
	return;
}
start_repmgrd($_) for 0, 1;

slow_orders($stub, address(@node));

# ---- switchover ----

ok(repmgr(1, 'standby', 'switchover'), 'a switchover');
becomes_primary($node[1], 'the other one is the primary');
has_standby($node[1], 'the old primary is its standby');
orders_flow($stub, 40, 'orders go on');

# ---- the primary is lost ----

# It can promote only once it has seen the new primary, and says so in few
# words where it starts.
end_daemon("repmgrd-$_") for 0, 1;
start_repmgrd(0);
my $log = "$PostgreSQL::Test::Utils::log_path/repmgrd-0.log";
ok( poll(
		sub {
			slurp_file($log) =~
			  /monitoring connection to upstream node "two"/;
		}),
	'repmgrd watches the new primary');
kill_server($node[1]);
becomes_primary($node[0],
	'repmgrd promotes the standby of the killed primary');
ok( $node[0]->poll_query_until(
		'repmgr',
		q{SELECT active AND type = 'primary' FROM repmgr.nodes WHERE node_name = 'one'}
	),
	'repmgr knows that');

# pg_rewind would take the other node's port
ok( repmgr(
		1, 'node', 'rejoin', '-d', conninfo(0), '--force-rewind',
		'--config-files=postgresql.conf',
		"--config-archive-dir=$directory"),
	'the old primary is rewound');
has_standby($node[0], 'it comes back as a standby');
orders_flow($stub, 40, 'orders go on');

$stub->script();
all_is_well($stub, $node[0], others => [ $node[1] ]);
clean_log($_) for @node;
end_daemon("repmgrd-0");
$stub->stop;
done_testing();
