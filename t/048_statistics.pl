# No statement reads more rows than its own because the planner's statistics of
# the extension's tables are wrong, by whatever factor.  They are wrong because
# autovacuum counts no rows while a bulk import is uncommitted, or counts those
# of a queue that has just become empty.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql sql worker_pid);
use PostgreSQL::Test::Utils;
use Test::More;

use constant EVENTS => 20_000;
use constant BATCH => 200;

my $stub = PinterestStub->new;
my $node = setup_node('statistics', $stub, conf => <<'CONF');
autovacuum = off
pinterest_capi.max_concurrent_requests = 1
CONF

# Return how many rows of the extension's tables were read, by index or not.
sub rows_read
{
	return sql(
		q{SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'pinterest_capi')
		+ (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'pinterest_capi')}
	);
}

# End the worker, which reports its statistics at exit, and wait for the next
# one.
sub next_worker
{
	my $pid = worker_pid($node);

	sql("SELECT pg_terminate_backend($pid)");
	poll(sub { (worker_pid($node) || $pid) != $pid })
	  or BAIL_OUT('no worker starts again');
	return;
}

# Return how many rows were inserted, updated and deleted in a table, without
# reading it.
sub written
{
	my ($table, $what) = @_;

	return sql(
		"SELECT n_tup_$what FROM pg_stat_user_tables WHERE schemaname = 'pinterest_capi' AND relname = '$table'"
	);
}

sub until_written
{
	my ($table, $what, $n) = @_;

	return poll(sub { written($table, $what) >= $n });
}

# the statistics of an ANALYZE that has seen pages and no rows
sub believe_empty
{
	sql(q{UPDATE pg_class SET reltuples = 0, relpages = greatest(1, pg_relation_size(oid) / 8192)
		WHERE relnamespace = 'pinterest_capi'::regnamespace AND relkind IN ('r', 'i')}
	);
	return;
}

# Wait until the worker has counted all events, for which it reads each once.
sub counted
{
	$node->poll_query_until(
		'postgres', q{
		SELECT (SELECT max(mark) FROM pinterest_capi._statistics_mark) = (SELECT last_value FROM pinterest_capi._event_id_seq)
			AND NOT EXISTS (SELECT FROM pinterest_capi._statistics_change)}
	) or die 'the worker does not count';
	return;
}

# name, maximum of rows read per event by sessions and worker, action
sub reads_little
{
	my ($name, $most, $what) = @_;

	counted();
	believe_empty();
	next_worker();
	my $before = rows_read();
	$what->();
	next_worker();
	my $read = rows_read() - $before;

	note(sprintf '%s: %.1f rows an event', $name, $read / EVENTS);
	cmp_ok(
		$read, '<=',
		$most * EVENTS,
		"$name: not more than $most rows were read for each event");
	return;
}

sub fill
{
	my ($name, $destination) = @_;

	sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
		event_id => '$name-' || n, destination => '$destination')) FROM generate_series(1, @{[EVENTS]}) AS n}
	);
	return;
}

sql(qq{UPDATE pinterest_capi.destination SET batch_size = @{[BATCH]}, max_requests_per_minute = 60000}
);
add_destination($node, $stub, 'closed');
sql("SELECT pinterest_capi.pause_destination(d) FROM unnest('{default,closed}'::text[]) AS d"
);
sql(track_sql('alone'));
fill('tried', 'default');

# ---- a worker that ended while a request was in flight ----

$stub->script({ hang => 1 });
sql('SELECT pinterest_capi.resume_destination()');
ok($stub->wait_count(hanging => 1), 'a request hangs');
sql('SELECT pinterest_capi.pause_destination()');
counted();
believe_empty();
my $before = rows_read();
next_worker();
next_worker();
cmp_ok(rows_read() - $before,
	'<', EVENTS / 2, 'what was in it is found without reading what waits');
is(sql(q{SELECT count(*) FROM pinterest_capi._retry WHERE attempts = 1}),
	BATCH, 'all of it');
$stub->release;

# ---- the views are read meanwhile ----

reads_little(
	'flush', 0.1,
	sub {
		is(sql(q{SELECT pinterest_capi.flush('0s')}),
			't', 'flush: nothing is due of a destination that is paused');
	});

