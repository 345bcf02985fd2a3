# An event that can be sent later is sent later, an event that can't be sent
# says why, and no event is lost.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT worker_polls);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('retry', $stub);

sub track
{
	my (@ids) = @_;
	my $list = join ', ', map { "'$_'" } @ids;

	$node->safe_psql(
		'postgres', qq{
		SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}', event_id => id))
		FROM unnest(ARRAY[$list]) AS id});
	return;
}

# 5xx: an attempt that counts, then another
$stub->script(
	{
		status => 503,
		body => { code => 4197, message => 'No traffic for now.' }
	});
track('down-503');

# One query reads all columns: half a second later the event may be sent.
becomes(
	$node,
	'down-503',
	q{status, attempts, http_status, error LIKE '%No traffic for now%', next_attempt_at > last_attempt_at},
	'retrying|1|503|t|t',
	'503: retrying, with what the API said and a time for the next attempt');
becomes($node, 'down-503', 'status, attempts', 'sent|2', 'and then sent');
is(scalar($stub->received('down-503')), 2, 'two requests carried it');
is($stub->count->{duplicates}, 0, 'one of them was processed');
my @times = map { $_->{event}{event_time} } $stub->received('down-503');
is($times[0], $times[1], 'both with the same time');

# an HTML page as an error
$stub->script(
	{ status => 502, body => '<html><body>Bad gateway</body></html>' });
track('down-502');
becomes($node, 'down-502', 'status, attempts',
	'sent|2', '502 without JSON: sent at the second attempt');

# 429: the server says when to retry; no attempt is counted
$stub->reset;
$stub->script(
	{
		status => 429,
		headers => { 'Retry-After' => '3' },
		body =>
		  { code => 8, message => 'This request exceeded a rate limit.' }
	});
track('limited');
ok($stub->wait_count(requests => 1), 'a request is answered 429');
becomes($node, 'limited', "status, attempts, reason IS NOT NULL",
	'queued|0|t', '429: queued, no attempt, with a reason');
track('limited-too');
becomes($node, 'limited', 'status, attempts', 'sent|1', 'and then sent');
becomes($node, 'limited-too', 'status, attempts',
	'sent|1', 'events tracked meanwhile, too');
my @requests = $stub->requests;
cmp_ok($requests[1]{arrived_ms} - $requests[0]{answered_ms},
	'>=', 2900, 'not before Retry-After is over');

# connections that break
for my $cut (qw(before after))
{
	$stub->reset;
	$stub->script({ cut => $cut });
	track("cut-$cut");
	becomes($node, "cut-$cut", 'status', 'sent',
		"a connection cut $cut the body was read: sent in the end");
	is($stub->count->{duplicates}, 0, 'once');
}
$stub->reset;
$stub->script({ cut => 'lost' });
track('cut-lost');
becomes($node, 'cut-lost', 'status, attempts',
	'sent|2', 'an answer that got lost: sent again');
is_deeply(
	[
		map { "$_->{event}{event_id} $_->{event}{event_name} $_->{verdict}" }
		  $stub->received
	],
	[ ('cut-lost checkout processed') x 2 ],
	'under the same event_id and name');
like(
	sql_status($node, 'cut-lost', 'warnings'),
	qr/outcome of an earlier attempt unknown/,
	'with a warning in the row');

# answers that can't be read, or that don't match the request
for my $case (
	[ garbage => { garbage => 1 } ],
	[ html => { body => '<html>ok</html>' } ],
	[ empty => { body => '' } ],
	[
		'no-events' =>
		  { body => { num_events_received => 1, num_events_processed => 1 } }
	],
	[
		'wrong-length' => {
			body => {
				num_events_received => 1,
				num_events_processed => 1,
				events => []
			}
		}
	])
{
	my ($name, $rule) = @$case;

	$stub->reset;
	$stub->script($rule);
	track($name);
	becomes($node, $name, 'status, attempts',
		'sent|2', "an answer that says nothing ($name): sent again");
	is(scalar($stub->received($name)), 2, 'under the same event_id');
}

# messages that are null or missing
for my $how (qw(omit null))
{
	$stub->script({ messages => $how });
	track("messages-$how");
	becomes($node, "messages-$how", 'status, error IS NULL',
		'sent|t', "messages that are $how: sent");
}

# one event of a batch fails: its neighbours don't
$stub->reset;
$stub->script({ fail => { 'batch-3' => 'Invalid event_name: checkout.' } });
track(map { "batch-$_" } 1 .. 5);
becomes(
	$node, 'batch-3',
	'status, attempts, http_status, error',
	'failed|1|200|Invalid event_name: checkout.',
	'a failed event has its message');
is( $node->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'batch-%' AND status = 'sent'}
	),
	'4',
	'its neighbours are sent');
is($stub->count->{requests}, 1, 'in one request');

# a whole batch is refused because of one: split until it stands alone
$stub->reset;
$stub->script({ times => 0, refuse => ['split-77'] });
track(map { "split-$_" } 1 .. 100);
ok( $stub->wait_count(processed => 99),
	'a refused batch: the other 99 get through');
