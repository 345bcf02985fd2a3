# A request is not sent before the time that the API asks for.  While the API
# fails, the delay grows with each attempt and is random.  Idle connections are
# closed.  The times compared are those of the stub's clock.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use List::Util    qw(max min sum uniq);
use PinterestStub qw(:DEFAULT sql track);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Destinations with a server of their own that fail independently: as many
# samples at once.
my @accounts = map { 600 + $_ } 1 .. 12;
my $stub = PinterestStub->new;
my $failing = PinterestStub->new(accounts => \@accounts);
append_to_file($stub->ca_file, slurp_file($failing->ca_file));
my $node = setup_node('backoff', $stub);

# They back off while the next sections run.
add_destination($node, $failing, "d$_", $_) for @accounts;
$failing->script(
	map {
		+{
			account => "$_",
			times => 5,
			status => 503,
			body => { code => 4197, message => 'No traffic.' }
		}
	} @accounts);
track($node, "five-$_", destination => "d$_") for @accounts;

# a worker that is idle after its one event
my $idle = PinterestStub->new;
append_to_file($stub->ca_file, slurp_file($idle->ca_file));
$node->safe_psql('postgres', 'CREATE DATABASE idle');
configure($node, $idle, 'idle');

sub track_idle
{
	$node->safe_psql('idle',
		q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}')}
	);
	return;
}
track_idle();
ok($idle->wait_count(processed => 1), 'a worker sends its one event');
is($idle->count->{open},
	1, 'over a connection, which stays open for the next one');

# ---- what the API asks for ----

# An HTTP date has whole seconds, so the wait may be up to one second shorter.
my %asks = (
	'Retry-After: 3' => sub { return { 'Retry-After' => 3 }, 3000 },
	'Retry-After with a date' => sub {
		my $at = int(time()) + 4;
		return { 'Retry-After' => HTTP::Tiny->new->_http_date($at) },
		  'at' => $at * 1000;
	},
	'X-RateLimit-Reset: 2' => sub {
		return {
			'X-RateLimit-Limit' => '60, 60;w=60',
			'X-RateLimit-Remaining' => 0,
			'X-RateLimit-Reset' => 2
		  },
		  2000;
	},
	'X-RateLimit-Reset as Unix time' => sub {
		my $at = int(time()) + 3;
		return { 'X-RateLimit-Remaining' => 0, 'X-RateLimit-Reset' => $at },
		  'at' => $at * 1000;
	},
	'the longer of the two' => sub {
		return {
			'Retry-After' => 1,
			'X-RateLimit-Remaining' => 0,
			'X-RateLimit-Reset' => 2
		  },
		  2000;
	},);
my $n = 0;
for my $name (sort keys %asks)
{
	my ($headers, @wait) = $asks{$name}->();
	my $id = 'asked-' . ++$n;

	$stub->reset;
	$stub->script(
		{
			status => 429,
			headers => $headers,
			body =>
			  { code => 8, message => 'This request exceeded a rate limit.' }
		});
	track($node, $id, destination => 'default');
	becomes($node, $id,
		"status, attempts, reason LIKE '%exceeded a rate limit%'",
		'queued|0|t', "429, $name: waits, without an attempt");
	track($node, "$id-too", destination => 'default');
	becomes($node, $id, 'status, attempts, http_status',
		'sent|1|200', 'and is sent, with one');
	becomes($node, "$id-too", 'status, attempts',
		'sent|1', 'events tracked meanwhile, too');
	my @requests = $stub->requests;
	is(scalar(@requests), 2, 'together, in the one request that followed');
	cmp_ok(
		$requests[1]{arrived_ms},
		'>=',
		$wait[0] eq 'at' ? $wait[1] : $requests[0]{answered_ms} + $wait[0],
		'not before it was asked for');
	cmp_ok(
		$requests[1]{arrived_ms},
		'<',
		($wait[0] eq 'at' ? $wait[1] : $requests[0]{answered_ms} + $wait[0])
		  + 10_000,
		'and not much later');
}

# the same headers in a success and in a 503
$stub->reset;
$stub->script(
	{
		headers => {
			'X-RateLimit-Limit' => '1',
			'X-RateLimit-Remaining' => 0,
			'X-RateLimit-Reset' => 2
		}
	});
track($node, 'last-one', destination => 'default');
becomes($node, 'last-one', 'status', 'sent', 'the last request of a window');
track($node, 'next-window', destination => 'default');
becomes($node, 'next-window', 'status', 'sent', 'the next event');
my @requests = $stub->requests;
cmp_ok($requests[1]{arrived_ms} - $requests[0]{answered_ms},
	'>=', 2000, 'is sent in the next window');
$stub->reset;
$stub->script(
	{
		headers =>
		  { 'X-RateLimit-Remaining' => 7, 'X-RateLimit-Reset' => 3600 }
	});