# ---- one of many is cancelled ----

reads_little(
	'cancel', 0.1,
	sub {
		is(sql(q{SELECT pinterest_capi.cancel('alone', 'default')}),
			1, 'one is cancelled');
	});

# ---- retries ----

sql(q{INSERT INTO pinterest_capi._retry (id, dest, attempts, due_at, first_attempt_at, last_attempt_at)
	SELECT e.id, e.dest, 1, now() - interval '1 minute', now() - interval '2 minutes', now() - interval '2 minutes'
	FROM pinterest_capi._waiting AS e ON CONFLICT (dest, id) DO UPDATE SET due_at = excluded.due_at}
);
my $settled = written('_outcome', 'ins');
reads_little(
	'retries',
	20,
	sub {
		sql('SELECT pinterest_capi.resume_destination()');
		ok(until_written('_outcome', 'ins', $settled + EVENTS),
			'all retries are sent');
	});

# ---- a replay ----

sql('SELECT pinterest_capi.pause_destination()');
reads_little(
	'replay since',
	10,
	sub {
		is( sql(q{SELECT pinterest_capi.replay('default', 'sent', since => now() - interval '1 day', dry_run => true)}
			),
			EVENTS,
			'all could be replayed');
	});
reads_little(
	'replay', 17,
	sub {
		is(sql(q{SELECT pinterest_capi.replay('default', 'sent')}),
			EVENTS, 'all are replayed');
	});
$settled = written('_outcome', 'ins');
reads_little(
	'replayed',
	15,
	sub {
		sql('SELECT pinterest_capi.resume_destination()');
		ok(until_written('_outcome', 'ins', $settled + EVENTS),
			'all are sent again');
	});

# ---- a destination that is dropped ----

fill('dropped', 'closed');
reads_little('drop_destination', 12,
	sub { sql(q{SELECT pinterest_capi.drop_destination('closed')}) });
is(sql('SELECT count(*) FROM pinterest_capi._waiting'),
	0, 'what waited for it does no longer');

# ---- retention ----

my $emptied = written('_event', 'upd');
reads_little(
	'payload_retention',
	30,
	sub {
		set_conf($node, payload_retention => '0s');
		ok(until_written('_event', 'upd', $emptied + EVENTS),
			'payloads are emptied');
	});
my $deleted = written('_event', 'del');
reads_little(
	'retention',
	30,
	sub {
		set_conf($node, retention => '0s');
		ok(until_written('_event', 'del', $deleted + 2 * EVENTS),
			'events are deleted');
	});

# ---- purge, visitors, and their click ids ----

set_conf($node, retention => '30 days');
fill('purged', 'default');
ok(until_written('_outcome', 'ins', $settled + 3 * EVENTS),
	'once more all are sent');
reads_little(
	'purge', 10,
	sub {
		cmp_ok(sql(q{SELECT pinterest_capi.purge('0s')}),
			'>=', EVENTS, 'all are purged');
	});

# Thousands of visitors come in one transaction, after statistics of hardly
# any.
sub visitors
{
	my ($name, $n) = @_;

	sql(qq{SELECT count(pinterest_capi.capture_click('$name-' || n, 'https://shop.example.com/?epik=dj0yJnU9' || n)),
		count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', event_id => '$name-' || n, visitor_id => '$name-' || n))
		FROM generate_series(1, $n) AS n});
	return;
}

visitors('first', 100);
sql('ANALYZE pinterest_capi._visitor');
$before = sql(
	q{SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '_visitor'}
);
visitors('many', EVENTS - 100);
is( sql(q{SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '_visitor'}
	),
	$before,
	'visitors are found by their key');
is(sql(q{SELECT count(*) FROM pinterest_capi._visitor}), EVENTS, 'visitors');
$deleted = written('_visitor', 'del');
reads_little(
	'click_id_retention',
	40,
	sub {
		set_conf($node, click_id_retention => '0s');
		ok(until_written('_visitor', 'del', $deleted + EVENTS),
			'click ids are deleted');
	});

$node->stop;
$stub->stop;
done_testing();
