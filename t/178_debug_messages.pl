# At debug1 the log tells an operator when and why a worker starts and exits,
# each request's start and end, batches that are split and slots that change
# hands.  At the default level it tells none of this, and at no level a value.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('debug', $stub, conf => "max_worker_processes = 8\n");
my $messages =
  qr/DEBUG: |pinterest_capi (?:worker|launcher).* (?:started|exits|hands|takes over)|request for destination|is split/;

sub sql { return $node->safe_psql('postgres', @_) }

sub log_from { return slurp_file($node->logfile, $_[0]) }

# Wait until the log from this position on matches.
sub logs
{
	my ($from, $pattern, $name) = @_;

	ok(poll(sub { log_from($from) =~ $pattern }), $name)
	  or diag(log_from($from));
	return;
}

# ---- the default level ----

track($node, 'silent');
becomes($node, 'silent', 'status', 'sent',
	'an event is sent at the default level');
sql('SELECT pg_terminate_backend(pid) FROM pinterest_capi.worker_status');
track($node, 'silent-2');
becomes($node, 'silent-2', 'status', 'sent', 'and one by another worker');
unlike(log_from(0), $messages, 'the log says nothing of it');

# ---- debug1 ----

$node->append_conf('postgresql.conf',
	"log_min_messages = debug1\nlog_min_error_statement = panic\n");
$node->reload;
$node->restart;
my $database =
  sql(q{SELECT oid FROM pg_database WHERE datname = current_database()});
my $from = -s $node->logfile;

track($node, 'loud');
becomes($node, 'loud', 'status', 'sent', 'an event is sent at debug1');
logs(
	$from,
	qr/DEBUG:  pinterest_capi worker of database $database started\n/,
	'the worker says that it started');
logs(
	$from,
	qr/DEBUG:  request for destination "default" starts: batch, events: 1, bytes: \d+\n/,
	'a request, that it starts');
logs(
	$from,
	qr/DEBUG:  request for destination "default" ended: answered, status 200, \d+ ms\n/,
	'and how it ended');

# the connection is closed after the request was read
$from = -s $node->logfile;
$stub->script({ times => 1, cut => 'after' });
track($node, 'cut-off');
logs(
	$from,
	qr/DEBUG:  request for destination "default" ended: interrupted, status 0, \d+ ms\n/,
	'a connection that ends before the answer');
becomes($node, 'cut-off', 'status', 'sent', 'it is sent again');

# a batch that is refused as a whole is split
$from = -s $node->logfile;
$stub->script({ times => 0, refuse => ['split-2'] });
sql(q{
	SELECT pinterest_capi.pause_destination();
	SELECT count(pinterest_capi.track('Checkout', '{"value": 4711.25, "currency": "USD"}',
		jsonb_build_object('em', 'quokka' || n || '@example.com'), event_id => 'split-' || n))
	FROM generate_series(1, 3) AS n;
	SELECT pinterest_capi.resume_destination()});
becomes($node, 'split-2', 'status', 'failed',
	'one of three events is refused');
logs(
	$from,
	qr/DEBUG:  request for destination "default" ended: answered, status 400, \d+ ms\n/,
	'the log has its status');
logs(
	$from,
	qr/DEBUG:  batch of 3 events for destination "default" is split into 1 and 2\n/,
	'and the batch that came apart');

# no answer
$from = -s $node->logfile;
$stub->stop;
track($node, 'nobody-there');
logs(
	$from,
	qr/DEBUG:  request for destination "default" ended: no connection, status 0, \d+ ms\n/,
	'no server listens: no connection');
$stub->start('server');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'nobody-there', 'status', 'sent', 'it is sent later');

# a verification is a request too
$from = -s $node->logfile;
sql('SELECT pinterest_capi.verify_destination()');
logs(
	$from,
	qr/DEBUG:  request for destination "default" starts: verification, events: 1, bytes: \d+\n/,
	'verify_destination: the request says so');

# nothing left to send
$from = -s $node->logfile;
sql('DROP EXTENSION pinterest_capi');
logs(
	$from,
	qr/DEBUG:  pinterest_capi worker of database $database exits: the extension is dropped\n/,
	'DROP EXTENSION: the worker says why it exits');

# ---- slots ----

# The launcher of logical replication takes a slot, too.
$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$node->restart;
$from = -s $node->logfile;
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(a b);
my %oid =
  map { $_ => sql("SELECT oid FROM pg_database WHERE datname = '$_'") }
  qw(a b);
for my $name (qw(a b))
{
	configure($node, $stub, $name);
	track($node, "slot-$name", database => $name);
}
for my $name (qw(a b))
{
	ok( $node->poll_query_until(
			$name,
			qq{SELECT status FROM pinterest_capi.dispatch_status WHERE event_id = 'slot-$name'},
			'sent'),
		"$name: sent, with one slot for both");
}
logs(
	$from,
	qr/DEBUG:  pinterest_capi worker of database $oid{a} hands its slot to database $oid{b}\n/,
	'a slot is handed over');
logs(
	$from,
	qr/DEBUG:  pinterest_capi worker of database $oid{a} exits: another database waits for the slot\n/,
	'the worker that had it says why it exits');
logs(
	$from,
	qr/DEBUG:  pinterest_capi worker of database $oid{b} takes over the slot of database $oid{a}\n/,
	'and the other one, whose it was');

# ---- no value ----

# At this level the server logs no statement, so these lines are the worker's.
my @lines =
  grep { /DEBUG: .*(?:pinterest_capi|request for|is split)/ } split /\n/,
  log_from(0);
cmp_ok(scalar(@lines), '>', 15, 'the messages were read');
is_deeply(
	[
		grep {
			/quokka|4711|split-\d|pina_|example\.com|@{[PinterestStub::ACCOUNT]}/
		} split /\n/,
		log_from(0)
	],
	[],
	'no value, id, token or account is in the log');

$node->stop;
$stub->stop;
done_testing();
