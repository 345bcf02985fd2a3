# What operators look at reads as much with ten times as many events: views, doctor(),
# the report and the exporters' queries read statistics and few of the newest rows.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Utils;
use Test::More;

use constant FEW => 20_000;
use constant MANY => 200_000;

my $stub = PinterestStub->new;
my $node = setup_node('looking', $stub, conf => "autovacuum = off\n");

# exporters' queries
my $exporter =
  slurp_file("$FindBin::RealBin/../monitoring/postgres-exporter.yml");
my %looks = (
	destination_status => 'SELECT * FROM pinterest_capi.destination_status',
	event_activity => 'SELECT * FROM pinterest_capi.event_activity',
	event_quality =>
	  'SELECT * FROM pinterest_capi.event_quality WHERE day > current_date - 30',
	event_statistics =>
	  q{SELECT status, reason, sum(events) FROM pinterest_capi.event_statistics WHERE hour > now() - interval '1 day' GROUP BY 1, 2},
	doctor => 'SELECT * FROM pinterest_capi.doctor()',
	'report_html, a week' => 'SELECT pinterest_capi.report_html()',
	'report_html, a year' =>
	  q{SELECT pinterest_capi.report_html(since => '365 days')},
	'newest failures' =>
	  q{SELECT * FROM pinterest_capi.dispatch_status WHERE status = 'failed' ORDER BY id DESC LIMIT 50},
	'newest events' =>
	  'SELECT * FROM pinterest_capi.dispatch_status ORDER BY id DESC LIMIT 50',
	'one event' =>
	  q{SELECT * FROM pinterest_capi.dispatch_status WHERE event_id = 'past-777'},
	map   { ($_->[0] => $_->[1]) }
	  map { [/^(\w+):\n  query: \|\n((?:    [^\n]*\n)+)/] }
	  $exporter =~ /^(\w+:\n  query: \|\n(?:    [^\n]*\n)+)/mg);

cmp_ok(scalar(keys %looks), '>=', 13, 'the exporters\' queries are found');

# Insert events up to a number, as track and the worker would have: in each hour of
# the last three days equally many of each kind.  Wait until they are counted.
sub keep
{
	my ($from, $to) = @_;

	sql(qq{BEGIN;
		INSERT INTO pinterest_capi._event (created_at, event_time, dest, event_id, event_name, sent_as, warnings, payload, carries, currency, value)
			SELECT t, t, 1, 'past-' || n, w.name, lower(w.name), CASE WHEN n % 10 = 9 THEN '{em: not an e-mail address}'::text[] END,
				'{"event_name":"' || lower(w.name) || '","event_id":"past-' || n || '","user_data":{"em":["a"]},"custom_data":{"currency":"EUR","value":"1"}}',
				1::"char", 'EUR', '1'
			FROM generate_series($from, $to) AS n, LATERAL (SELECT (ARRAY['Checkout', 'Signup'])[1 + n / 20 % 2] AS name) AS w,
				LATERAL (SELECT now() - interval '1 minute' - n / 40 % 72 * interval '1 hour' AS t) AS past ORDER BY t, n;
		INSERT INTO pinterest_capi._outcome (id, finished_at, dest, attempts, http_status, status, reason, error)
			SELECT id, created_at, dest, 1, 200, k.status, CASE k.status WHEN 'suppressed' THEN 'no identifier' END, CASE k.status WHEN 'failed' THEN 'So it is.' END
			FROM pinterest_capi._event, LATERAL (SELECT substr(event_id, 6)::integer % 20 AS r) AS n,
				LATERAL (SELECT CASE WHEN r < 11 THEN 'sent' WHEN r < 16 THEN 'failed' WHEN r < 18 THEN 'suppressed' END AS status) AS k
			WHERE event_id LIKE 'past-%' AND substr(event_id, 6)::integer >= $from AND k.status IS NOT NULL ORDER BY id;
		COMMIT}
	);
	sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "EUR"}', '{"em": "a@example.com"}')}
	);
	ok( poll(
			sub {
				sql(q{SELECT (SELECT max(mark) FROM pinterest_capi._statistics_mark) = (SELECT max(id) FROM pinterest_capi._event)
					AND NOT EXISTS (SELECT FROM pinterest_capi._statistics_change) AND (SELECT max(day) + 1 FROM pinterest_capi._statistics_day) = (now() AT TIME ZONE 'UTC')::date}
				) eq 't';
			}),
		"$to events are counted");
	is( sql(q{SELECT string_agg(status || ' ' || events, ', ' ORDER BY status) FROM (SELECT status, sum(events) AS events FROM pinterest_capi.event_statistics GROUP BY 1) AS s}
		),
		sql(q{SELECT string_agg(status || ' ' || events, ', ' ORDER BY status) FROM (SELECT status, count(*) AS events FROM pinterest_capi.dispatch_status GROUP BY 1) AS s}
		),
		'all of them');
	sql("VACUUM ANALYZE pinterest_capi.$_")
	  for
	  qw(_event _outcome _retry _statistics _statistics_day _statistics_change _statistics_mark _destination_state);
	return;
}

