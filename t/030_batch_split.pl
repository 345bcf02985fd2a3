# An event that the API refuses never makes the others of its batch fail,
# whichever way the API refuses it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql);
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('split', $stub);

# Track n events in one transaction while the destination is paused, so that
# they are sent in one batch.
sub track_together
{
	my ($name, $n) = @_;

	sql(qq{
		SELECT pinterest_capi.pause_destination();
		SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}',
			jsonb_build_object('em', 'c' || n || '\@example.com'), event_id => '$name-' || n))
		FROM generate_series(1, $n) AS n;
		SELECT pinterest_capi.resume_destination()});
	return;
}

sub outcomes
{
	my ($name) = @_;

	return sql(
		qq{
		SELECT status, attempts, http_status, count(*) FROM pinterest_capi.dispatch_status
		WHERE event_id LIKE '$name-%' GROUP BY 1, 2, 3 ORDER BY 1});
}

# three of a thousand, far apart, and each makes the whole batch fail
for my $status (400, 422, 413)
{
	my @bad = map { "w$status-$_" } 1, 500, 777;

	$stub->reset;
	$stub->script(
		{
			times => 0,
			refuse => \@bad,
			($status == 400 ? () : (refusal => $status))
		});
	track_together("w$status", 1000);
	ok( $stub->wait_count(processed => 997),
		"$status for the whole: 997 get through");
	is(sql('SELECT pinterest_capi.flush()'), 't', 'nothing is due');
	is( outcomes("w$status"),
		"failed|1|$status|3\nsent|1|200|997",
		'3 failed, 997 were sent, with one attempt each');
	is( sql(qq{SELECT string_agg(event_id, ' ' ORDER BY id) FROM pinterest_capi.dispatch_status WHERE status = 'failed' AND event_id LIKE 'w$status-%'}
		),
		"@bad",
		'the right ones failed');
	is( sql(qq{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'w$status-%' AND status = 'failed'
			AND error LIKE 'HTTP $status: %event 0 is not valid under any of the given schemas%'}
		),
		'3',
		'with Pinterest\'s words');
	my $count = $stub->count;
	cmp_ok($count->{requests}, '<=', 80,
		"in $count->{requests} requests, at most 80");
	is($count->{duplicates}, 0, 'none went twice');
	is(sql('SELECT status FROM pinterest_capi.destination_status'),
		'ready', 'the destination is ready');
}

# The same three, named in a 422 as the API was seen to send it: no batch is
# split.
$stub->reset;
$stub->script(
	{
		times => 0,
		refusal => 422,
		fail => {
			map { ("named-$_" => 'Invalid event_timestamp parameter.') } 1,
			500, 777
		}
	});
track_together('named', 1000);
ok($stub->wait_count(processed => 997), '422 with verdicts: 997 get through');
is(sql('SELECT pinterest_capi.flush()'), 't', 'nothing is due');
is($stub->count->{requests}, 1, 'in one request');
is( outcomes('named'),
	"failed|1|422|3\nsent|1|422|997",
	'3 failed, 997 were sent, with one attempt each');
is( sql(q{SELECT string_agg(event_id || ': ' || error, ' ' ORDER BY id) FROM pinterest_capi.dispatch_status WHERE status = 'failed' AND event_id LIKE 'named-%'}
	),
	join(' ',
		map { "named-$_: Invalid event_timestamp parameter." } 1,
		500, 777),
	'the right ones, with Pinterest\'s words');

# All events are bad: at most two requests an event.
$stub->reset;
$stub->script({ times => 0, refuse => [ map { "all-$_" } 1 .. 64 ] });
track_together('all', 64);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 64 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'all-%' AND status = 'failed'}
	),
	'all are bad: all failed');
is($stub->count->{requests}, 127, 'in the requests that halving takes');

# An event for which the API returns 500, whatever batch it is in.  Batches
# come apart by attempts.
$stub->reset;
sql('UPDATE pinterest_capi.destination SET batch_size = 16');
$stub->script({ times => 0, refuse => ['indigestible-7'], refusal => 500 });
track_together('indigestible', 16);
ok( poll(
		sub {
			# The delays are random here, so don't wait for them.
			sql(q{UPDATE pinterest_capi._retry SET due_at = clock_timestamp() WHERE due_at > clock_timestamp(); SELECT pinterest_capi.resume_destination()}
			);
			return sql(
				q{SELECT count(*) = 15 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'indigestible-%' AND status = 'sent'}
			) eq 't';
		}),
	'500 because of one of 16: the others get through in the end');
is( sql(q{SELECT bool_and(attempts <= 8) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'indigestible-%' AND status = 'sent'}
	),
	't',
	'after few attempts');
is(sql_status($node, 'indigestible-7', 'status'),
	'retrying', 'that one is retried until its time is over');
is($stub->count->{duplicates}, 0, 'none went twice');
is(sql("SELECT pinterest_capi.cancel('indigestible-7')"),
	'1', 'or an operator ends it');
sql('UPDATE pinterest_capi.destination SET batch_size = DEFAULT; SELECT pinterest_capi.resume_destination()'
);

# Halves of a batch wait while the destination backs off, and are sent after
# that.
$stub->reset;
$stub->script(
	{ refuse => ['between-7'] },
	{ status => 503, times => 2 },
	{ times => 0, refuse => ['between-7'] });
track_together('between', 10);
ok($stub->wait_count(processed => 9),
	'halves meet a 503: the others get through in the end');
becomes($node, 'between-7', 'status', 'failed', 'and the bad one failed');
is($stub->count->{duplicates}, 0, 'none twice');

# A pause during a split: all events wait, none is lost.  One request at a
# time, or the other half may be answered before this one is refused.
$stub->reset;
set_conf($node, max_concurrent_requests => 1);
$stub->script(
	{ refuse => ['paused-7'] },
	{
		status => 401,
		body => { code => 2, message => 'Authentication failed.' }
	},
	{ times => 0, refuse => ['paused-7'] });
track_together('paused', 10);
ok( $node->poll_query_until(
		'postgres', 'SELECT status FROM pinterest_capi.destination_status',
		'paused'),
	'a half is answered 401: paused');
is(outcomes('paused'), 'queued|0||10', 'all wait');
sql('SELECT pinterest_capi.resume_destination()');
ok($stub->wait_count(processed => 9), 'resumed: the others are sent');
becomes($node, 'paused-7', 'status', 'failed', 'and the bad one failed');

# one is cancelled while its half waits
$stub->reset;
$stub->script(
	{ refuse => ['gone-1'] },
	{ hang => JSON::PP::true, refuse => ['gone-1'] },
	{ times => 0, refuse => ['gone-1'] });
track_together('gone', 4);
ok($stub->wait_count(hanging => 1), 'half of a refused batch hangs');
is(sql("SELECT pinterest_capi.cancel('gone-3')"),
	'1', 'an event of the other half is cancelled');
$stub->release;
ok($stub->wait_count(processed => 2), 'the rest is sent');
is(sql('SELECT pinterest_capi.flush()'), 't', 'nothing is due');
is( outcomes('gone'),
	"cancelled|0||1\nfailed|1|400|1\nsent|1|200|2",
	'each has its outcome');
is(scalar($stub->received('gone-3')),
	1, 'the cancelled one was in no other request');

$node->stop;
$stub->stop;
done_testing();
