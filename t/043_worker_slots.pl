# On a server with too few background worker slots events wait, sessions and
# the log say why, and a slot that becomes free is used without another event.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql track_sql track clean_log);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('slots', $stub, conf => "max_worker_processes = 0\n");
my $complaint = qr/could not start a worker for every database/;

# ---- no slot at all ----

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query(track_sql('slot-1'));
my $first = $session->{stderr};
$session->{stderr} = '';
$session->query(track_sql('slot-2'));
my $second = $session->{stderr};
$session->quit;

like(
	$first,
	qr/WARNING:  pinterest_capi could not start its worker: no background worker slot is free/,
	'no slot: a warning');
like(
	$first,
	qr/Events are queued.*HINT:.*max_worker_processes/s,
	'which says that events wait, and what to do');
is($second, '', 'and says it once a session');
is( $node->safe_psql(
		'postgres',
		'SELECT status, message FROM pinterest_capi.destination_status'),
	'ready|ready; events go to '
	  . $stub->url
	  . ', not to Pinterest; no worker is running: it starts with the next event, or see max_worker_processes',
	'the view says so too');
is(sql('SELECT count(*) FROM pinterest_capi.worker_status'), '0',
	'no worker');
is($node->safe_psql('postgres', q{SELECT pinterest_capi.flush('0')}),
	'f', 'flush knows that something waits');

# ---- slots that others hold ----

# Preloaded for two databases, room for the launcher and one of them.
$node->adjust_conf('postgresql.conf', 'max_worker_processes', '3');
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0"
);
$node->restart;
$stub->arrives('slot-1',
	'with a slot, the waiting events are sent without an operator');
$stub->arrives('slot-2', 'all of it');

# The logical replication launcher is off and takes none: two workers fit, so this leaves one for each.
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(two three);
configure($node, $stub, 'two');
track($node, 'slot-two', database => 'two');
$stub->arrives('slot-two', 'a second database takes the last slot');

# Both are busy, so neither worker gives up its slot for the third database.
$stub->script({ hang => 1, times => 2 });
track($node, 'busy-1');
track($node, 'busy-2', database => 'two');
ok($stub->wait_count(hanging => 2), 'both are busy');
my $log_from = -s $node->logfile;
configure($node, $stub, 'three');
like(
	track($node, 'slot-three', database => 'three'),
	qr/no background worker slot is free/,
	'the third is told that there is none');
ok( $node->poll_query_until(
		'three',
		q{SELECT message ~ 'no worker is running' FROM pinterest_capi.destination_status}
	),
	'and its view says so');
$node->safe_psql('postgres', 'DROP EXTENSION pinterest_capi');
$stub->arrives('slot-three',
	'a slot that becomes free is taken without another event');
$stub->release;
is(scalar(() = slurp_file($node->logfile, $log_from) =~ /$complaint/g),
	0, 'the launcher, which never lacked one, is silent');
clean_log($node);

# ---- from server start on, one too few ----

$node->safe_psql('postgres', 'CREATE DATABASE four');
configure($node, $stub, 'four');
$log_from = -s $node->logfile;
$node->restart;
ok( poll(
		sub {
			slurp_file($node->logfile, $log_from) =~
			  /WARNING:  pinterest_capi $complaint/;
		}),
	'the launcher says so in the log');
my @without = grep {
	$node->safe_psql($_, 'SELECT count(*) FROM pinterest_capi.worker_status')
	  eq '0'
} qw(two three four);

# two while a slot is handed over
cmp_ok(scalar(@without), '>=', 1, 'not all of three databases have a worker');
$node->safe_psql((grep { $_ ne $without[0] } qw(two three four))[0],
	'DROP EXTENSION pinterest_capi');
ok( $node->poll_query_until(
		$without[0], 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'the third gets a slot that becomes free');
is(scalar(() = slurp_file($node->logfile, $log_from) =~ /$complaint/g),
	1, 'one warning was all');

$node->stop;
$stub->stop;
done_testing();
