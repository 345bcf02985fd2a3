# When a dispatcher's standby is promoted during a stream, every event whose
# commit was acknowledged arrives, and so do all of the publisher's.
#
# The dispatcher has events of its own and of a publisher, and replicates
# synchronously.  It is killed while both flow; repmgrd notices, fences it and
# promotes the standby (without repmgr the test does these steps).
#
# PINTEREST_CAPI_SCALE_EVENTS=N		events of each kind, 1500 unless given
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $events = $ENV{PINTEREST_CAPI_SCALE_EVENTS} // 1500;
my $patience = 60 + $events / 100;
my ($bindir) = map { chomp; $_ } `"\${PG_CONFIG:-pg_config}" --bindir`;
my $repmgr = -x "$bindir/repmgrd";

# the role that made the clusters; "postgres" only where root runs the tests
my $superuser = getpwuid($>);
my $token = PinterestStub::TOKEN;

my $stub = PinterestStub->new;

# ---- a publisher ----

my $shop = PostgreSQL::Test::Cluster->new('shop');
$shop->init(
	allows_streaming => 'logical',
	extra => [ '-E', 'UTF8', '--no-locale' ]);
$shop->append_conf('postgresql.conf',
	"log_statement = none\nshared_preload_libraries = 'pinterest_capi'");
$shop->start;
$shop->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('checkout');
	SELECT pinterest_capi.publish()});

# ---- a dispatcher with a standby ----

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(
	allows_streaming => 'logical',
	extra => [ '-E', 'UTF8', '--no-locale' ]);
