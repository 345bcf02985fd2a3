# Whatever a server answers, events end in a documented state, and the worker's
# memory doesn't grow.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Compare;
use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql track worker_pid clean_log);
use PostgreSQL::Test::Utils;
use Test::More;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $ok =
  { status => 'processed', error_message => '', warning_message => '' };
my $two = { num_events_received => 1, num_events_processed => 1 };

# the event's result: status, attempts, a warning that the outcome is unknown
my $again = 'sent|2|t';      # sent again, and says so
my $retried = 'sent|2|f';    # an attempt that certainly came to nothing
my $sent = 'sent|1|f';
my $failed = 'failed|1|f';

my $unread = qr/^HTTP 200 with a body that can't be read$/;
my $missing = qr/^HTTP 200 with no entries for the events$/;
my $wrong = qr/^HTTP 200 with entries or counts that don't add up$/;
my $broken = qr/^no complete answer: /;
my $foreign = qr/^HTTP 400 in other words than the API's/;

# name => [rule, the event's result, the destination's last error]
my @by_http2 = (
	empty => [ { body => '' }, $again, $unread ],
	'no content' => [
		{ status => 204, body => '' },
		$again,
		qr/^HTTP 204 with a body that can't be read$/
	],
	'half a JSON' => [
		{
			body => '{"num_events_received":1,"events":[{"status":"processed"'
		},
		$again, $unread
	],
	html => [
		{ body => '<html><body>Welcome to the hotel</body></html>' },
		$again, $unread
	],
	null => [ { body => 'null' }, $again, $missing ],
	text => [ { body => '"processed"' }, $again, $missing ],
	'an array' =>
	  [ { body => '[{"status":"processed"}]' }, $again, $missing ],
	'an object' => [ { body => {} }, $again, $missing ],
	'a byte order mark' => [
		{
			body => "\x{feff}"
			  . JSON::PP::encode_json({ %$two, events => [$ok] })
		},
		$again, $unread
	],
	'something after it' => [
		{ body => JSON::PP::encode_json({ %$two, events => [$ok] }) . 'x' },
		$again, $unread
	],
	garbage => [ { garbage => 1 }, $again, $unread ],
	'deep arrays' => [ { body => '[' x 200_000 }, $again, $unread ],
	'deep objects' => [
		{ body => '{"a":' x 100_000 . '1' . '}' x 100_000 }, $again, $unread
	],
	'deep, in an entry' => [
		{
				body => '{"events":[{"status":"processed","x":'
			  . '[' x 100
			  . ']' x 100 . '}]}'
		},
		$again, $unread
	],
	'a control character' => [
		{
			body =>
			  "{\"events\":[{\"status\":\"processed\",\"error_message\":\"\x01\"}]}"
		},
		$again, $unread
	],
	'a NUL' => [
		{ body => "{\"events\":[{\"status\":\"processed\"}]}\0" }, $again,
		$unread
	],
	'events that are an object' =>
	  [ { body => { %$two, events => $ok } }, $again, $missing ],
	'events that are null' =>
	  [ { body => { %$two, events => undef } }, $again, $missing ],
	'entries that are numbers' =>
	  [ { body => { %$two, events => [1] } }, $again, $wrong ],
	'entries that are arrays' =>
	  [ { body => { %$two, events => [ [$ok] ] } }, $again, $wrong ],
	'no status' =>
	  [ { body => { %$two, events => [ {} ] } }, $again, $wrong ],
	'a status that is a number' => [
		{ body => { %$two, events => [ { status => 1 } ] } }, $again, $wrong
	],
	'a status that nobody knows' => [
		{ body => { %$two, events => [ { status => 'pending' } ] } },
		$again, $wrong
	],
	'status in an inner object alone' => [
		{ body => { %$two, events => [ { result => $ok } ] } }, $again,
		$wrong
	],
	'no entry' => [ { body => { %$two, events => [] } }, $again, $wrong ],
	'two entries' =>
	  [ { body => { %$two, events => [ $ok, $ok ] } }, $again, $wrong ],
	'a count that contradicts' => [
		{ body => { %$two, num_events_processed => 0, events => [$ok] } },
		$again, $wrong
	],
	'a count as text' => [
		{ body => { %$two, num_events_received => '1', events => [$ok] } },
		$again, $wrong
	],
	'a count with a fraction' => [
		{
			body =>
			  '{"num_events_received":1.5,"events":[{"status":"processed"}]}'
		},
		$again, $wrong
	],
	'a count beyond all numbers' => [
		{
			body =>
			  '{"num_events_received":1e999,"events":[{"status":"processed"}]}'
		},
		$again, $wrong
	],
	'a count that overflows' => [
		{
			body =>
			  '{"num_events_received":18446744073709551617,"events":[{"status":"processed"}]}'
		},
		$again, $wrong
	],
	'events twice' => [
		{
			body =>
			  '{"events":[{"status":"processed"}],"events":[{"status":"failed"}]}'
		},
		$again, $wrong
	],
	'status twice' => [
		{ body => '{"events":[{"status":"processed","status":"failed"}]}' },
		$again, $wrong
	],
	'a count twice' => [
		{
			body =>
			  '{"num_events_received":1,"num_events_received":2,"events":[{"status":"processed"}]}'
		},
		$again, $wrong
	],
	'the same count twice' => [
		{
			body =>
			  '{"num_events_received":1,"num_events_received":1,"events":[{"status":"processed"}]}'
		},
		$sent
	],
	'unknown keys' => [
		{
			body => {
				x => [ { events => [1] } ],
				events => [ { %$ok, x => { status => 'failed' } } ],
				y => { events => 7 }
			}
		},
		$sent
	],
	'another 2xx' =>
	  [ { status => 202, body => { events => [$ok] } }, $sent ],
	'gzip that nobody asked for' =>
	  [ { unkind => 'bomb', n => 1000 }, $again, $unread ],
	'a length that is none' =>
	  [ { headers => { 'content-length' => '7' } }, $again, qr/./ ],
	'interim answers' => [ { unkind => 'early', n => 5 }, $sent ],
	'a byte a second' => [
		{ unkind => 'trickle', n => 1000 },
		$again,
		qr/^no complete answer: Operation timed out/
	],
	'byte by byte' => [ { unkind => 'trickle', n => 1 }, $sent ],
	'never any' => [
		{ hang => $true },
		$again, qr/^no complete answer: Operation timed out/
	],
	'messages of all kinds' => [
		{
			body => {
				events => [
					{
						status => 'failed',
						error_message => { a => 1 },
						warning_message => [1]
					}
				]
			}
		},
		$failed,
		qr/^refused without a message$/
	],
	'escapes that no text can hold' => [
		{
			body =>
			  '{"events":[{"status":"failed","error_message":"a\u0000b\ud800c\udc00d\n\t\u0041"}]}'
		},
		$failed,
		qr/^a\?b\?c\?d  A$/
	],
	'half an escape' => [
		{ body => '{"events":[{"status":"failed","error_message":"\u00"}]}' },
		$again,
		$unread
	],
	'no escape' => [
		{
			body =>
			  '{"events":[{"status":"failed","error_message":"\u+041\u0x41"}]}'
		},
		$again, $unread
	],
	'a long message' => [
		{
			body => {
				events =>
				  [ { status => 'failed', error_message => 'x' x 100_000 } ]
			}
		},
		$failed,
		qr/^x{500}$/
	],
	'the token, echoed' => [
		{
			body => {
				events => [
					{
						status => 'failed',
						error_message => 'Not ' . PinterestStub::TOKEN . '!'
					}
				]
			}
		},
		$failed,
		qr/^Not \(access token\)!$/
	],
	'the token in a refusal' => [
		{
			status => 422,
			body => { code => 1, message => PinterestStub::TOKEN }
		},
		$failed,
		qr/^HTTP 422: \(access token\) \(code 1\)$/
	],
	'400 without a word' =>
	  [ { status => 400, body => '' }, $retried, $foreign ],
	'400 in HTML' =>
	  [ { status => 400, body => '<html>' }, $retried, $foreign ],
	'400 in JSON, but not the API\'s' => [
		{ status => 400, body => { error => 'blocked' } }, $retried,
		$foreign
	],
	'500 with entries' => [
		{ status => 500, body => { %$two, events => [$ok] } },
		$retried, qr/^HTTP 500$/
	],
	'a status beyond all' =>
	  [ { status => 599, body => '' }, $retried, qr/^HTTP 599$/ ],);

