# Flush, cancel, drop, replay and verify work while requests are in flight.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub
  qw(:DEFAULT sql track track_sql settled new_worker worker_pid worker_polls);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $stub = PinterestStub->new;
my $node = setup_node('operate', $stub,
	conf => 'pinterest_capi.request_timeout = 300s');
my $accepted = qr/^Pinterest accepted the test event\b/;

# Answer the request that hangs, and wait until its answer is settled.
sub let_go
{
	$stub->release;
	settled($node);
	return;
}

# ---- nothing to do ----

is(sql("SELECT pinterest_capi.replay('default')"),
	'0', 'replay of nothing: 0');
is( sql("SELECT pinterest_capi.replay('default', 'sent', new_event_id => true, dry_run => true)"
	),
	'0',
	'a dry run of nothing: 0');
is(sql("SELECT pinterest_capi.cancel('never-was')"),
	'0', 'cancel of nothing: 0');
is(sql("SELECT pinterest_capi.purge('0')"), '0', 'purge of nothing: 0');
is(sql('SELECT pinterest_capi.flush()'), 't', 'flush of nothing: at once');

# ---- flush ----

$stub->hang($node, 'hanging', destination => 'default');
my $begin = time();
is(sql(q{SELECT pinterest_capi.flush('500 ms')}),
	'f', 'flush: an event in flight is not finished');
cmp_ok(time() - $begin, '>=', 0.5, 'after the time that it was given');
is( sql(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pinterest_capi.flush('0'); COMMIT}
	),
	"1\nf",
	'timeout 0: one poll');

my $waiting = $node->background_psql('postgres');
$waiting->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ});
my $pid = $waiting->query_safe('SELECT pg_backend_pid()');
$waiting->query_until(
	qr/^$/,
	q{SELECT 'flushed ' || pinterest_capi.flush('5 minutes') AS said \gset
\echo :said
});
ok( $node->poll_query_until(
		'postgres', qq{
		SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid}
	),
	'another flush waits');

# flush() polls, and holds locks only during a poll.
ok( $node->poll_query_until(
		'postgres', qq{
		SELECT count(*) = 0 FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
		WHERE l.pid = $pid AND c.relnamespace = 'pinterest_capi'::regnamespace}),
	'without a lock on any table');
sql("SELECT pinterest_capi.pause_destination()");
is(sql(q{SELECT pinterest_capi.flush('100 ms')}),
	'f', 'paused, an event in flight is still not finished');
sql("SELECT pinterest_capi.resume_destination()");
let_go();
becomes($node, 'hanging', 'status', 'sent', 'it is sent');
like($waiting->query_safe('SELECT 1'),
	qr/flushed t/,
	'and the flush that waited returns true, in REPEATABLE READ too');
$waiting->query_safe('COMMIT');
$waiting->quit;

# flush() starts a worker when none runs.
my $old = worker_pid($node);
$stub->hang($node, 'lost', destination => 'default');
sql("SELECT pg_terminate_backend($old)");
$stub->reset;
is(sql('SELECT pinterest_capi.flush()'),
	't', 'flush waits for the worker after this one');
is(sql_status($node, 'lost', 'status, attempts'),
	'sent|2', 'which sends the event in flight again');

# ---- cancel, drop: what comes back later overwrites nothing ----

$stub->hang($node, 'cancelled', destination => 'default');
is(sql("SELECT pinterest_capi.cancel('cancelled')"),
	'1', 'cancelled while its request is in flight');
let_go();
is( sql_status($node, 'cancelled', 'status, reason, warnings'),
	'cancelled|by cancel|{"ended during a request, Pinterest may have processed it"}',
	'and it stays so');
is(scalar($stub->received('cancelled')), 1, 'though it was received');
is(sql("SELECT pinterest_capi.cancel('hanging')"),
	'0', 'a sent event cannot be cancelled');

# An uncommitted cancel delays the answer to its event and no other.
$stub->hang($node, 'undecided', destination => 'default');
my $undecided = $node->background_psql('postgres');
$undecided->query_safe('BEGIN');
is($undecided->query_safe("SELECT pinterest_capi.cancel('undecided')"),
	'1', 'cancelled, but not committed');
$stub->release;
ok( $node->poll_query_until(
		'postgres',
		'SELECT count(*) = 1 FROM pinterest_capi._lease WHERE problem IS NOT NULL'
	),
	'the worker does not wait for it');
$undecided->query_safe('ROLLBACK');
becomes($node, 'undecided', 'status, attempts',
	'sent|1', 'rolled back: the answer is written down after all');
is(scalar($stub->received('undecided')), 1, 'and nothing goes twice');

