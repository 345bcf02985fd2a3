# However many sessions commit while no worker runs, one session has one worker
# started.  Background worker slots are few, and the whole server shares them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use PinterestStub qw(:DEFAULT track_sql all_sent clean_log);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('start', $stub, conf => "log_min_messages = debug1\n");

sub registered
{
	my ($offset) = @_;

	return
	  scalar(() = slurp_file($node->logfile, $offset) =~
		  /registering background worker "pinterest_capi worker/g);
}

# ---- a session that commits quickly while the worker starts ----

# Repeated, since the time that a worker takes to start depends on the
# machine.
for my $n (1 .. 3)
{
	my $database = "shop$n";
	my $offset = -s $node->logfile;
	my ($out, $err);

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->psql(
		$database,
		join(
			"\n",
			'SET client_min_messages = warning;',
			'CREATE EXTENSION pinterest_capi;',
			q{SELECT pinterest_capi.configure_destination('1', 'pina_start', '2');},
			'SELECT pinterest_capi.pause_destination();',
			map { "SELECT pinterest_capi.allow_event('event $_', 'Custom');" }
			  1 .. 60),
		stdout => \$out,
		stderr => \$err,
		on_error_die => 1);
	is($err, '', 'a session that commits fast hears no warning');
	ok( $node->poll_query_until(
			$database,
			'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
		'a worker is there');
	is(registered($offset), 1, 'and no other one was started');
}

# ---- a worker that has exited after DROP EXTENSION ----

my ($before) =
  $node->safe_psql('shop1', 'SELECT pid FROM pinterest_capi.worker_status');
my $session = $node->background_psql('shop1', on_error_die => 1);
$session->query_safe(
	q{SELECT pinterest_capi.allow_event('once more', 'Custom')});
$session->query_safe('DROP EXTENSION pinterest_capi');
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $before"),
	'DROP EXTENSION: the worker exits');
$session->query_safe('CREATE EXTENSION pinterest_capi');
ok( $node->poll_query_until(
		'shop1', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'CREATE EXTENSION in the same session: another one comes');
$session->quit;

# ---- many sessions that all find no worker, and with a preload a launcher too ----

for my $preload (0, 1)
{
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'pinterest_capi'")
	  if $preload;
	$node->restart;
	$stub->reset;

	my @sessions = map {
		my ($n, $out, $err) = ($_, '', '');
		my $in = join '',
		  map { track_sql("race-$preload-$n-$_") . ";\n" } 1 .. 5;

		IPC::Run::start(
			[
				'psql', '-XAtq',
				'-v', 'ON_ERROR_STOP=1',
				'-d', $node->connstr('postgres')
			],
			'<' => \$in,
			'>' => \$out,
			'2>' => \$err);
	} 1 .. 12;
	is(scalar(grep { !$_->finish } @sessions),
		0, "preload $preload: each of many sessions commits");
	ok($stub->wait_count(processed => 60), 'all of it arrives');
	all_sent($node, 'and is settled');
	is($stub->count->{duplicates}, 0, 'none twice');
	ok( $node->poll_query_until(
			'postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker' AND datname = 'postgres'}
		),
		'by one worker: the others have exited');
}

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