track($node, 'some-left', destination => 'default');
track($node, 'some-left-too', destination => 'default');
becomes($node, 'some-left-too', 'status', 'sent',
	'where requests remain, the window is nothing to wait for');
$stub->reset;
$stub->script({ status => 503, headers => { 'Retry-After' => 2 } });
track($node, 'busy', destination => 'default');
becomes($node, 'busy', 'status, attempts',
	'sent|2', '503 with Retry-After: an attempt');
@requests = $stub->requests;
cmp_ok($requests[1]{arrived_ms} - $requests[0]{answered_ms},
	'>=', 2000, 'and no request before that');

# A request that was in flight when another was refused doesn't end the wait
# by succeeding.
sql('UPDATE pinterest_capi.destination SET batch_size = 1');
$stub->reset;
$stub->script({ hang => JSON::PP::true },
	{ status => 429, headers => { 'Retry-After' => 3 } });
track($node, 'slow', destination => 'default');
ok($stub->wait_count(hanging => 1), 'a request hangs');
track($node, 'refused', destination => 'default');
becomes($node, 'refused', "status, reason IS NOT NULL",
	'queued|t', 'another one is answered 429');
$stub->release;
becomes($node, 'slow', 'status', 'sent', 'the first one succeeds after all');
track($node, 'later', destination => 'default');
becomes($node, $_, 'status, attempts', 'sent|1', "$_: sent")
  for qw(refused later);
@requests = $stub->requests;
my ($refusal) = grep { $_->{status} == 429 } @requests;
cmp_ok(
	min(map  { $_->{arrived_ms} }
		grep { $_->{number} > $refusal->{number} } @requests
	) - $refusal->{answered_ms},
	'>=', 3000,
	'no request before Retry-After is over, either');
sql('UPDATE pinterest_capi.destination SET batch_size = DEFAULT');

# ---- requests that fail ----

ok( $node->poll_query_until(
		'postgres', q{
		SELECT count(*) FILTER (WHERE status = 'sent') = 12 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'five-%'}
	),
	'503 five times, for each of twelve destinations: all sent');
is( sql(q{SELECT DISTINCT status, attempts, http_status FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'five-%'}
	),
	'sent|6|200',
	'with 6 attempts');

my (@delays, @all);
for my $account (@accounts)
{
	my @mine = grep { $_->{account} eq $account } $failing->requests;

	is(scalar(@mine), 6, "account $account: 6 requests") or next;
	push @{ $delays[ $_ - 1 ] },
	  $mine[$_]{arrived_ms} - $mine[ $_ - 1 ]{answered_ms}
	  for 1 .. 5;
}
for my $k (0 .. 4)
{
	my $ceiling = 1000 * 2**$k;

	note("delay $k: @{$delays[$k]}");

	# the stub's clock has whole milliseconds
	cmp_ok(min(@{ $delays[$k] }),
		'>=', 499, 'delay ' . ($k + 1) . ': never under half a second');

	# Full jitter: any value up to the ceiling.  On a busy machine a few of
	# the twelve may be late.
	cmp_ok(
		(sort { $a <=> $b } @{ $delays[$k] })[5],
		'<=',
		$ceiling + 200,
		"half of them well under the ceiling of $ceiling ms");
}
my @mean = map { sum(@$_) / @$_ } @delays;

# means of twelve: 0.75, 1.25, 2.25, 4.25 and 8.25 s are expected
cmp_ok(
	$mean[4], '>',
	2 * $mean[1],
	sprintf 'they grow: %s s on average',
	join ', ', map { sprintf '%.1f', $_ / 1000 } @mean);
cmp_ok($mean[3] + $mean[4], '>', 2 * ($mean[0] + $mean[1]), 'all along');
@all = map { @$_ } @delays;
cmp_ok(scalar(uniq(map { int($_ / 5) } @all)),
	'>', 30, 'and no two destinations come together: jitter');

# One event's wait delays no other, and a resumed destination doesn't wait for
# its backoff.
$stub->reset;
$stub->script({ status => 500, headers => { 'Retry-After' => 3600 } });
track($node, 'an-hour', destination => 'default');
becomes($node, 'an-hour',
	"status, next_attempt_at > now() + interval '50 minutes'",
	'retrying|t', '500 with Retry-After: 3600: an hour');
track($node, 'behind-it', destination => 'default');
becomes($node, 'behind-it', "status, reason IS NOT NULL",
	'queued|t', 'and the next event waits for the destination');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'behind-it', 'status, attempts',
	'sent|1', 'resumed by hand: it is sent at once');

$stub->reset;
$stub->script({ status => 500, headers => { 'Retry-After' => 86400 } });
track($node, 'a-day', destination => 'default');
becomes(
	$node,
	'a-day',
	"status, next_attempt_at BETWEEN now() + interval '5 hours 50 minutes' AND now() + interval '6 hours'",
	'retrying|t',
	'Retry-After: 86400: six hours, whatever libcurl takes');
sql('SELECT pinterest_capi.resume_destination()');

