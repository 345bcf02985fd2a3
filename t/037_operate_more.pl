# Operating: what is told to listeners, retention in small steps, and answers that
# come after a person is forgotten.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP ();
use PinterestStub;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new(accounts => ['601']);
my $node = setup_node('operate', $stub, conf => 'pinterest_capi.request_timeout = 300s');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub track
{
	my ($id, $person) = @_;

	sql(sprintf q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "%s"}', event_id => '%s')},
		$person // 'a@example.com', $id);
	return;
}

sub settled
{
	ok($node->poll_query_until('postgres',
			'SELECT in_flight_requests = 0 AND NOT EXISTS (SELECT FROM pinterest_capi._lease) FROM pinterest_capi.worker_status'),
		'the answer is settled');
	return;
}

# ---- nothing to do ----

is(sql("SELECT pinterest_capi.replay('default')"), '0', 'replay of nothing: 0');
is(sql("SELECT pinterest_capi.replay('default', 'sent', new_event_id => true, dry_run => true)"), '0', 'a dry run of nothing: 0');
is(sql("SELECT pinterest_capi.cancel('never-was')"), '0', 'cancel of nothing: 0');
is(sql("SELECT pinterest_capi.purge('0')"), '0', 'purge of nothing: 0');
is(sql('SELECT pinterest_capi.flush()'), 't', 'flush of nothing: at once');

# ---- an answer that comes after forget ----

for my $answer ({}, { status => 503 }, { status => 401 }, { fail => { 0 => 'No.' } })
{
	my $name = 'person-' . ($answer->{status} // ($answer->{fail} ? 'failed' : 'sent'));

	$stub->reset;
	$stub->script({ hang => JSON::PP::true, %$answer });
	track($name, "$name\@example.com");
	ok($stub->wait_count(hanging => 1), "$name: a request hangs");
	is(sql(qq{SELECT pinterest_capi.forget(user_data => '{"em": "$name\@example.com"}')}), '1', 'the person is forgotten meanwhile');
	$stub->release;
	settled();
	is(sql_status($node, $name, q{status, reason, attempts, http_status IS NULL, payload IS NULL, warnings}),
		'suppressed|forgotten|0|t|t|{"ended during a request, Pinterest may have processed it"}', 'what comes back overwrites nothing');
	is(sql(qq{SELECT count(*) FROM pinterest_capi._queue}), '0', 'and puts nothing back into the queue');
	is($stub->count->{requests}, 1, 'nor is it sent again');
	sql('SELECT pinterest_capi.resume_destination()');
}

# ---- cancelled, and replayed while the first request is still out ----

$stub->reset;
$stub->script({ hang => JSON::PP::true });
track('twice');
ok($stub->wait_count(hanging => 1), 'a request hangs');
is(sql("SELECT pinterest_capi.cancel('twice'); SELECT pinterest_capi.replay('default', 'cancelled')"), "1\n1", 'cancelled, and thought better of');
$stub->release;
becomes($node, 'twice', 'status, attempts', 'sent|1', 'the answer of the request that was out counts');
is(scalar($stub->received('twice')), 1, 'and no other one was made');

# ---- what listeners are told ----

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN pinterest_capi');
my $heard = '';
sub told
{
	my ($n) = @_;
	my @told;

	poll(sub {
			$heard .= $listener->query('SELECT 1');
			@told = map { JSON::PP::decode_json($_) } $heard =~ /with payload "(\{.*?\})" received/g;
			return @told >= $n;
		});
	return @told;
}

add_destination($node, $stub, 'the "other" one', '601');
$stub->reset;
$stub->script(map { +{ status => 401, account => $_, body => { code => 2, message => "Say \"please\",\n\x{e4}h, pina_secret?" } } } PinterestStub::ACCOUNT, '601');
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'both', destination => destination)
	FROM pinterest_capi.destination});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pinterest_capi.destination_status WHERE status = 'paused'}), '401: both destinations are paused');
my @told = sort { $a->{destination} cmp $b->{destination} } told(2);
is_deeply([ map { "$_->{destination}: $_->{status}" } @told ], [ 'default: paused', 'the "other" one: paused' ], 'listeners are told of each, in JSON');
like($told[0]{message}, qr/^HTTP 401: Say "please", .*h, pina_secret\? \(code 2\)$/, 'with what the API said');
is_deeply([ sort keys %{ $told[0] } ], [qw(destination message status)], 'and nothing else');
sql(sprintf q{SELECT pinterest_capi.resume_destination(); SELECT pinterest_capi.configure_destination('1', '%s', '601', 'the "other" one')}, PinterestStub::TOKEN);
@told = (told(4))[2, 3];
is_deeply([ map { "$_->{destination}: $_->{status}" } @told ], [ 'default: ready', 'the "other" one: ready' ], 'and when they are ready again, by either way');