my $raw = sub { return { unkind => 'raw', body => join "\r\n", @_ } };
my @by_http1 = (
	'an end at once' => [ $raw->(''), $again, $broken ],
	'no HTTP' => [ $raw->('SSH-2.0-OpenSSH_9.2p1', ''), $again, $broken ],
	'a version that nobody knows' =>
	  [ $raw->('HTTP/9.9 200 OK', '', ''), $again, $broken ],
	'half a status line' => [ $raw->('HTTP/1.1 20'), $again, $broken ],
	'a status line alone' => [ $raw->('HTTP/1.1 200 OK', ''), $again, qr/./ ],
	'a status that is none' =>
	  [ $raw->('HTTP/1.1 abc', '', ''), $again, $broken ],
	'101' => [
		$raw->(
			'HTTP/1.1 101 Switching Protocols',
			'Upgrade: x', 'Connection: close',
			'', ''),
		$again, qr/./
	],
	'100 alone' =>
	  [ $raw->('HTTP/1.1 100 Continue', '', ''), $again, $broken ],
	'999' => [
		$raw->(
			'HTTP/1.1 999 Whatever',
			'Connection: close',
			'Content-Length: 0',
			'',
			''),
		$retried,
		qr/^HTTP 999$/
	],
	'chunks that are none' => [
		$raw->(
			'HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', 'ZZZ', ''),
		$again, $broken
	],
	'two lengths' => [
		$raw->(
			'HTTP/1.1 200 OK',
			'Content-Length: 2',
			'Content-Length: 3',
			'',
			'{}'),
		$again, qr/./
	],
	'a negative length' => [
		$raw->('HTTP/1.1 200 OK', 'Content-Length: -5', '', '{}'),
		$again, qr/./
	],
	'a length too long' =>
	  [ { unkind => 'longer', n => 10 }, $again, $broken ],
	'a length too short' =>
	  [ { unkind => 'shorter', n => 10 }, $again, $unread ],
	'many headers' => [ { unkind => 'flood', n => 20 }, $sent ],
	'a flood of headers' => [
		{ unkind => 'flood', n => 5000 },
		$again,
		qr/more headers than any answer/
	],
	'a flood of interim answers' => [
		{ unkind => 'early', n => 1000 },
		$again,
		qr/more headers than any answer/
	],
	'a byte a second' => [
		{ unkind => 'trickle', n => 1000 },
		$again,
		qr/^no complete answer: Operation timed out/
	],

	# the status alone decides
	'503, broken off' => [
		{ status => 503, unkind => 'longer', n => 10 },
		$retried, qr/^HTTP 503$/
	],
	'429, broken off' => [
		{
			status => 429,
			headers => { 'Retry-After' => 1 },
			unkind => 'longer',
			n => 10
		},
		$sent,
		qr/^HTTP 429$/
	],

	# the answer might have listed each event
	'400, broken off' =>
	  [ { status => 400, unkind => 'longer', n => 10 }, $again, $broken ],);

