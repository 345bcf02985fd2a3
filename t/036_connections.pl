# Requests share connections and events share requests: as few of each as are
# needed, and no destination waits for another's connection.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use List::Util    qw(max sum);
use PinterestStub qw(:DEFAULT sql sent worker_polls);
use Test::More;

my $stub = PinterestStub->new(accounts => [ 601 .. 604 ]);
my $node = setup_node('connections', $stub);

# Track events, each in a transaction of its own.
sub track
{
	my ($destination, @ids) = @_;

	sql(join ';',
		map {
			qq{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
			event_id => '$_', destination => '$destination')}
		} @ids);
	return;
}

# ---- HTTP/2: everything on one connection ----

track('default', 'first');
ok($stub->wait_count(processed => 1), 'a first event');
track('default', map { "one-$_" } 1 .. 20);
sent($node, 'one', 20, 'and twenty more, one by one');
is($stub->count->{connections}, 1, 'over one connection');

sql('UPDATE pinterest_capi.destination SET batch_size = 1');
$stub->reset;
$stub->script({ times => 0, hang => JSON::PP::true });
track('default', map { "many-$_" } 1 .. 10);
ok($stub->wait_count(hanging => 4), 'four requests are in flight at once');
worker_polls($node);
is($stub->count->{requests}, 4, 'max_concurrent_requests: and no fifth');
is( sql('SELECT in_flight_requests, state FROM pinterest_capi.worker_status'),
	'4|sending', 'worker_status says so');
is($stub->count->{connections},
	0, 'multiplexed over the connection that was there');
$stub->reset;
sent($node, 'many', 10, 'released, all are sent');
is(sql('SELECT max(attempts) FROM pinterest_capi.dispatch_status'),
	'1', 'at the first attempt');

set_conf($node, max_concurrent_requests => 9);
$stub->reset;
$stub->script({ times => 0, hang => JSON::PP::true });
track('default', map { "nine-$_" } 1 .. 12);
ok($stub->wait_count(hanging => 9), 'nine at once after a reload');
worker_polls($node);
is($stub->count->{requests}, 9, 'and no tenth');
is($stub->count->{open}, 1, 'over one connection still');
$stub->reset;
sent($node, 'nine', 12, 'all are sent');
set_conf($node, max_concurrent_requests => 4);

# Destinations at the same host share the connection; a request that hangs
# delays no other.
$stub->reset;
add_destination($node, $stub, "d$_", $_) for 601 .. 604;
sql('UPDATE pinterest_capi.destination SET batch_size = 1');
$stub->script(map { +{ account => "$_", times => 0, hang => JSON::PP::true } }
	  601 .. 603);
track("d$_",
	map { my $n = $_; $n } map { "hang-$_" } ($_ * 10 .. $_ * 10 + 7))
  for 601 .. 603;
ok($stub->wait_count(hanging => 12),
	'three destinations hang, with four requests each');
track('d604', map { "free-$_" } 1 .. 5);
sent($node, 'free', 5, 'the fourth one is served meanwhile');
is($stub->count->{connections}, 0, 'over the same connection');
is($stub->count->{hanging}, 12, 'while they hang');
$stub->reset;
sent($node, 'hang', 24, 'released, all are sent');
sql("SELECT pinterest_capi.drop_destination(destination) FROM pinterest_capi.destination WHERE destination LIKE 'd%' AND destination <> 'default'"
);

# ---- when a connection ends ----

$stub->reset;
$stub->script({ cut => 'before' });
track('default', 'broken');
becomes($node, 'broken', 'status', 'sent',
	'a connection breaks: sent over another one');
is($stub->count->{duplicates}, 0, 'nothing went twice');

# The server sends GOAWAY: requests in flight are answered, the next uses
# another connection.
$stub->reset;
$stub->script({ unkind => 'leaving' });
track('default', 'leaving');
becomes($node, 'leaving', 'status, attempts',
	'sent|1', 'GOAWAY before the answer: taken as it is');
track('default', 'left');
becomes($node, 'left', 'status, attempts', 'sent|1', 'the next event');
is($stub->count->{connections}, 1, 'has a new connection');
is($stub->count->{duplicates}, 0, 'nothing went twice');

# The server says that it processed nothing: the worker sends again, on
# another connection.
$stub->reset;
$stub->script({ unkind => 'goaway', n => 11 });
track('default', 'refused-by-goaway');
becomes($node, 'refused-by-goaway', 'status', 'sent',
	'GOAWAY instead of an answer: sent again');
$stub->script({ unkind => 'reset', n => 2 });
track('default', 'reset');
becomes($node, 'reset', 'status, attempts',
	'sent|2', 'RST_STREAM with an error: an attempt, and sent again');
is( sql(q{SELECT 'outcome of an earlier attempt unknown' = ANY (warnings) FROM pinterest_capi.dispatch_status WHERE event_id = 'reset'}
	),
	't',
	'with a warning, since it might have been processed');
$stub->script({ unkind => 'reset', n => 7 });
track('default', 'reset-refused');
becomes($node, 'reset-refused', 'status', 'sent',
	'RST_STREAM of a stream that was refused: sent');
is($stub->count->{duplicates}, 0, 'nothing went twice');

# ---- HTTP/1.1: as many connections as requests, and they are kept ----

