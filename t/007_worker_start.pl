# A session that commits fast while the worker comes up has one started, not one
# at each commit: background worker slots are few, and for all of the server.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('start');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', <<'CONF');
log_min_messages = debug1
pinterest_capi.proxy = 'http://127.0.0.1:1'
CONF
$node->start;

# more than once: how long a worker takes to come up is up to the machine
for my $n (1 .. 3)
{
	my $database = "shop$n";
	my $offset = -s $node->logfile;
	my ($out, $err);

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->psql($database, join("\n", 'CREATE EXTENSION pinterest_capi;',
			q{SELECT pinterest_capi.configure_destination('1', 'pina_start', '2');},
			'SELECT pinterest_capi.pause_destination();',
			map { "SELECT pinterest_capi.allow_event('event $_');" } 1 .. 60),
		stdout => \$out, stderr => \$err, on_error_die => 1);
	is($err, '', 'a session that commits fast hears of nothing');
	ok($node->poll_query_until($database, 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'), 'a worker is there');

	my @registered = slurp_file($node->logfile, $offset) =~ /registering background worker "pinterest_capi worker/g;
	is(scalar(@registered), 1, 'and no other one was started');
}

# gone for good, it is started anew
my ($before) = $node->safe_psql('shop1', 'SELECT pid FROM pinterest_capi.worker_status');
my $session = $node->background_psql('shop1', on_error_die => 1);
$session->query_safe(q{SELECT pinterest_capi.allow_event('once more')});
$session->query_safe('DROP EXTENSION pinterest_capi');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $before"), 'DROP EXTENSION: the worker leaves');
$session->query_safe('CREATE EXTENSION pinterest_capi');
ok($node->poll_query_until('shop1', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'), 'CREATE EXTENSION in the same session: another one comes');
$session->quit;

$node->stop;
done_testing();