becomes($node, 'split-77', 'status, http_status',
	'failed|400', 'the one that was refused failed');
like(
	sql_status($node, 'split-77', 'error'),
	qr/not valid under any of the given schemas/,
	'with the message');
is($stub->count->{duplicates}, 0, 'and none went twice');
$stub->reset;
$stub->script(
	{
		status => 422,
		body => {
			code => 953,
			message =>
			  'The action could not be processed properly due to some or all data provided being invalid.',
			details => {
				num_events_received => 2,
				num_events_processed => 1,
				events => [
					{ status => 'failed', error_message => 'so it is' },
					{ status => 'processed' }
				]
			}
		}
	});
track('detailed-1', 'detailed-2');
becomes(
	$node, 'detailed-1',
	'status, error',
	'failed|so it is',
	'422 with a verdict for each event: failed');
becomes($node, 'detailed-2', 'status', 'sent', 'and sent');

# 401: the destination waits for an operator; no event fails
for my $code (401, 403, 404)
{
	$stub->reset;
	my $listener = $node->background_psql('postgres');
	$listener->query_safe('LISTEN pinterest_capi');
	my $offset = -s $node->logfile;
	$stub->script(
		{
			status => $code,
			body => { code => 2, message => "Refused with $code." }
		});
	track("paused-$code");
	ok( $node->poll_query_until(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status', 'paused'),
		"$code pauses the destination");
	like(
		$node->safe_psql(
			'postgres',
			'SELECT message FROM pinterest_capi.destination_status'),
		qr/Refused with $code/,
		'the view says why');
	becomes($node, "paused-$code",
		"status, reason LIKE '%paused%', next_attempt_at IS NULL",
		'queued|t|t', 'the event waits');
	track("paused-$code-too");
	is($node->safe_psql('postgres', 'SELECT pinterest_capi.flush()'),
		't', 'a paused destination\'s events are not due');
	worker_polls($node);
	is($stub->count->{requests}, 1, 'and no further attempt is made');
	ok($node->wait_for_log(qr/Refused with $code/, $offset),
		'the log says why');
	my $log = slurp_file($node->logfile, $offset);
	is(scalar(() = $log =~ /Refused with $code/g), 1, 'in one line');

	# resume the destination, or configure it again
	if ($code == 403)
	{
		$node->safe_psql('postgres',
			"SELECT pinterest_capi.resume_destination('default')");
	}
	else
	{
		is( $node->safe_psql(
				'postgres',
				sprintf(
					q{SELECT pinterest_capi.configure_destination('%s', '%s')},
					PinterestStub::TAG, PinterestStub::TOKEN)),
			'Your destination is configured and ready.',
			'configured again');
	}
	becomes($node, "paused-$code", 'status', 'sent',
		'the waiting events are sent');
	becomes($node, "paused-$code-too", 'status', 'sent', 'all of it');
	is( $node->safe_psql(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status'),
		'ready',
		'the destination is ready');

	my $heard = '';
	ok( poll(
			sub {
				$heard .= $listener->query('SELECT 1');
				$heard =~ /"status": ?"ready"/;
			}),
		'NOTIFY tells of the recovery') or diag($heard);
	like(
		$heard,
		qr/"pinterest_capi" with payload .*"destination": ?"default".*"status": ?"paused".*Refused with $code/,
		'and told of the pause') or diag($heard);
	unlike($heard, qr/pina_/, 'without the token');
	$listener->quit;
}

# retries are used up
$node->safe_psql('postgres',
	"UPDATE pinterest_capi.destination SET retry_for = '2 seconds'");
$stub->reset;
$stub->script({ times => 0, status => 500 });
track('used-up');
becomes($node, 'used-up', 'status, http_status',
	'failed|500', 'retries used up: failed');
cmp_ok(sql_status($node, 'used-up', 'attempts'),
	'>=', 2, 'after more than one attempt');
$node->safe_psql('postgres',
	"UPDATE pinterest_capi.destination SET retry_for = DEFAULT");

# 10,000 events while no server listens
$stub->reset;
$stub->down;
$node->safe_psql(
	'postgres', q{
	SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}',
		jsonb_build_object('em', 'c' || n || '@example.com'), event_id => 'many-' || n))
	FROM generate_series(1, 10000) AS n});
ok( $node->poll_query_until(
		'postgres', q{
		SELECT count(*) = 10000 FROM pinterest_capi.dispatch_status
		WHERE event_id LIKE 'many-%' AND status = 'queued' AND attempts = 0 AND reason IS NOT NULL}
	),
	'10,000 events wait, and say that no connection comes about');
$stub->up;
ok( $stub->wait_count(processed => 10000, 180),
	'all are sent when the server is back');
is($stub->count->{distinct}, 10000, 'none is lost');
is($stub->count->{duplicates}, 0, 'none goes twice');
is( $node->safe_psql(
		'postgres', q{SELECT pinterest_capi.flush();
		SELECT status, attempts, count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'many-%' GROUP BY 1, 2}
	),
	"t\nsent|1|10000",
	'and the rows say so');
is_deeply($stub->count->{lapses}, [], 'nothing careless was sent');

$node->stop;
$stub->stop;
done_testing();