# Return how many blocks each look reads, in a session that has looked before.
sub blocks
{
	my %blocks;

	for my $look (sort keys %looks)
	{
		my $explain =
		  "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) $looks{$look}";
		my (undef, $plan) = split /^(?=\[$)/m, sql("$explain;\n$explain");

		$plan = JSON::PP::decode_json($plan)->[0]{Plan};
		$blocks{$look} =
		  $plan->{'Shared Hit Blocks'} + $plan->{'Shared Read Blocks'};
	}
	return \%blocks;
}

sql(q{SELECT pinterest_capi.allow_event('Signup'); SELECT pinterest_capi.pause_destination()}
);

# the first event is of now: rows of the past alone would be those of a restore
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "EUR"}', '{"em": "a@example.com"}')}
);
ok( poll(
		sub {
			sql('SELECT max(mark) > 0 FROM pinterest_capi._statistics_mark')
			  eq 't';
		}),
	'the first event is counted');
keep(1, FEW);
my $few = blocks();
keep(FEW + 1, MANY);
my $many = blocks();

for my $look (sort keys %looks)
{
	# these look up the newest failures, and what was stopped, by key, two indexes
	# deep: 2,000 or so for doctor(), 7,000 and the newest 10,000 events for the report
	my ($at_most) =
		$look eq 'doctor' ? 10_000
	  : $look =~ /report/ ? 25_000
	  :                     1.2 * $few->{$look} + 50;

	note("$look: $few->{$look} and $many->{$look} blocks");
	cmp_ok($many->{$look}, '<=', $at_most,
		"$look: reads as much with ten times as many events");
}

# ---- days that are over are sums of their hours, also after changes of their events ----

my $numbers =
  'sum(events), sum(value), sum(stand_in), sum(stand_in_value), sum(em), sum(ph), sum(click_id), sum(external_id), sum(hashed_maids), sum(ip), sum(user_agent), sum(matchable)';
my $days =
  "SELECT day, dest, event_name, sent_as, status, reason, test_mode, currency, $numbers FROM pinterest_capi._statistics_day GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(events) <> 0";
my $hours =
  "SELECT (hour AT TIME ZONE 'UTC')::date, dest, event_name, sent_as, status, reason, test_mode, currency, $numbers FROM pinterest_capi._statistics WHERE hour < date_trunc('day', now(), 'UTC') GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(events) <> 0";
my $differ =
  "SELECT count(*) FROM (($days EXCEPT $hours) UNION ALL ($hours EXCEPT $days)) AS d";

is(sql($differ), '0', 'days are the sums of their hours');
is( sql(q{SELECT sum(pinterest_capi.cancel(event_id)) FROM (SELECT event_id FROM pinterest_capi.dispatch_status WHERE status = 'queued' AND created_at < now() - interval '2 days' ORDER BY id LIMIT 100) AS e}
	),
	'100',
	'events of two days ago are cancelled');
ok( poll(
		sub {
			sql(q{SELECT coalesce(sum(events), 0) = 100 AND NOT EXISTS (SELECT FROM pinterest_capi._statistics_change) FROM pinterest_capi._statistics_day WHERE status = 'cancelled'}
			) eq 't';
		}),
	'and counted in their days');
is(sql($differ), '0', 'which are the sums of their hours still');
is( sql('SELECT queued FROM pinterest_capi.destination_status'),
	sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status = 'queued'}
	),
	'what waits is counted without reading it');

$node->stop;
$stub->stop;
done_testing();