# Each case has a destination of its own, so that all run at once.
my $n_cases = (@by_http2 + @by_http1) / 2;
my @accounts = map { 1000 + $_ } 1 .. $n_cases + 4;
my $stub = PinterestStub->new(accounts => \@accounts);
my $old = PinterestStub->new(accounts => \@accounts, options => ['--http1']);

# one authority for both
append_to_file($stub->ca_file, slurp_file($old->ca_file));
my $node = setup_node('unkind', $stub,
	conf => "pinterest_capi.request_timeout = 4s\n");

track($node, 'start', destination => 'default');
becomes($node, 'start', 'status', 'sent', 'all is well');
my $worker = worker_pid($node);

my ($account, @cases, %rules) = (1000);
for my $list ([ $stub, 'HTTP/2', @by_http2 ], [ $old, 'HTTP/1.1', @by_http1 ])
{
	my ($server, $version, @list) = @$list;

	while (my ($name, $case) = splice @list, 0, 2)
	{
		$account++;
		push @{ $rules{$version} },
		  { %{ $case->[0] }, account => "$account" };
		push @cases,
		  {
			account => $account,
			name => "$version: $name",
			server => $server,
			expected => $case->[1],
			error => $case->[2] // qr/^$/
		  };
	}
}
sql(join ';',
	map {
		sprintf q{
	INSERT INTO pinterest_capi.destination (destination, tag_id, ad_account_id, api_url) VALUES ('d%1$s', '%2$s', '%1$s', '%4$s');
	SELECT pinterest_capi.configure_destination('%2$s', '%3$s', '%1$s', 'd%1$s');
	SELECT pinterest_capi.allow_event('checkout', destination => 'd%1$s')},
		  $_->{account}, PinterestStub::TAG, PinterestStub::TOKEN,
		  $_->{server}->url
	} @cases);