$stub->stop;
$stub->{options} = [ @{ $stub->{options} }, '--http1' ];
$stub->start('server');
track('default', 'warm-1');
sent($node, 'warm', 1, 'a server that speaks HTTP/1.1 alone: sent');
$stub->script({ times => 0, hang => JSON::PP::true });
track('default', map { "old-$_" } 1 .. 10);
ok($stub->wait_count(hanging => 4), 'four requests at once');
worker_polls($node);
is($stub->count->{requests}, 1 + 4, 'and no fifth');
my $count = $stub->count;
is($count->{open}, 4, 'over four connections');

# Not every connection: tickets come after the handshake, and some versions
# use a ticket once.
cmp_ok($count->{resumed}, '>=', 1,
	"of which $count->{resumed} resumed a TLS session");
is(($stub->requests)[0]{http_version}, '1.1', 'by HTTP/1.1');
$stub->release;
$stub->script();
ok($stub->wait_count(hanging => 4), 'four more hang, as the script says');
is($stub->count->{connections}, 4, 'over the same four connections');
$stub->reset;
sent($node, 'old', 10, 'all are sent');

# many destinations: no limit of connections delays any
add_destination($node, $stub, "d$_", $_) for 601 .. 604;
sql('UPDATE pinterest_capi.destination SET batch_size = 1');
$stub->script(map { +{ account => "$_", times => 0, hang => JSON::PP::true } }
	  601 .. 603);
track("d$_", map { "hang1-$_" } ($_ * 10 .. $_ * 10 + 7)) for 601 .. 603;
ok($stub->wait_count(hanging => 12),
	'three destinations hang, with a connection for each of four requests');
track('d604', map { "free1-$_" } 1 .. 5);
sent($node, 'free1', 5, 'the fourth one is served meanwhile');
is($stub->count->{hanging}, 12, 'while they hang');
$stub->reset;
sent($node, 'hang1', 24, 'released, all are sent');

# ---- natural batching ----

sql('UPDATE pinterest_capi.destination SET batch_size = DEFAULT');
set_conf($node, max_concurrent_requests => 1);
$stub->reset;
$stub->script({ hang => JSON::PP::true });
track('default', 'idle');
ok($stub->wait_count(hanging => 1),
	'the first event after idleness is sent at once');
track('default', map { "queue-$_" } 1 .. 300);
worker_polls($node);
is($stub->count->{requests}, 1, '300 more are queued while it is in flight');
$stub->release;
sent($node, 'queue', 300, 'once it is answered, they are sent');
my @requests = $stub->requests;
is_deeply(
	[ map { $_->{events} } @requests ],
	[ 1, 300 ],
	'together, in one request');

# With more concurrent requests allowed, a second request is sent beside the
# first, but not one for each event.
set_conf($node, max_concurrent_requests => 4);
$stub->reset;
$stub->script({ times => 4, hang => JSON::PP::true });
track('default', map { "beside-$_" } 1 .. 400);
ok($stub->wait_count(hanging => 1), 'the first request of many events hangs');
ok( poll(
		sub {
			(sum(map { $_->{events} } $stub->requests) // 0) == 400
			  || $stub->count->{hanging} == 4;
		}),
	'the others are sent beside it');
$stub->release;
sent($node, 'beside', 400, 'and are sent');
cmp_ok(
	scalar($stub->requests),
	'<=', 12,
	'in few requests: ' . join ' ',
	map { $_->{events} } $stub->requests);

# ---- ceilings: number, test mode, bytes ----

sub track_together
{
	my ($name, $n, $properties) = @_;

	$properties //= q{'{"value": 1, "currency": "USD"}'};
	sql(qq{SELECT count(pinterest_capi.track('Checkout', $properties, '{"em": "a\@example.com"}',
			event_id => '$name-' || n, destination => 'default')) FROM generate_series(1, $n) AS n}
	);
	return;
}
$stub->reset;
track_together('full', 1500);
sent($node, 'full', 1500, '1500 events of one transaction');
is_deeply(
	[ sort { $a <=> $b } map { $_->{events} } $stub->requests ],
	[ 500, 1000 ],
	'no more than 1000 in a request');

sql("UPDATE pinterest_capi.destination SET test_mode = true WHERE destination = 'default'"
);
$stub->reset;
track_together('testing', 50);
sent($node, 'testing', 50, '50 events in test mode');
is_deeply(
	[ sort { $a <=> $b } map { $_->{events} } $stub->requests ],
	[ 10, 20, 20 ],
	'no more than 20 in a request');
is(scalar(grep { !$_->{test} } $stub->requests),
	0, 'all of them test requests');
sql("UPDATE pinterest_capi.destination SET test_mode = false WHERE destination = 'default'"
);

# 60 lines of an order make some kB; 1000 such events more than 2 MB
$stub->reset;
track_together(
	'large', 1000,
	q{jsonb_build_object('value', 1, 'currency', 'USD', 'contents',
	(SELECT jsonb_agg(jsonb_build_object('id', 'article-number-' || n || '-' || i, 'quantity', 1, 'item_price', 1.25)) FROM generate_series(1, 60) AS i))}
);
sent($node, 'large', 1000, '1000 large events');
my @bytes = map { $_->{bytes} } $stub->requests;
cmp_ok(
	sum(@bytes), '>',
	2 * 1024 * 1024,
	'of ' . sum(@bytes) . ' bytes together');
cmp_ok(
	max(@bytes), '<=',
	2 * 1024 * 1024,
	'no request is larger than 2 MB: ' . join ' ', @bytes);
is($stub->count->{distinct}, 1000, 'none is lost');
is($stub->count->{violations}, 0, 'and none refused');

is_deeply($stub->count->{lapses}, [], 'nothing careless was sent');
$node->stop;
$stub->stop;
done_testing();