$primary->append_conf('postgresql.conf', <<"CONF");
log_statement = none
shared_preload_libraries = 'pinterest_capi@{[ $repmgr ? ', repmgr' : '' ]}'
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
max_worker_processes = 16
CONF
$primary->start;
configure($primary, $stub, 'postgres');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby = on');
$standby->start;
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$primary->reload;
ok( $primary->poll_query_until(
		'postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication}),
	'a synchronous standby');
$primary->safe_psql('postgres',
		"SELECT pinterest_capi.subscribe('"
	  . ($shop->connstr('postgres') =~ s/'/''/gr)
	  . "', 'shop')");
is( $primary->safe_psql(
		'postgres', 'SELECT subsynccommit FROM pg_subscription'),
	'on',
	'where there is a synchronous standby, the subscription waits for it');
like(
	$standby->safe_psql(
		'postgres', 'SELECT message FROM pinterest_capi.destination_status'),
	qr/this server is a standby/,
	'a standby says that it sends nothing');

# ---- fencing and promotion ----

# Fence: stop the server, and make it impossible to start it by mistake.
my $directory = PostgreSQL::Test::Utils::tempdir();
my $fence = "$directory/fence";
my $old_data = $primary->data_dir;
append_to_file($fence, <<"SH");
#!/bin/sh
"$bindir/pg_ctl" -D "$old_data" -m immediate stop
mv "$old_data/global/pg_control" "$old_data/global/pg_control.fenced"
SH
chmod 0755, $fence;

my @conf;
my $daemon;

sub repmgr
{
	my ($n, @command) = @_;
	my ($out, $err) = ('', '');

	my $ok = IPC::Run::run(
		[ "$bindir/repmgr", '-f', $conf[$n], @command ],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err);
	diag("repmgr @command: $out$err") unless $ok;
	return $ok;
}

sub start_repmgr
{
	my @node = ($primary, $standby);

	$primary->safe_psql('postgres', 'CREATE DATABASE repmgr');
	$primary->wait_for_catchup($standby);
	for my $n (0, 1)
	{
		$conf[$n] = "$directory/repmgr-$n.conf";
		append_to_file($conf[$n], <<"CONF");
node_id = @{[$n + 1]}
node_name = '@{[$node[$n]->name]}'
conninfo = 'host=@{[$node[$n]->host]} port=@{[$node[$n]->port]} user=$superuser dbname=repmgr connect_timeout=2'
data_directory = '@{[$node[$n]->data_dir]}'
pg_bindir = '$bindir'
failover = automatic
promote_command = '$fence; $bindir/repmgr -f $conf[$n] standby promote'
follow_command = 'true'
reconnect_attempts = 2
reconnect_interval = 1
monitor_interval_secs = 1
repmgrd_pid_file = '$directory/repmgrd-$n.pid'
CONF
	}
	ok(repmgr(0, 'primary', 'register'), 'repmgr: the primary is registered');
	$primary->wait_for_catchup($standby);
	ok( repmgr(1, 'standby', 'register', '--force'),
		'repmgr: the standby is registered');
	$primary->wait_for_catchup($standby);
	$daemon = IPC::Run::start(
		[
			"$bindir/repmgrd", '-f',
			$conf[1], '--daemonize=false',
			'--verbose'
		],
		'<' => \undef,
		'>' => "$directory/repmgrd.log",
		'2>&1');
	ok( poll(
			sub {
				-s "$directory/repmgrd.log"
				  && slurp_file("$directory/repmgrd.log") =~ /monitoring/;
			}),
		'repmgrd watches the primary'
	) or diag(slurp_file("$directory/repmgrd.log"));
	return;
}

if ($repmgr) { start_repmgr() }
else         { note 'repmgr is not installed: the test fences and promotes' }

# ---- both kinds of events flow; acknowledged events are printed ----

my $script = "$directory/direct.sql";
append_to_file(
	$script,
	join '',
	map {
		"SELECT pinterest_capi.track('checkout', '{\"value\": 1, \"currency\": \"USD\"}', '{\"em\": \"a\@example.com\"}', event_id => 'direct-$_');\n"
	} 1 .. $events);
my ($printed, $complaints, $ignored) = ('', '', '');
my $direct = IPC::Run::start(
	[
		'psql', '-XAtq',
		'-d', $primary->connstr('postgres'),
		'-v', 'ON_ERROR_STOP=1',
		'-f', $script
	],
	'<' => \undef,
	'>' => \$printed,
	'2>' => \$complaints);
my $published = IPC::Run::start(
	[
		'psql', '-XAtq', '-d', $shop->connstr('postgres'), '-c', qq{
		DO \$\$
		BEGIN
			FOR i IN 1..$events LOOP
				PERFORM pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
					event_id => 'shop-' || i);
				IF i % 10 = 0 THEN COMMIT; END IF;
			END LOOP;
		END \$\$}
	],
	'<' => \undef,
	'>' => \$ignored,
	'2>' => \$ignored);
ok( poll(
		sub {
			$direct->pump_nb if $direct->pumpable;
			($printed =~ tr/\n//) > 100 && $stub->count->{processed} > 100;
		},
		$patience),
	'events of both kinds flow');
my $begin = time();
$primary->stop('immediate');
$direct->finish;
if ($repmgr)
{
	ok( poll(
			sub {
				$standby->safe_psql('postgres',
					'SELECT NOT pg_is_in_recovery()') eq 't';
			},
			60),
		'repmgrd promotes the standby'
	) or diag(slurp_file("$directory/repmgrd.log"));
}
else
{
	system($fence);
	$standby->promote;
}
my $promoted = time() - $begin;
$published->finish;
ok(!$primary->start(fail_ok => 1),
	'the old primary is fenced: it can\'t be started');

my @committed = $printed =~ /^(direct-\d+)$/mg;
cmp_ok(scalar @committed,
	'<', $events, scalar(@committed) . ' were committed when it was killed');
my %seen;
my $all = sub {
	%seen = ();
	$seen{ $_->{event}{event_id} }++
	  for grep { $_->{verdict} eq 'processed' } $stub->received;
	return (grep { /^shop-/ } keys %seen) == $events && !grep { !$seen{$_} }
	  @committed;
};
ok(poll($all, $patience),
	'all that was committed arrives, and all of the publisher\'s');
my @missing = grep { !$seen{$_} } @committed, map { "shop-$_" } 1 .. $events;
is("@missing", '', 'none is lost');
is( $standby->safe_psql(
		'postgres', q{
		SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'shop-%' AND origin = 'shop'}
	),
	$events,
	'the new dispatcher has each of the publisher\'s, with its origin');
is($shop->safe_psql('postgres', q{SELECT pinterest_capi.flush()}),
	't', 'the publisher has handed over all');
note sprintf
  "result: dispatcher killed and replaced by its standby%s: promoted after %.1f s, 0 of %d committed events lost, %d repeated under the same event_id",
  $repmgr ? ' (repmgrd)' : '', $promoted, @committed + $events,
  $stub->count->{duplicates};

# The promoted standby is a dispatcher like the first: it sends new events of
# both kinds.
$_->safe_psql(
	'postgres', q{
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'after-' || current_setting('port'))}
) for $standby, $shop;
ok( poll(
		sub {
			(() = $stub->received('after-' . $standby->port))
			  && (() = $stub->received('after-' . $shop->port));
		}),
	'afterwards events of both kinds arrive');

$daemon->kill_kill(grace => 5) if $daemon;
for my $node ($standby, $shop)
{
	unlike(
		slurp_file($node->logfile),
		qr/PANIC|TRAP:|invalid memory|\Q$token\E|\@example\.com/,
		$node->name . ': no such word in the log');
	$node->stop;
}
$stub->stop;
done_testing();