$stub->script(@{ $rules{'HTTP/2'} });
$old->script(@{ $rules{'HTTP/1.1'} });
sql(join ';',
	map {
		qq{
	SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
		event_id => 'case-$_->{account}', destination => 'd$_->{account}')}
	} @cases);
ok( $node->poll_query_until(
		'postgres', q{
		SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE finished_at IS NULL}
	),
	scalar(@cases) . ' unkind answers: all events have ended')
  or diag(
	sql('SELECT event_id, status, reason, error FROM pinterest_capi.dispatch_status WHERE finished_at IS NULL'
	));
my %row = map { /^(\d+)\|(.*)$/ } split /\n/, sql(
	q{
	SELECT substr(event_id, 6), status, attempts, coalesce('outcome of an earlier attempt unknown' = ANY (warnings), false)
	FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'case-%'});
my %last_error = map { /^d(\d+)\|(.*)$/ } split /\n/, sql(
	q{
	SELECT destination, last_error FROM pinterest_capi.destination_status WHERE destination <> 'default'}
);
for my $case (@cases)
{
	is($row{ $case->{account} }, $case->{expected}, $case->{name});
	like($last_error{ $case->{account} } // '',
		$case->{error}, "$case->{name}: the destination says why");
}
is(worker_pid($node), $worker, 'the worker is still the same');
like(
	$last_error{ $_->{account} },
	qr/^(?!.*\Q@{[PinterestStub::TOKEN]}\E)/,
	'no token in an error') for grep { $_->{name} =~ /the token/ } @cases;

# 401 and 403 pause, whatever the body is.
for my $status (401, 403)
{
	$account++;
	add_destination($node, $old, "d$account", $account);
	$old->script(
		{
			account => "$account",
			status => $status,
			unkind => 'longer',
			n => 10
		});
	track($node, "pause-$status", destination => "d$account");
	ok( $node->poll_query_until(
			'postgres',
			"SELECT status FROM pinterest_capi.destination_status WHERE destination = 'd$account'",
			'paused'),
		"$status, broken off: paused");
	is(sql_status($node, "pause-$status", 'status, attempts'),
		'queued|0', 'the event waits');
}

# invalid UTF-8 in the middle of an otherwise valid answer
$account++;
add_destination($node, $old, "d$account", $account);
$old->script(
	{
		account => "$account",
		unkind => 'raw',
		n => 1,
		body =>
		  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"events\":[{\"status\":\"processed\",\"warning_message\":\"caf\x{e9}\"}]}"
	});
track($node, 'latin1', destination => "d$account");
becomes(
	$node,
	'latin1',
	q{status, attempts, 'outcome of an earlier attempt unknown' = ANY (warnings)},
	$again,
	'invalid UTF-8: sent again');

# Run alone, since libcurl closes the whole connection for it.
$account++;
add_destination($node, $stub, "d$account", $account);
$stub->script({ account => "$account", unkind => 'early', n => 1000 });
track($node, 'flood', destination => "d$account");
becomes(
	$node,
	'flood',
	q{status, attempts, 'outcome of an earlier attempt unknown' = ANY (warnings)},
	$again,
	'HTTP/2: a flood of interim answers: sent again');

