# Behind PgBouncer in transaction mode each order is sent once, whatever a
# session has set or reset before: settings count at once in all sessions, and
# DISCARD ALL after each transaction, RECONNECT, a lost worker and a restarted
# server change nothing.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Environment;
use PinterestStub qw(:DEFAULT new_worker clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = needs('pgbouncer');
my (undef, $version) = run_tool($pgbouncer, '--version');
note 'result: ' . (split /\n/, $version)[0];

my $stub = PinterestStub->new;
my $node = setup_node('shop', $stub,
	conf => "shared_preload_libraries = 'pinterest_capi'\n");
make_shop($node);

# ---- the pooler ----

my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid($>);
my $pool = "host=$directory port=$port user=$user dbname=postgres";
my $console = "host=$directory port=$port user=$user dbname=pgbouncer";

# reset => whether DISCARD ALL follows each transaction, not only each session
sub configure_pooler
{
	my (%params) = @_;

	unlink "$directory/pgbouncer.ini";
	append_to_file("$directory/pgbouncer.ini", <<"INI");
[databases]
* = host=@{[$node->host]} port=@{[$node->port]}
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $directory
auth_type = trust
auth_file = $directory/users
admin_users = $user
pool_mode = transaction
default_pool_size = 3
server_reset_query = DISCARD ALL
server_reset_query_always = @{[$params{reset} ? 1 : 0]}
server_login_retry = 1
INI
	return;
}
append_to_file("$directory/users", qq{"$user" ""\n});
configure_pooler(reset => 0);
daemon('pgbouncer', $pgbouncer, "$directory/pgbouncer.ini");
ok( poll(
		sub {
			eval { query($pool, 'SELECT 1') }
		}),
	'the pooler answers');

# Call it in all sessions of the pool: each is busy while the others are asked.
sub in_all_sessions
{
	my ($statement) = @_;
	my @handle;

	push @handle,
	  IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $pool, '-c',
			"BEGIN; SELECT pg_sleep(0.3); $statement; COMMIT"
		],
		'<' => \undef,
		'>' => \my $ignored,
		'2>' => \my $complaint) for 1 .. 3;
	my $good = grep { $_->finish } @handle;
	return $good == 3;
}

# Another event than the orders', in all sessions; its ids begin with $id.
sub sign_up
{
	my ($id) = @_;

	return in_all_sessions(
		qq{SELECT pinterest_capi.track('signup', '{}', '{"em": "a\@example.com"}', event_id => '$id-' || pg_backend_pid())}
	);
}

# Return the statuses that these events have, and whether there are as many as
# the pool has sessions.
sub statuses
{
	my ($id) = @_;

	return $node->safe_psql(
		'postgres', qq{
		SELECT string_agg(DISTINCT CASE WHEN status = 'suppressed' THEN reason ELSE 'taken' END, ' '), count(*) = 3
		FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$id-%'});
}

# ---- settings, in sessions that orders share ----

start_orders($pool);
orders_flow($stub, 40, 'orders come in through the pool');
ok(sign_up('before'), 'all sessions track an event that is not allowed');
is(statuses('before'), 'not allowed|t', 'it is suppressed');
query($pool, q{SELECT pinterest_capi.allow_event('signup')});
ok(sign_up('allowed'), 'it is allowed through the pool');
is(statuses('allowed'), 'taken|t', 'which counts at once in all sessions');
query($pool, q{SELECT pinterest_capi.disallow_event('signup')});
ok(sign_up('disallowed'), 'and forbidden again');
is(statuses('disallowed'), 'not allowed|t', 'so does that');

# What a careless client leaves in a session, the next client has.
ok( in_all_sessions(
		q{SELECT set_config(name, value, false) FROM (VALUES ('search_path', 'pg_temp'), ('TimeZone', 'Asia/Kathmandu'),
			('DateStyle', 'German'), ('IntervalStyle', 'sql_standard'), ('bytea_output', 'escape'), ('extra_float_digits', '-15'),
			('standard_conforming_strings', 'off'), ('plan_cache_mode', 'force_generic_plan')) AS left_behind (name, value)}
	),
	'clients leave settings behind');
orders_flow($stub, 40, 'orders go on in the sessions that have them');
is( $node->safe_psql(
		'postgres',
		q{SELECT count(*) > 0 FROM pinterest_capi.dispatch_status WHERE created_at > now() - interval '1 minute' AND event_time > now() - interval '1 minute'}
	),
	't',
	'with the right time');

# ---- sessions that are reset, renewed and lost ----

query($pool, ('DISCARD ALL') x 20);
orders_flow($stub, 40, 'orders go on in sessions that were reset');
configure_pooler(reset => 1);
query($console, 'RELOAD');
orders_flow($stub, 40,
	'orders go on where the pooler resets after each transaction');
ok(sign_up('reset'), 'all sessions');
is(statuses('reset'), 'not allowed|t', 'know the settings');
query($console, 'RECONNECT');
orders_flow($stub, 40, 'orders go on in new sessions');
new_worker($node, 'the worker is terminated, another one starts');
orders_flow($stub, 40, 'and sends them');
query($console, 'PAUSE');
$node->restart;
query($console, 'RESUME');
orders_flow($stub, 40, 'orders go on after a restart behind a paused pooler');
$node->stop('immediate');
$node->start;
orders_flow($stub, 40, 'orders go on after a crash behind the pooler');

# it complains of the event that was not allowed
all_is_well($stub, $node, but => 'allowed events');
clean_log($node);
end_daemon('pgbouncer', 'INT');
$node->stop;
$stub->stop;
done_testing();
