# Bench/Look.pm
#	  Measure whether the queries of operators (views, doctor(), report) take longer
#	  with more kept events.
#
# The same queries at 100,000 and at 1,000,000 kept events, at 10,000,000 too with
# --large: the ratio is that of the larger to the smallest.  Each size has a
# database of its own, and the rounds alternate.
#
# The rows are inserted into the tables directly, as track and the worker would
# make them, and counted for the statistics by statements: over 30 days, of four names
# and three destinations.  A tenth, old and new, waits.  Of the others 87 in a hundred are sent, 3 have failed with a dozen
# messages, 9 were suppressed, half of them for want of a destination, and 1 is
# expired or cancelled.  All payloads are kept.
package Bench::Look;

use strict;
use warnings;

use Bench;
use Bench::Workload;

# A query of at least so many seconds needs no warm-up run.
use constant LONG => 1;

# Look, statement, and the milliseconds that it is to take at most with 10,000,000 kept
# events.  A statement on a view that the extension doesn't have is left out.
my @looks = (
	[
		'destination_status',
		'SELECT * FROM pinterest_capi.destination_status', 5
	],
	[ 'event_activity', 'SELECT * FROM pinterest_capi.event_activity', 10 ],
	[
		'event_quality, 30 days',
		q{SELECT * FROM pinterest_capi.event_quality WHERE day > current_date - 30},
		50
	],
	[ 'doctor', 'SELECT * FROM pinterest_capi.doctor()', 60 ],
	[
		'report_html, 7 days',
		q{SELECT pinterest_capi.report_html(since => '7 days')}, 200
	],
	[
		'report_html, a year',
		q{SELECT pinterest_capi.report_html(since => '365 days')}, 400
	],
	[
		'newest 50 events',
		'SELECT * FROM pinterest_capi.dispatch_status ORDER BY id DESC LIMIT 50'
	],
	[
		'newest 50 failures',
		q{SELECT * FROM pinterest_capi.dispatch_status WHERE status = 'failed' ORDER BY id DESC LIMIT 50},
		5
	],
	[
		'newest 50 failures of a destination',
		q{SELECT * FROM pinterest_capi.dispatch_status WHERE status = 'failed' AND destination = 'shop_2' ORDER BY id DESC LIMIT 50}
	],
	[
		'one event by its event_id',
		q{SELECT * FROM pinterest_capi.dispatch_status WHERE event_id = 'row-777'},
		2
	],
	[ 'messages of failures, a day', <<'SQL' =~ s/;\n\z//r ],
SELECT error, http_status, count(*), min(event_id) AS for_example FROM pinterest_capi.dispatch_status
	WHERE status = 'failed' AND finished_at > now() - interval '1 day' GROUP BY 1, 2 ORDER BY 3 DESC;
SQL
	[
		'replay, dry run',
		q{SELECT pinterest_capi.replay('default', dry_run => true)}
	],
	[
		'replay of a day, dry run',
		q{SELECT pinterest_capi.replay('default', since => now() - interval '1 day', dry_run => true)}
	],
	[ 'status and reason, a day', <<'SQL' =~ s/;\n\z//r ],
SELECT status, reason, count(*) FROM pinterest_capi.dispatch_status
	WHERE created_at > now() - interval '1 day' GROUP BY 1, 2 ORDER BY 3 DESC;
SQL
	[ 'event_statistics, a day', <<'SQL' =~ s/;\n\z//r, 10 ],
SELECT status, reason, sum(events) FROM pinterest_capi.event_statistics
	WHERE hour > now() - interval '1 day' GROUP BY 1, 2 ORDER BY 3 DESC;
SQL
	[ 'one scrape of all metrics', _scrape(), 60 ]);

# Return the statements of an exporter, all of which each scrape runs.
sub _scrape
{
	open my $file, '<', "$Bench::top/monitoring/postgres-exporter.yml"
	  or die "postgres-exporter.yml: $!\n";
	my $text = do { local $/; <$file> };

	close $file;
	my @queries = $text =~ /^  query: \|\n((?:    [^\n]*\n)+)/mg;

	die "no queries of metrics\n" unless @queries;
	return join ";\n", @queries;
}

sub _make
{
	my ($stub, $db, $rows) = @_;
	my @names = qw(Checkout AddToCart PageVisit Signup);

	$stub->database($db);
	psql(
		$db,
		join ";\n",
		q{SELECT pinterest_capi.configure_destination('2617998078212', 'pina_TESTONLY_bench', '549755885175', destination => 'shop_' || n) FROM generate_series(1, 2) AS n},
		q{SELECT pinterest_capi.pause_destination(d) FROM unnest('{default,shop_1,shop_2}'::text[]) AS d},
		"SELECT pinterest_capi.allow_event(n, destination => d) FROM unnest('{@{[ join ',', @names ]}}'::text[]) AS n, unnest('{default,shop_1,shop_2}'::text[]) AS d"
	);
	make_orders($db, 1);
	psql(
		$db,
		join q{},
		map {
				q{SELECT }
			  . track_call('o', "'template'") =~ s/'Checkout'/'$_'/r
			  . " FROM shop.orders AS o;\n"
		} @names);
	psql($db, <<"SQL");
CREATE TABLE look_template AS SELECT dest, event_name, sent_as, payload, carries, currency, value, row_number() OVER (ORDER BY dest, event_name) - 1 AS place
	FROM pinterest_capi._event;
SQL
	empty_queues($db);

	# in parts: each is a transaction of its own
	my $part = 250_000;
	my $retry = retry_table($db);
	my $fresh_too = waits_in_retry($db) ? '' : 'WHERE tried > 0';

	for (my $from = 1; $from <= $rows; $from += $part)
	{
		my $to = $from + $part - 1 < $rows ? $from + $part - 1 : $rows;

		psql($db, <<"SQL");
BEGIN;
SET LOCAL synchronous_commit = off;
CREATE TEMPORARY TABLE kind ON COMMIT DROP AS
	SELECT i, now() - interval '30 days' * ($rows - i) / $rows AS at, abs(hashint8(i)) % 1000 AS k, abs(hashint8(-i)) AS r,
		abs(hashint8(i + $rows)) % 10 = 0 AS waits
	FROM generate_series($from, $to) AS i;
INSERT INTO pinterest_capi._event (id, created_at, event_time, dest, event_id, event_name, sent_as, payload, carries, currency, value)
	SELECT i, at, at, CASE WHEN nowhere THEN 0 ELSE t.dest END, 'row-' || i, CASE WHEN nowhere THEN 'Unheard' ELSE t.event_name END,
		CASE WHEN NOT nowhere THEN t.sent_as END, CASE WHEN NOT stopped THEN replace(t.payload, 'template', 'row-' || i) END,
		CASE WHEN NOT stopped THEN t.carries END, CASE WHEN NOT stopped THEN t.currency END, CASE WHEN NOT stopped THEN t.value END
	FROM (SELECT *, NOT waits AND k BETWEEN 945 AND 989 AS nowhere, NOT waits AND k BETWEEN 900 AND 989 AS stopped FROM kind) AS n
		JOIN look_template AS t ON t.place = r % 12
	ORDER BY i;
INSERT INTO pinterest_capi.$retry (id, dest, attempts, due_at, first_attempt_at, last_attempt_at, http_status, error)
	SELECT n.i, e.dest, tried, CASE WHEN tried > 0 THEN now() + interval '1 day' END, CASE WHEN tried > 0 THEN at END, CASE WHEN tried > 0 THEN at END,
		CASE WHEN tried > 0 THEN 503 END, CASE WHEN tried > 0 THEN 'HTTP 503' END
	FROM (SELECT *, (k < 50)::integer AS tried FROM kind WHERE waits) AS n JOIN pinterest_capi._event AS e ON e.id = n.i
	$fresh_too
	ORDER BY n.i;
INSERT INTO pinterest_capi._outcome (id, finished_at, last_attempt_at, dest, attempts, http_status, status, reason, error)
	SELECT n.i, at + interval '1 second', CASE WHEN k < 900 THEN at + interval '1 second' END, e.dest, (k < 900)::integer,
		CASE WHEN k < 870 THEN 200 WHEN k < 900 THEN 422 END,
		CASE WHEN k < 870 THEN 'sent' WHEN k < 900 THEN 'failed' WHEN k < 990 THEN 'suppressed' WHEN k < 995 THEN 'expired' ELSE 'cancelled' END,
		CASE WHEN k < 900 THEN NULL WHEN k < 920 THEN 'no identifier' WHEN k < 945 THEN 'consent rule banner'
			WHEN k < 990 THEN 'not allowed' WHEN k < 995 THEN 'older than max_event_age' ELSE 'by cancel' END,
		CASE WHEN k BETWEEN 870 AND 899 THEN 'message number ' || r % 12 || ' of what is wrong with an event' END
	FROM kind AS n JOIN pinterest_capi._event AS e ON e.id = n.i
	WHERE NOT waits
	ORDER BY n.i;
COMMIT;
SQL
	}
	psql($db, <<"SQL");
SELECT setval('pinterest_capi._event_id_seq', $rows);
VACUUM ANALYZE;
SQL
	_count($db);
	return;
}

# Count all events, as the worker does it little by little; nothing has been counted so
# far, or else it is thrown away.
sub _count
{
	my ($db) = @_;
	my @key = qw(dest event_name sent_as status reason test_mode currency);
	my @sums =
	  qw(events value stand_in stand_in_value em ph click_id external_id hashed_maids ip user_agent matchable);
	my $columns = join ', ', @key, @sums;
	my $grouped = join ', ', @key, map { "coalesce(sum($_), 0)" } @sums;
	my $key = join ', ', @key;

	psql($db, <<"SQL");
BEGIN;
DELETE FROM pinterest_capi._statistics;
DELETE FROM pinterest_capi._statistics_day;
DELETE FROM pinterest_capi._statistics_change;
UPDATE pinterest_capi._statistics_mark SET mark = (SELECT max(id) FROM pinterest_capi._event);
INSERT INTO pinterest_capi._statistics (hour, $columns) SELECT hour, $grouped FROM pinterest_capi._counted GROUP BY hour, $key ORDER BY hour;
INSERT INTO pinterest_capi._statistics_day (day, $columns) SELECT (hour AT TIME ZONE 'UTC')::date, $grouped FROM pinterest_capi._statistics
	WHERE hour < date_trunc('day', now(), 'UTC') GROUP BY 1, $key ORDER BY 1;
COMMIT;
VACUUM ANALYZE pinterest_capi._statistics;
VACUUM ANALYZE pinterest_capi._statistics_day;
VACUUM ANALYZE pinterest_capi._statistics_change;
VACUUM ANALYZE pinterest_capi._statistics_mark;
SQL
	return;
}

# Milliseconds of a look: the least of five in a session that has had one, which
# what else runs on the machine disturbs least; of a long one the first.
sub _look
{
	my ($db, $sql) = @_;
	my $once =
	  "SELECT clock_timestamp() AS t \\gset\n\\o /dev/null\n$sql;\n\\o\nSELECT extract(epoch FROM clock_timestamp() - :'t'::timestamptz);\n";
	my ($first) = psql($db, $once);

	return 1000 * $first if $first > LONG;

	my (undef, @times) = psql($db, $once x 6);

	return 1000 * (sort { $a <=> $b } @times)[0];
}

sub run
{
	my ($stub) = @_;
	my ($least, @more) = map { scaled($_, 1_000) } 100_000, 1_000_000,
	  $ENV{BENCH_LARGE} ? 10_000_000 : ();
	my $word =
	  sub { return scalar reverse(join ',', unpack('(A3)*', reverse $_[0])) };

	set_conf(
		'pinterest_capi.dispatch' => 'off',
		'pinterest_capi.retention' => '60 days',
		'pinterest_capi.payload_retention' => '60 days');
	for my $rows ($least, @more)
	{
		note("look: $rows rows");
		_make($stub, "look_$rows", $rows);
	}
	for my $look (@looks)
	{
		my ($name, $sql, $at_most) = @$look;
		my ($view) = $sql =~ /\bFROM pinterest_capi\.(\w++)(?!\()/;

		next
		  if $view
		  && value("look_$least",
			"SELECT to_regclass('pinterest_capi.$view') IS NULL") eq 't';

		my %runs = alternate(
			rounds(3),
			map {
				my $rows = $_;
				($rows => sub { return _look("look_$rows", $sql) })
			} $least,
			@more);

		figure(
			name => "$name, " . $word->($_) . ' kept',
			unit => 'ms',
			runs => $runs{$_},
			reference => $runs{$least},
			against => $word->($least) . ' kept',
			least => 1.5,
			aim => 1.2) for @more;
		figure(
			name => "$name, time",
			unit => 'ms',
			runs => $runs{10_000_000},
			least => $at_most,
			aim => $at_most) if $at_most && $runs{10_000_000};
	}
	psql('postgres', "DROP DATABASE look_$_ WITH (FORCE)") for $least, @more;
	ask_conf(
		'pinterest_capi.dispatch' => 'on',
		'pinterest_capi.retention' => '30 days',
		'pinterest_capi.payload_retention' => '7 days');
	return;
}

1;