# ---- huge answers: memory, and time ----

sql(q{SELECT pinterest_capi.pause_destination(destination) FROM pinterest_capi.destination WHERE destination <> 'default'}
);
my $mb = 1024 * 1024;
my %huge = (
	'100 MB' => { unkind => 'size', n => 100 * $mb },
	'100 MB with 503' => { unkind => 'size', n => 100 * $mb, status => 503 },
	'4 MB of escapes' => { unkind => 'escapes', n => 4 * $mb - 100 },
	'4 MB of entries' => { unkind => 'entries', n => 4 * $mb - 100 },
	'4 MB of blanks' => { unkind => 'size', n => 4 * $mb - 100 },
	'gzip of 100 MB' => { unkind => 'bomb', n => 100 * $mb },);
my ($before, $most) = (rss($worker), 0);
for my $turn (1 .. 2)
{
	for my $name (sort keys %huge)
	{
		my $used = cpu_seconds($worker);
		my $id = "huge-$turn-$name";

		$stub->reset;
		$stub->script($huge{$name});
		track($node, $id, destination => 'default');
		ok(poll(sub { sql_status($node, $id, 'attempts') >= 1 }),
			"$name: an attempt");

		# The worker reads and parses the answer in that time.
		cmp_ok(cpu_seconds($worker) - $used,
			'<', 5, 'in little time of a processor');
		$most = $most < rss($worker) ? rss($worker) : $most;
		sql("SELECT pinterest_capi.resume_destination()");

		# before the next event, which would get this one's answer otherwise
		becomes($node, $id, 'status, attempts', 'sent|2', 'and sent again');
	}
}
sql('SELECT pinterest_capi.flush()');
my $after = rss($worker);
note(
	"result: worker, in kB: $before before, $most at most, $after after; peak "
	  . (slurp_file("/proc/$worker/status") =~ /VmHWM:\s+(\d+)/)[0]);
SKIP:
{
	skip 'under AddressSanitizer', 1 if $ENV{PINTEREST_CAPI_SANITIZED};
	cmp_ok($after - $before,
		'<', 32 * 1024, 'the worker is no larger after that');
}

# the same as a transfer encoding
set_conf($node, request_timeout => 30);
sql("UPDATE pinterest_capi.destination SET api_url = '@{[$old->url]}' WHERE destination = 'default'"
);
$old->reset;
$old->script({ unkind => 'transfer_bomb', n => 100 * $mb });
track($node, 'transfer', destination => 'default');
becomes(
	$node,
	'transfer',
	q{status, attempts, 'outcome of an earlier attempt unknown' = ANY (warnings)},
	$again,
	'gzip as a transfer encoding: sent again');
SKIP:
{
	skip 'under AddressSanitizer', 1 if $ENV{PINTEREST_CAPI_SANITIZED};
	cmp_ok(rss($worker) - $before, '<', 32 * 1024,
		'not unpacked into memory');
}

# many ordinary answers: memory doesn't grow
sql("UPDATE pinterest_capi.destination SET batch_size = 1, api_url = '@{[$stub->url]}', max_requests_per_minute = 120000 WHERE destination = 'default'"
);
my $usual = sub {
	my ($name, $n) = @_;

	sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
		event_id => '$name-' || n, destination => 'default')) FROM generate_series(1, $n) AS n}
	);
	$node->poll_query_until('postgres',
		qq{SELECT count(*) = $n FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$name-%' AND status = 'sent'}
	) or die;
	return rss($worker);
};
my ($warm, $worn) = ($usual->('warm', 300), $usual->('worn', 1000));
note(
	"result: worker, in kB: $warm after 300 requests, $worn after 1000 more");
cmp_ok($worn - $warm, '<', 4 * 1024, 'a thousand requests leak no memory');
is(worker_pid($node), $worker, 'and the worker is still the same');
clean_log($node);

$node->stop;
$stub->stop;
$old->stop;
done_testing();