# A time an hour ago is no wait, and neither is a value without meaning: the
# worker waits its own 1 s.
for
  my $value (HTTP::Tiny->new->_http_date(time() - 3600), 'soon', '-3600', '')
{
	$stub->reset;
	$stub->script({ status => 500, headers => { 'Retry-After' => $value } });
	track($node, "no-wait-$value", destination => 'default');
	becomes($node, "no-wait-$value", 'status, attempts',
		'sent|2',
		"Retry-After: '$value': the event is sent at the second attempt");
	is($stub->count->{requests},
		2, 'and waits for no longer than its own backoff');
}

# Another api_url is another server, which has not asked to wait.
$stub->reset;
$stub->script({ status => 500, headers => { 'Retry-After' => 3600 } });
track($node, 'here', destination => 'default');
becomes($node, 'here', 'status', 'retrying',
	'the destination backs off again');
track($node, 'elsewhere', destination => 'default');
becomes($node, 'elsewhere', "status, reason IS NOT NULL",
	'queued|t', 'and the next event waits for it');
sql(q{UPDATE pinterest_capi.destination SET batch_size = 999 WHERE destination = 'default'}
);
is( sql(q{SELECT backoff_until > now() FROM pinterest_capi._destination_state WHERE destination = 'default'}
	),
	't',
	'another setting changes nothing of that');
sql(qq{UPDATE pinterest_capi.destination SET api_url = '@{[$failing->url]}' WHERE destination = 'default'}
);
becomes($node, 'elsewhere', 'status, attempts',
	'sent|1', 'with another api_url it is sent at once');
is(scalar($failing->received('elsewhere')), 1, 'there');
sql(qq{UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}' WHERE destination = 'default'}
);

# ---- when waiting ends ----

# An event that waits for longer than max_event_age expires, whatever it waits
# for.
$stub->reset;
sql(q{UPDATE pinterest_capi.destination SET max_event_age = '1 hour', retry_for = '1 day' WHERE destination = 'default'}
);
$stub->script({ status => 503, headers => { 'Retry-After' => 1 } });
track($node, 'old-retry', destination => 'default');
becomes($node, 'old-retry', 'status', 'retrying',
	'an event is to be retried');
sql(q{UPDATE pinterest_capi._event SET event_time = event_time - interval '2 hours' WHERE event_id = 'old-retry'}
);
becomes(
	$node, 'old-retry',
	'status, reason, attempts, http_status',
	'expired|older than max_event_age|1|503',
	'grown too old meanwhile: expired');
is(scalar($stub->received('old-retry')), 1, 'without another request');

# Endless 429 fail no event before retry_for is over.
sql(q{UPDATE pinterest_capi.destination SET retry_for = '2 seconds' WHERE destination = 'default'}
);
$stub->reset;
$stub->script(
	{
		times => 0,
		status => 429,
		body => { code => 8, message => 'Slow down.' }
	});
track($node, 'never', destination => 'default');
becomes(
	$node,
	'never',
	'status, attempts, reason, error',
	'failed|0|retries used up|HTTP 429: Slow down. (code 8)',
	'429 for longer than retry_for: failed');

# ---- meanwhile, the other worker has been idle for half a minute ----

ok(poll(sub { $idle->count->{open} == 0 }, 60),
	'an idle connection is closed');
track_idle();
ok( $idle->wait_count(processed => 2),
	'and another one made when it is needed');
is($idle->count->{connections}, 2, 'two in all');

# ---- an event that is due much later is not read at each poll ----

$stub->reset;
sql(q{UPDATE pinterest_capi.destination SET retry_for = DEFAULT, max_event_age = DEFAULT WHERE destination = 'default'}
);
sql(q{SELECT pinterest_capi.pause_destination()});
sql(q{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}',
	event_id => 'tomorrow-' || n, destination => 'default')) FROM generate_series(1, 5000) AS n}
);
sql(q{INSERT INTO pinterest_capi._retry (id, dest, attempts, due_at)
	SELECT w.id, w.dest, 1, now() + interval '1 day' FROM pinterest_capi._waiting AS w ON CONFLICT DO NOTHING}
);
sql(q{VACUUM ANALYZE pinterest_capi._retry});
sql(q{SELECT pinterest_capi.resume_destination()});
my $reads =
  q{SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = '_retry_due'};
my ($scans, $read) = split /\|/, sql($reads);

for my $n (1 .. 10)
{
	track($node, "today-$n", destination => 'default');
	becomes($node, "today-$n", 'status', 'sent',
		"behind 5000 undue retries, $n: sent");
}
ok( $node->poll_query_until(
		'postgres', qq{SELECT s.idx_scan >= $scans + 10 FROM ($reads) AS s}),
	'the index of due events was used');
cmp_ok((split /\|/, sql($reads))[1] - $read,
	'<', 5000, 'and never read to its end');

$node->stop;
$_->stop for $stub, $failing, $idle;
done_testing();
