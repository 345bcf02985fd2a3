# With pg_auto_failover, a switchover and a lost node lose no order of the
# database that goes on: one server sends, and the standby does not.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Environment;
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pg_autoctl) = needs('pg_autoctl');
note 'result: ', (split /\n/, (run_tool($pg_autoctl, '--version'))[1])[0];

my $stub = PinterestStub->new;
my $directory = PostgreSQL::Test::Utils::tempdir();
my ($monitor, @node) =
  map { PostgreSQL::Test::Cluster->new($_) } qw(monitor one two);
adopt($monitor, @node);

# its own files, and the servers' sockets
for my $kind (qw(CONFIG_HOME DATA_HOME RUNTIME_DIR))
{
	mkdir "$directory/$kind" or die $!;
	$ENV{"XDG_$kind"} = "$directory/$kind";
}
$ENV{PG_REGRESS_SOCK_DIR} = $monitor->host;

sub create
{
	my ($kind, $node, @options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( run_tool(
			$pg_autoctl, 'create', $kind,
			'--pgdata' => $node->data_dir,
			'--pgport' => $node->port,
			'--hostname' => '127.0.0.1',
			'--auth' => 'trust',
			'--no-ssl', @options),
		$node->name . ' is created');
	return;
}

sub start
{
	my ($node) = @_;

	daemon($node->name, $pg_autoctl, 'run', '--pgdata' => $node->data_dir);
	return;
}

# ---- a monitor and two nodes ----

create('monitor', $monitor);
$monitor->append_conf('postgresql.conf', <<'CONF');
pgautofailover.health_check_period = 1000
pgautofailover.health_check_timeout = 1000
pgautofailover.health_check_retry_delay = 500
pgautofailover.node_considered_unhealthy_timeout = 5000
pgautofailover.primary_demote_timeout = 5000
pgautofailover.startup_grace_period = 1000
CONF
start($monitor);
my $at = sprintf 'postgres://autoctl_node@127.0.0.1:%d/pg_auto_failover',
  $monitor->port;
ok( poll(
		sub {
			eval { $monitor->safe_psql('pg_auto_failover', 'SELECT 1'); };
		}),
	'the monitor answers');
create('postgres', $node[0], '--name' => 'one', '--monitor' => $at);
$node[0]->append_conf('postgresql.conf', <<"CONF");
log_statement = none
shared_preload_libraries = 'pinterest_capi'
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
CONF
start($node[0]);
becomes_primary($node[0], 'the first is the primary');
configure($node[0], $stub, 'postgres');
make_shop($node[0]);
create('postgres', $node[1], '--name' => 'two', '--monitor' => $at);
start($node[1]);
has_standby($node[0], 'the second is its synchronous standby');

slow_orders($stub, address(@node));

# ---- switchover ----

ok( run_tool(
		$pg_autoctl, 'perform',
		'switchover', '--pgdata' => $node[0]->data_dir),
	'a switchover');
becomes_primary($node[1], 'the second is the primary');
has_standby($node[1], 'the first is its standby');
orders_flow($stub, 40, 'orders go on');

# ---- the primary's machine is lost, and comes back ----

kill_daemon('two');
becomes_primary($node[0], 'the standby of the lost node is promoted');
orders_flow($stub, 40, 'orders go on');
start($node[1]);
has_standby($node[0], 'the lost node comes back as a standby');
orders_flow($stub, 40, 'orders go on');

$stub->script();
all_is_well($stub, $node[0], others => [ $node[1] ]);
end_daemon($_) for qw(two one monitor);
for my $name (qw(one two))
{
	unlike(
		slurp_file("$PostgreSQL::Test::Utils::log_path/$name.log"),
		qr/PANIC|TRAP:|invalid memory|resource .* leak/i,
		"$name: no such word in the log");
}
$stub->stop;
done_testing();
