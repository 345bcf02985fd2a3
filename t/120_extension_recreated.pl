# An answer settles only the events that its request sent, though others have
# the same ids and numbers by then: of an extension that was created again, of
# tables that were emptied and filled again, of a destination that was dropped
# and configured again.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track track_sql clean_log sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('anew', $stub, conf => 'log_min_messages = log');

sub configured
{
	return (
		"SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '@{[PinterestStub::TOKEN]}', '@{[PinterestStub::ACCOUNT]}')",
		"UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'",
		"SELECT pinterest_capi.allow_event('checkout')");
}

# A request is in flight; while the worker is stopped, the statements commit
# and the answer comes.  So the worker sees the answer before the changes.
sub while_out
{
	my ($id, $answer, @statements) = @_;

	$stub->hang($node, $id, %$answer);
	my $worker = sql('SELECT pid FROM pinterest_capi.worker_status');

	# not during a transaction, whose locks the statements would wait for
	ok( poll(
			sub {
				kill 'STOP', $worker or die "kill: $!";
				return 1
				  if sql(
					"SELECT count(*) FROM pg_locks WHERE pid = $worker AND locktype <> 'advisory'"
				  ) eq '0';
				kill 'CONT', $worker;
				return 0;
			}),
		"$id: the worker is held still");
	sql('BEGIN', @statements, 'COMMIT');
	$stub->release;
	ok( poll(
			sub {
				!grep { !defined $_->{answered_ms} } $stub->requests;
			}),
		"$id: it is answered meanwhile");
	$stub->reset;
	kill 'CONT', $worker;
	return $worker;
}

# ---- the extension ----

my $worker = while_out(
	'old-1', {},
	'DROP EXTENSION pinterest_capi',
	'CREATE EXTENSION pinterest_capi',
	configured(), track_sql('new-1'));
is(sql(q{SELECT id FROM pinterest_capi.dispatch_status}), '1', 'the same id');
ok( poll(sub { $stub->received('new-1') }, 30),
	'an extension created again: its events are sent');
becomes($node, 'new-1', 'status, attempts',
	'sent|1', 'by a request of its own');
is(scalar($stub->received('old-1')), 0, 'the other one went once');
isnt(sql('SELECT pid FROM pinterest_capi.worker_status'),
	$worker, 'it is another worker');

# the same where nothing is sent: the destination has no state either
while_out(
	'old-2',
	{ status => 401 },
	'DROP EXTENSION pinterest_capi',
	'CREATE EXTENSION pinterest_capi',
	configured());
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'a worker is there');
track($node, 'new-2');
becomes($node, 'new-2', 'status, attempts',
	'sent|1', 'a refusal of the old one\'s token pauses nothing');

# ---- its tables ----

my @emptied = (
	'TRUNCATE pinterest_capi._event, pinterest_capi._retry, pinterest_capi._outcome',
	'ALTER SEQUENCE pinterest_capi._event_id_seq RESTART');

sql(@emptied);

# at the same position of the table, too
for my $n (3, 4)
{
	while_out(
		"old-$n", $n == 3 ? {} : { status => 503 },
		@emptied, track_sql("new-$n"));
	ok(poll(sub { $stub->received("new-$n") }, 30),
		'tables that were emptied: events tracked since are sent, and soon');
	becomes($node, "new-$n", 'status, attempts',
		'sent|1', 'by a request of its own');
	sql(@emptied);
}

# ---- a destination ----

while_out(
	'old-5',
	{ status => 503 },
	q{SELECT pinterest_capi.drop_destination('default')},
	configured());
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._lease'),
	'a destination that was dropped and configured: the old one\'s answer is settled'
);
is( sql('SELECT failing_since IS NULL, backoff_until IS NULL, last_error IS NULL FROM pinterest_capi._destination_state'
	),
	't|t|t',
	'and is not the new one\'s');
is( sql_status($node, 'old-5', 'status, reason'),
	'cancelled|destination dropped',
	'the old one\'s event is cancelled');
while_out('old-6', {}, q{SELECT pinterest_capi.drop_destination('default')},
	configured());
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._lease'),
	'likewise where it was taken');
is( sql('SELECT last_sent_at IS NULL FROM pinterest_capi._destination_state'),
	't', 'nothing has been sent to the new one');
track($node, 'new-6');
becomes($node, 'new-6', 'status, attempts', 'sent|1', 'which works');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
