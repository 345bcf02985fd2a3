# A row that somebody has locked waits alone: taking over a dead worker's
# events, settling a request and retention go on for all other rows.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT clean_log sql track_sql track);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new(accounts => [701]);
my $node = setup_node('locked', $stub);

add_destination($node, $stub, 'other', '701');

sub cancels
{
	my ($id) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe('BEGIN');
	is( $session->query_safe(
			"SELECT pinterest_capi.cancel('$id', 'default')"),
		'1',
		"$id: somebody cancels it, in a transaction that stays open");
	return $session;
}

for my $end (qw(ROLLBACK COMMIT))
{
	my $name = lc $end;

	# ---- while a worker takes over ----
	$stub->reset;
	$stub->script({ hang => JSON::PP::true });
	sql('BEGIN',
		track_sql("air-$name", destination => 'default'),
		track_sql("air2-$name", destination => 'default'), 'COMMIT');
	ok($stub->wait_count(hanging => 1), 'a request hangs');
	my $session = cancels("air-$name");
	my $worker = sql('SELECT pid FROM pinterest_capi.worker_status');
	sql("SELECT pg_terminate_backend($worker)");
	ok( $node->poll_query_until(
			'postgres',
			"SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE pid <> $worker"
		),
		'another worker is there');
	track($node, "other-$name", destination => 'other');
	becomes($node, "other-$name", 'status', 'sent',
		'other destinations go on');
	becomes(
		$node,
		"air2-$name",
		q{status, attempts, 'outcome of an earlier attempt unknown' = ANY (warnings)},
		'sent|2|t',
		'as do the other events of the request');
	track($node, "new-$name", destination => 'default');
	becomes($node, "new-$name", 'status, attempts',
		'sent|1', 'and events tracked now');
	is(scalar($stub->received("air-$name")),
		0, 'the locked event is not sent again')
	  or diag(scalar($stub->received("air-$name")));
	is(sql("SELECT pid <> $worker FROM pinterest_capi.worker_status"),
		't', 'the worker stays');
	$session->query_safe($end);
	$session->quit;

	if ($end eq 'COMMIT')
	{
		becomes(
			$node, "air-$name",
			'status, reason',
			'cancelled|by cancel',
			'a cancelled event stays cancelled');
	}
	else
	{
		becomes(
			$node,
			"air-$name",
			q{status, attempts, 'outcome of an earlier attempt unknown' = ANY (warnings)},
			'sent|2|t',
			'after a rolled back cancel the event is sent again, with a warning'
		);
	}
	ok( $node->poll_query_until(
			'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._lease'),
		'nothing is left in flight');

	# ---- while an answer comes ----
	$stub->reset;
	$stub->script({ hang => JSON::PP::true });
	sql('BEGIN',
		track_sql("answer-$name", destination => 'default'),
		track_sql("answer2-$name", destination => 'default'), 'COMMIT');
	ok($stub->wait_count(hanging => 1), 'a request hangs');
	$session = cancels("answer-$name");
	$stub->release;
	becomes($node, "answer2-$name", 'status, attempts',
		'sent|1', 'the other events of the request are settled');
	track($node, "behind-$name", destination => 'default');
	becomes($node, "behind-$name", 'status, attempts',
		'sent|1', 'the destination goes on');
	$session->query_safe($end);
	$session->quit;
	becomes(
		$node, "answer-$name",
		'status, attempts',
		$end eq 'COMMIT' ? 'cancelled|0' : 'sent|1',
		'then the locked event is settled, too');
	is(scalar($stub->received("answer-$name")), 1, 'which was sent once');
}

# ---- what expires, and is kept too long ----

sql('SELECT pinterest_capi.pause_destination()',
	track_sql('old', destination => 'default'),
	track_sql('older', destination => 'default'),
	track_sql('young', destination => 'default'),
	q{UPDATE pinterest_capi._event SET event_time = event_time - interval '8 days' WHERE event_id IN ('old', 'older')}
);
my $session = cancels('old');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'older', 'status', 'expired', 'one that is too old expires');
becomes($node, 'young', 'status', 'sent',
	'the others are sent, while a third one is locked');
$session->query_safe('ROLLBACK');
ok( poll(
		sub {
			sql('SELECT pinterest_capi._wake()');
			sql_status($node, 'old', 'status') eq 'expired';
		}),
	'and then expires, too');
$session->query_safe('BEGIN');
is( $session->query_safe(
		q{SELECT count(*) FROM (SELECT FROM pinterest_capi._outcome AS o JOIN pinterest_capi._event AS e USING (id) WHERE event_id = 'older' FOR UPDATE) AS l}
	),
	'1',
	'a final row is locked');
sql(q{UPDATE pinterest_capi._outcome SET finished_at = finished_at - interval '31 days' WHERE id <> (SELECT id FROM pinterest_capi._event WHERE event_id = 'older')},
	'SELECT pg_reload_conf()');
ok( $node->poll_query_until(
		'postgres', q{SELECT count(*) = 1 FROM pinterest_capi._event}),
	'retention clears away the others');
$session->query_safe('ROLLBACK');
$session->quit;

unlike(
	slurp_file($node->logfile),
	qr/lock timeout|worker.*ERROR/,
	'no wait for a lock is in the log');
clean_log($node);
$node->stop;
$stub->stop;
done_testing();