# a person who is forgotten, whatever the answer is
for my $answer (
	{},
	{ status => 503 },
	{ status => 401 },
	{ fail => { 0 => 'No.' } })
{
	my $name = 'person-'
	  . ($answer->{status} // ($answer->{fail} ? 'failed' : 'sent'));

	$stub->hang($node, $name, email => "$name\@example.com", %$answer);
	is( sql(qq{SELECT pinterest_capi.forget(user_data => '{"em": "$name\@example.com"}')}
		),
		'1',
		'the person is forgotten meanwhile');
	let_go();
	is( sql_status(
			$node,
			$name,
			q{status, reason, attempts, http_status IS NULL, payload IS NULL, warnings}
		),
		'suppressed|forgotten|0|t|t|{"ended during a request, Pinterest may have processed it"}',
		'the answer overwrites nothing');
	is(sql(qq{SELECT count(*) FROM pinterest_capi._waiting}),
		'0', 'and puts nothing back into the queue');
	worker_polls($node);
	is($stub->count->{requests}, 1, 'nor is it sent again');
	sql('SELECT pinterest_capi.resume_destination()');
}

# cancelled, and replayed while the first request is still in flight
$stub->hang($node, 'twice');
is( sql("SELECT pinterest_capi.cancel('twice'); SELECT pinterest_capi.replay('default', 'cancelled', since => (SELECT created_at FROM pinterest_capi.dispatch_status WHERE event_id = 'twice'))"
	),
	"1\n1",
	'cancelled, and replayed');
let_go();
becomes($node, 'twice', 'status, attempts',
	'sent|1', 'the answer of the request that was in flight counts');
worker_polls($node);
is(scalar($stub->received('twice')), 1, 'and no other request was made');

add_destination($node, $stub, 'other');
my $worker = worker_pid($node);
$stub->hang($node, 'dropped', destination => 'other');
my $late = $node->background_psql('postgres');
$late->query_safe('BEGIN');
$late->query_safe(track_sql('too-late', destination => 'other'));
sql("SELECT pinterest_capi.drop_destination('other')");
$late->query_safe('COMMIT');
$late->quit;
let_go();
is( sql_status($node, 'dropped', 'status, reason, destination'),
	'cancelled|destination dropped|other',
	'dropped while its request is in flight');
is(worker_pid($node), $worker, 'by the same worker');

# The worker searches for such rows once a minute and when it starts.
new_worker($node);
becomes(
	$node, 'too-late',
	'status, reason',
	'cancelled|destination dropped',
	'an event tracked during the drop is cancelled, too');
ok( poll(
		sub {
			sql('SELECT pg_reload_conf(); SELECT count(*) FROM pinterest_capi._dropped'
			) =~ /^0$/m;
		}),
	'until no transaction is open that may not know of it');

# ---- replay ----

$stub->reset;
$stub->script({ fail => { 'again' => 'Not today.' } });
track($node, 'again', destination => 'default');
becomes(
	$node, 'again',
	'status, attempts, error',
	'failed|1|Not today.',
	'an event fails');
is(sql("SELECT pinterest_capi.replay('default', dry_run => true)"),
	'1', 'a dry run counts it');
is(sql_status($node, 'again', 'status'), 'failed', 'and does not change it');
is(sql("SELECT pinterest_capi.replay('default')"), '1', 'replayed');
becomes($node, 'again', 'status, attempts, error', 'sent|1|', 'it is sent');
my @same = $stub->received('again');
is(scalar(@same), 2, 'under the same event_id');
is( $same[0]{event}{event_time},
	$same[1]{event}{event_time},
	'with the same time');

my $before = time();
is( sql("SELECT pinterest_capi.replay('default', 'sent', 'CHECKOUT', since => (SELECT created_at FROM pinterest_capi.dispatch_status WHERE event_id = 'again'), new_event_id => true, event_time_now => true)"
	),
	'1',
	'replayed as a new event');
is(sql('SELECT pinterest_capi.flush()'), 't', 'nothing is due');
my ($new) = grep { $_->{event}{event_id} ne 'again' } $stub->received;
ok($new, 'which arrives under another event_id');
cmp_ok($new->{event}{event_time},
	'>=', int($before), 'with the time of the replay');
is( $new->{event}{user_data}{em}[0],
	sha256_hex('a@example.com'),
	'and the same person');
is(sql_status($node, $new->{event}{event_id}, 'status'),
	'sent', 'it has a row of its own');

# An event whose retries are used up begins with new retries, however long the
# destination has been failing.
$stub->reset;
sql("UPDATE pinterest_capi.destination SET retry_for = '1 second'");
$stub->down;
track($node, 'unlucky', destination => 'default');
becomes(
	$node, 'unlucky',
	'status, reason',
	'failed|retries used up',
	'unreachable for longer than retry_for');
sql(q{
	UPDATE pinterest_capi.destination SET retry_for = DEFAULT;
	UPDATE pinterest_capi._event SET created_at = created_at - interval '3 days' WHERE event_id = 'unlucky';
	UPDATE pinterest_capi._destination_state SET failing_since = failing_since - interval '3 days', backoff_until = NULL}
);
is(sql("SELECT pinterest_capi.replay('default')"),
	'1', 'replayed although unreachable');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT backoff_until IS NOT NULL FROM pinterest_capi._destination_state WHERE destination = 'default'}
	),
	'the destination is still unreachable');