ok($stub->wait_count(processed => 2), 'what waited is sent');
is(sql('SELECT pinterest_capi.flush()'), 't', 'all of it');
sql(q{SELECT pinterest_capi.drop_destination('the "other" one')});

# what isn't a pause is not told: backing off ends by itself; nor what is rolled back
$stub->reset;
$stub->script({ status => 503 });
track('busy');
becomes($node, 'busy', 'status, attempts', 'sent|2', 'a 503, and a success');
sql('BEGIN; SELECT pinterest_capi.pause_destination(); ROLLBACK');
sql('SELECT pinterest_capi.pause_destination()');
is(scalar(my @all = told(5)), 5, 'only a pause that is committed is told of');
is($all[4]{message}, 'by pause_destination', 'with who did it');
sql('SELECT pinterest_capi.resume_destination()');
$listener->quit;

# ---- retention ----

my $n = 7000;
sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
	visitor_id => 'v', event_id => 'kept-' || n)) FROM generate_series(1, $n) AS n});
is(sql("SELECT pinterest_capi.flush('60 s')"), 't', "$n events are sent");
# a third is as old as what is deleted, a third as what is emptied, by when they ended; one still waits
sql(q{
	UPDATE pinterest_capi._outcome AS o SET finished_at = finished_at - CASE e.id % 3 WHEN 0 THEN interval '31 days' WHEN 1 THEN interval '8 days' ELSE '0' END
	FROM pinterest_capi._event AS e WHERE e.id = o.id AND e.event_id LIKE 'kept-%';
	SELECT pinterest_capi.pause_destination()});
track('waiting');
sql(q{UPDATE pinterest_capi._event SET created_at = created_at - interval '1 year' WHERE event_id = 'waiting'});
my ($deleted) = sql(q{SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE 'kept-%' AND id % 3 = 0});
my ($emptied) = sql(q{SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE 'kept-%' AND id % 3 = 1});

# a pass is made every minute, and when a worker starts
my $worker = sql('SELECT pid FROM pinterest_capi.worker_status');
sql('CREATE TABLE steps (xid xid8, n bigint)');
sql(q{
	CREATE FUNCTION count_step() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.steps SELECT pg_current_xact_id(), count(*) FROM gone; RETURN NULL; END$$;
	CREATE TRIGGER step AFTER DELETE ON pinterest_capi._outcome REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_step();
	ALTER TABLE pinterest_capi._outcome ENABLE ALWAYS TRIGGER step});
sql("SELECT pg_terminate_backend($worker)");
ok($node->poll_query_until('postgres', qq{
		SELECT count(*) = $n - $deleted AND count(*) FILTER (WHERE payload IS NULL) = $emptied
		FROM pinterest_capi._event WHERE event_id LIKE 'kept-%'}), "$deleted old events are deleted, the payload of $emptied is emptied");
is(sql(q{SELECT count(*) FROM pinterest_capi._event AS e WHERE event_id LIKE 'kept-%' AND (payload IS NULL) <> (id % 3 = 1)}), '0', 'the right ones');
is(sql(q{SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE 'kept-%' AND payload IS NULL AND visitor IS NOT NULL}), '0',
	'the visitor goes with the payload');
is(sql(q{SELECT count(*) FROM pinterest_capi._outcome AS o WHERE NOT EXISTS (SELECT FROM pinterest_capi._event AS e WHERE e.id = o.id)}), '0',
	'no half of a row is left');
is(sql(q{SELECT max(n) <= 2000 AND count(DISTINCT xid) FILTER (WHERE n > 0) >= 4 FROM steps}), 't', 'in steps of a transaction each, none of more than 2000');
is(sql_status($node, 'waiting', 'status, payload IS NULL'), 'queued|f', 'what still waits is kept, however old');
sql('DROP TRIGGER step ON pinterest_capi._outcome; DROP FUNCTION count_step; DROP TABLE steps');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'waiting', 'status', 'sent', 'and sent');

# a row that is gone no longer stops its event_id; what has no payload can't be replayed
track('kept-3');
is(sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = 'kept-3'}), '1', 'an event_id may come again after retention');
my (undef, undef, $err) = $node->psql('postgres', q{SELECT pinterest_capi.replay('default', 'sent', since => now() - interval '1 day')});
like($err, qr/$emptied events have no payload and cannot be replayed/, 'replay says what it cannot do');
is(sql('SELECT pinterest_capi.flush()'), 't', 'the others are sent again');

$node->stop;
$stub->stop;
done_testing();
