# What was not sent is found by an index in which what was sent has no entries: the
# newest failures, their messages, and replay read few rows, however many were sent.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Utils;
use Test::More;

use constant SENT => 30_000;
use constant FAILED => 40;

my $stub = PinterestStub->new;
my $node = setup_node('failures', $stub, conf => "autovacuum = off\n");

# rows of the extension's tables that the statement reads, by index or without
sub rows_read
{
	my ($statement) = @_;
	my $read =
	  q{(SELECT sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid)) FROM pg_class
		WHERE relnamespace = 'pinterest_capi'::regnamespace)};

	return sql(
		"BEGIN; SELECT $read AS before \\gset\n\\o /dev/null\n$statement;\n\\o\nSELECT $read - :before; COMMIT"
	);
}

# ---- what the worker settles: requests with and without failures, and both in one ----

sql(q{SELECT pinterest_capi.pause_destination()});
sql(q{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'live-' || n))
	FROM generate_series(1, 1500) AS n});

# more than are inserted together, with some between that have only been sent
$stub->script(
	{
		times => 0,
		fail => {
			map { ("live-$_" => "Tag is of another account.") } 1 .. 3,
			150 .. 199,
			450, 1001 .. 1200
		}
	});
sql(q{SELECT pinterest_capi.resume_destination()});
is(sql('SELECT pinterest_capi.flush()'),
	't', 'events are sent, some of them fail');
$stub->script({ times => 0 });

my $failed = sql(
	q{SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
	SELECT count(*) FROM pinterest_capi._outcome WHERE status = 'failed'});

cmp_ok($failed, '>', 0, 'there are failures');
is( sql(q{SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM pinterest_capi._outcome WHERE status = 'failed'}
	),
	$failed,
	'the index has each failure');
sql('VACUUM ANALYZE pinterest_capi._outcome');
is( sql(q{SELECT reltuples FROM pg_class WHERE relname = '_outcome_not_sent'}
	),
	$failed,
	'and nothing that was sent');

# ---- many that were sent, few that failed ----

sql(qq{TRUNCATE pinterest_capi._event, pinterest_capi._outcome;
	INSERT INTO pinterest_capi._event (created_at, event_time, dest, event_id, event_name, sent_as, payload)
		SELECT t, t, 1, 'past-' || n, 'Checkout', 'checkout', '{"event_name":"checkout","event_id":"past-' || n || '"}'
		FROM generate_series(1, @{[SENT + FAILED]}) AS n, LATERAL (SELECT now() - interval '6 days' + n * interval '16 s') AS past (t);
	INSERT INTO pinterest_capi._outcome (id, finished_at, dest, attempts, http_status, status, error)
		SELECT id, created_at, dest, 1, 200, CASE WHEN failed THEN 'failed' ELSE 'sent' END, CASE WHEN failed THEN 'So it is.' END
		FROM pinterest_capi._event, LATERAL (SELECT substr(event_id, 6)::integer % @{[(SENT + FAILED) / FAILED]} = 0) AS f (failed);
	VACUUM ANALYZE pinterest_capi._event; VACUUM ANALYZE pinterest_capi._outcome}
);
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status = 'failed'}
	),
	FAILED,
	'as many failures as there are to be');

my %looks = (
	'the newest failures' =>
	  q{SELECT * FROM pinterest_capi.dispatch_status WHERE status = 'failed' ORDER BY id DESC LIMIT 10},
	'those of a destination' =>
	  q{SELECT * FROM pinterest_capi.dispatch_status WHERE status = 'failed' AND destination = 'default' ORDER BY id DESC LIMIT 10},
	'what has failed or expired' =>
	  q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status IN ('failed', 'expired')},
	'messages' =>
	  q{SELECT error, http_status, count(*), min(event_id) AS for_example FROM pinterest_capi.dispatch_status
		WHERE status = 'failed' AND finished_at > now() - interval '1 day' GROUP BY 1, 2 ORDER BY 3 DESC},
	'replay, dry run' =>
	  q{SELECT pinterest_capi.replay('default', dry_run => true)},);

for my $name (sort keys %looks)
{
	my $read = rows_read($looks{$name});

	cmp_ok($read, '>', 0, "$name: reads are counted");
	cmp_ok($read, '<', 20 * FAILED, "$name: few rows are read");
	note("$name: $read rows");
}
sql('SELECT pinterest_capi.pause_destination()');
cmp_ok(
	rows_read(q{SELECT pinterest_capi.replay('default')}),
	'<',
	40 * FAILED,
	'replay: few rows are read');
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status = 'queued'}
	),
	FAILED,
	'all that have failed are replayed');

# ---- an index that somebody has dropped ----

sql('DROP INDEX IF EXISTS pinterest_capi._outcome_not_sent');
my $remedy = sql(
	q{SELECT advice FROM pinterest_capi.doctor() WHERE "check" = 'tables' AND status = 'warning'}
);

like($remedy, qr/no index on status, id, finished_at/, 'doctor() misses it');
sql($remedy =~ s/.*slowly: //rs) if $remedy;
is( sql(q{SELECT count(*) FROM pinterest_capi.doctor() WHERE "check" = 'tables' AND status <> 'ok'}
	),
	0,
	'its remedy makes it again');

$node->stop;
$stub->stop;
done_testing();