is(sql_status($node, 'unlucky', 'status, attempts'),
	'queued|0', 'the event waits, with new retries');
$stub->up;
becomes($node, 'unlucky', 'status', 'sent',
	'and goes once the destination is back');

# ---- verify ----

$stub->reset;
my $rows = sql('SELECT count(*) FROM pinterest_capi.dispatch_status');
like(sql('SELECT pinterest_capi.verify_destination()'), $accepted,
	'verified');
my ($test) = $stub->received;
ok($test->{test}, 'in test mode');
is(sql('SELECT count(*) FROM pinterest_capi.dispatch_status'),
	$rows, 'without a row');
$stub->script({ fail => { 0 => 'Bad tag.' } });
is(sql('SELECT pinterest_capi.verify_destination()'),
	'Pinterest refused the test event: Bad tag.', 'refused');
$stub->script({ fail => { 0 => 'wrong' . "caf\x{e9} " x 200 } });
my $said = sql(
	q{SELECT convert_from(convert_to(pinterest_capi.verify_destination(), 'UTF8'), 'UTF8')}
);
ok(utf8::decode($said), 'a long message is cut between characters');
like(
	$said,
	qr/^Pinterest refused the test event: wrong(caf\x{e9} ){60,}\S{0,4}$/,
	'and not too soon');

$stub->script(
	{ status => 401, body => { code => 2, message => 'Who are you?' } });
like(
	sql('SELECT pinterest_capi.verify_destination()'),
	qr/^The destination is paused: .*Who are you/,
	'a refused token');
ok( $node->poll_query_until(
		'postgres', 'SELECT status FROM pinterest_capi.destination_status',
		'paused'),
	'pauses the destination');
like(sql('SELECT pinterest_capi.verify_destination()'),
	$accepted, 'a paused one can be verified');
is(sql('SELECT status FROM pinterest_capi.destination_status'),
	'paused', 'and stays paused');
sql('SELECT pinterest_capi.resume_destination()');

# A session that stops waiting withdraws its verification request.
for my $how ('statement_timeout', 'pg_terminate_backend')
{
	$stub->reset;
	$stub->script({ hang => 1 });
	if ($how eq 'statement_timeout')
	{
		my ($status, $out, $err) = $node->psql('postgres',
			"SET statement_timeout = '500 ms'; SELECT pinterest_capi.verify_destination()"
		);
		like(
			$err,
			qr/canceling statement due to statement timeout/,
			"$how ends a verification");
		ok($stub->wait_count(hanging => 1), 'which was in flight');
	}
	else
	{
		my $asking = $node->background_psql('postgres', on_error_stop => 0);
		my $asker = $asking->query_safe('SELECT pg_backend_pid()');
		$asking->query_until(qr/^$/,
			"SELECT pinterest_capi.verify_destination();\n");
		ok($stub->wait_count(hanging => 1), 'a verification is in flight');
		sql("SELECT pg_terminate_backend($asker, 10000)");
		ok( $node->poll_query_until(
				'postgres',
				"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $asker"
			),
			"$how ends it");
		eval { $asking->quit };
	}
	like(sql('SELECT pinterest_capi.verify_destination()'),
		$accepted, 'the next one is answered');
	let_go();
}

# one after the other
$stub->reset;
my @clients = map {
	my ($in, $out, $err) =
	  ('SELECT pinterest_capi.verify_destination();', '', '');
	my $client = { out => \$out, err => \$err };
	$client->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \$in,
		'>' => \$out,
		'2>' => \$err);
	$client;
} 1 .. 4;
for my $client (@clients)
{
	$client->{run}->finish;
	like(${ $client->{out} } . ${ $client->{err} },
		$accepted, 'four at once: answered');
}
is(scalar($stub->received), 4, 'each with an event of its own');

# a server that doesn't send (dispatch = off)
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$node->reload;
ok( $node->poll_query_until(
		'postgres', 'SHOW pinterest_capi.dispatch', 'off'),
	'dispatch is off');
$stub->reset;
track($node, 'kept', destination => 'default');
is( sql('SELECT pinterest_capi.verify_destination()'),
	'Nothing was sent: pinterest_capi.dispatch is off on this server.',
	'verify says so');
is(sql('SELECT pinterest_capi.flush()'), 't', 'nothing is due');
worker_polls($node);
is($stub->count->{requests}, 0, 'and nothing was sent');
is(sql_status($node, 'kept', 'status'), 'queued', 'the event waits');

$node->stop;
$stub->stop;
done_testing();
