# The page of report_html(), as a browser shows it, draws the numbers that SQL
# counts, fetches and runs nothing, names no person, and is accessible.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use JSON::PP      ();
use List::Util    qw(sum0 uniq);
use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $chromium = '/usr/bin/chromium';

plan skip_all => "no $chromium: test/run installs it where there is apt"
  unless -x $chromium;
IPC::Run::run(
	[ 'node', '-e', q{require('playwright-core'); require('axe-core')} ],
	'2>' => \my $missing)
  or plan skip_all =>
  'no playwright-core and axe-core: test/run installs them where there is npm';

my $stub = PinterestStub->new;
my $node = setup_node('report', $stub);

sub rows
{
	return [ map { [ split /\|/, $_, -1 ] } split /\n/, sql($_[0]) ];
}

# 1234567 as 1,234,567
sub grouped
{
	my ($n) = @_;

	1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;
	return $n;
}

# Return what the browser finds in pages.
sub look
{
	my @files;
	my ($out, $err) = ('', '');

	for my $html (@_)
	{
		push @files, PostgreSQL::Test::Utils::tempdir_short() . '/page.html';
		append_to_file($files[-1], $html);
	}
	IPC::Run::run(
		[
			'node', "$FindBin::RealBin/../test/report/look.js",
			$chromium, @files
		],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err,
		IPC::Run::timeout(600)) or BAIL_OUT("look.js: $err");
	return map { JSON::PP::decode_json($_) } split /\n/, $out;
}

# ---- a week of a shop ----

my $hostile = '<script>alert(1)</script>';
my $turned = "gnp.\x{202E}egami \x{1F6D2} \x{200B}";
my %person = (
	email => 'jane.doe@example.com',
	phone => '+49 30 1234567',
	click => 'dj0yJnU9clickid17',
	visitor => 'cookie-4711');
my $hash = sha256_hex($person{email});
my $bidi = "\xE2\x80\xAE";    # U+202E in UTF-8

sql(sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', '%s', '%s', 'Café & <b>Co')},
		PinterestStub::TAG, PinterestStub::TOKEN, PinterestStub::ACCOUNT));
sql(q{UPDATE pinterest_capi.destination SET api_url = '} . $stub->url . q{'});
sql(q{SELECT pinterest_capi.allow_event('Order Placed', 'Checkout'); SELECT pinterest_capi.allow_event('search', properties => '{search_string}');
	SELECT pinterest_capi.allow_event('Order Placed', 'Checkout', 'Café & <b>Co');
	SELECT pinterest_capi.pause_destination('Café & <b>Co');
	INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('banner "2"', 'stop', '$.consent.ads == false')}
);
$stub->script(
	{
		times => 0,
		fail => {
			"refused-1" =>
			  "em '$hash' of $person{email} isn't <b>valid</b>\x01 \"quoted\"",
			'refused-2' => 'Tag is of another account.',
			'refused-3' => 'Tag is of another account.'
		}
	});
sql(qq{
	BEGIN;
	SELECT pinterest_capi.track('Order Placed', jsonb_build_object('value', 10.25 * i, 'currency', CASE WHEN i % 5 = 0 THEN 'USD' ELSE 'EUR' END),
			CASE WHEN i % 3 = 0 THEN jsonb_build_object('phone', '$person{phone}', 'click_id', '$person{click}') ELSE jsonb_build_object('email', '$person{email}') END,
			'$person{visitor}', 'order-' || i, destination => 'default')
		FROM generate_series(1, 120) AS i;
	SELECT pinterest_capi.track('search', '{"search_string": "lamps"}', '{"email": "$person{email}"}', event_id => 'search-' || i) FROM generate_series(1, 30) AS i;
	SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "EUR"}', '{"email": "$person{email}"}', event_id => 'refused-' || i, destination => 'default') FROM generate_series(1, 3) AS i;
	SELECT pinterest_capi.track('Order Placed', '{"value": 7, "currency": "EUR"}', '{"email": "$person{email}"}', destination => 'Café & <b>Co') FROM generate_series(1, 4);
	SELECT pinterest_capi.track('Order Placed', '{"currency": "EUR"}', '{"email": "$person{email}"}', destination => 'default') FROM generate_series(1, 7);
	SELECT pinterest_capi.track('Order Placed', '{"value": -1}', '{"email": "$person{email}"}', destination => 'default') FROM generate_series(1, 2);
	SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "EUR"}', '{"email": "$person{email}"}', consent => '{"ads": false}', destination => 'default') FROM generate_series(1, 5);
	SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "EUR"}', destination => 'default') FROM generate_series(1, 6);
	SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "EUR"}', '{"email": "$person{email}"}', event_time => now() - interval '9 days', destination => 'default');
	SELECT pinterest_capi.track('$hostile') FROM generate_series(1, 3);
	SELECT pinterest_capi.track(U&'gnp.\\202Eegami \\+01F6D2 \\200B');
	SELECT pinterest_capi.track('cancelled', destination => 'default');
	COMMIT});
is(sql('SELECT pinterest_capi.flush()'), 't', 'all is sent');
sql(q{SELECT pinterest_capi.cancel(event_id) FROM pinterest_capi.dispatch_status WHERE status = 'queued' LIMIT 1}
);

# Over the days, with gaps: none two and five days ago.  No worker runs meanwhile, and
# what it has counted is thrown away, so that all events are read.
$node->restart;
sql(q{DELETE FROM pinterest_capi._statistics; DELETE FROM pinterest_capi._statistics_day; DELETE FROM pinterest_capi._statistics_change;
	UPDATE pinterest_capi._statistics_mark SET mark = 0}
);
sql(q{UPDATE pinterest_capi._event SET created_at = created_at - (ARRAY[0, 0, 0, 1, 3, 4, 6, 7, 9])[1 + id % 9] * interval '1 day' WHERE event_id !~ '^refused'}
);
sql(q{UPDATE pinterest_capi._event SET created_at = created_at - interval '40 days' WHERE event_id IN ('order-7', 'order-8')}
);

my $html = sql('SELECT pinterest_capi.report_html()');
my $day_html = sql(
	q{SET timezone = 'Asia/Kathmandu'; SELECT pinterest_capi.report_html('default', '1 day')}
);

# databases of other encodings; and more names than the page shows
sql('CREATE DATABASE latin ENCODING latin1 TEMPLATE template0');
$node->safe_psql('latin',
	q{CREATE EXTENSION pinterest_capi; SELECT pinterest_capi.configure_destination('1', 'pina_x')}
);
$node->safe_psql('latin',
	qq{SET client_encoding = 'UTF8'; SELECT pinterest_capi.track('Noël')});
my $latin_html =
  $node->safe_psql('latin', 'SELECT pinterest_capi.report_html()');
sql('CREATE DATABASE bytes ENCODING sql_ascii TEMPLATE template0');
$node->safe_psql(
	'bytes',
	q{CREATE EXTENSION pinterest_capi; SELECT pinterest_capi.track(E'No\xEBl') FROM generate_series(1, 2);
	SELECT pinterest_capi.track('made up ' || i) FROM generate_series(1, 201) AS i}
);
my $bytes_html =
  $node->safe_psql('bytes', 'SELECT pinterest_capi.report_html()');

# a faulty page
my $broken_html = $html =~ s/<html lang="en">/<html>/r =~
  s/<\/main>/<script>console.log('ran')<\/script><div style="width: 900px">wide<\/div><img src="nothing.png"><\/main>/r;

my ($page, $day, $latin, $broken) =
  look($html, $day_html, $latin_html, $broken_html);

# ---- what it must not do ----

is_deeply($page->{fetched}, [], 'nothing is fetched');
is_deeply($page->{said}, [], 'the console stays empty, and no dialog opens');
is($page->{scripts}, 0, 'no script, frame, form or link in it');
unlike($html, qr/[^\x20-\x7E\n\t]/, 'ASCII alone');

# A page for another server than Pinterest's says so in words.
unlike(
	$html =~ s{events go to https://localhost:\d+/v5, not to Pinterest}{}gr,
	qr/https?:|url\(|\@import/i, 'no address of anything else');
like(
	$html,
	qr{events go to https://localhost:\d+/v5, not to Pinterest},
	'where events go, if not to Pinterest');
for my $secret (
	values %person, $hash,
	'1234567', 'order-1',
	'refused-1', PinterestStub::TOKEN,
	PinterestStub::TAG, PinterestStub::ACCOUNT,
	'lamps', '10.25')
{
	is(index($html, $secret), -1, "not in it: $secret");
}
unlike(
	$html,
	qr/[0-9a-fA-F]{32}|[\w.]+@[\w.]+\.\w/,
	'no hash and no address at all');

# ---- what is drawn is what SQL counts ----

my $statuses = rows(
	q{SELECT (created_at AT TIME ZONE 'UTC')::date, status, count(*) FROM pinterest_capi.dispatch_status
	WHERE created_at >= date_trunc('day', now() - interval '7 days', 'UTC') GROUP BY 1, 2 ORDER BY 1, 2}
);
my %counted =
  map { ("$_->[0]: @{[grouped($_->[2])]} $_->[1]" => $_->[2]) } @$statuses;
my @bars = @{ $page->{bars} };
my %drawn = map { ($_->{says} => $_->{height}) } @bars;
my ($top) = map { my $n = $_; $n =~ tr/,//d; $n } $page->{top};

cmp_ok(scalar(@bars), '>', 12, 'bars are drawn');
is_deeply(
	[ sort keys %drawn ],
	[ sort keys %counted ],
	'one for each day and status that there is');
is_deeply(
	[
		grep { abs($drawn{$_} - $counted{$_} * 180 / $top) > 0.05 }
		  keys %counted
	],
	[],
	'as high as its number') or diag(explain(\%drawn));
is_deeply(
	[
		grep {
			$bars[$_]{x} == $bars[ $_ - 1 ]{x}
			  && abs($bars[$_]{y} + $bars[$_]{height} - $bars[ $_ - 1 ]{y}) >
			  0.05
		} 1 .. $#bars
	],
	[],
	'each on top of the one before');
is(scalar(grep { $_->{status} ne ($_->{says} =~ /(\w+)$/)[0] } @bars),
	0, 'in its status\'s colour');
my @left = map { $_->{x} } @bars;
is_deeply(\@left, [ sort { $a <=> $b } @left ], 'in the order of days');

my @days = split /\n/,
  sql(
	q{SELECT d::date FROM generate_series(date_trunc('day', (now() - interval '7 days') AT TIME ZONE 'UTC'), now() AT TIME ZONE 'UTC', '1 day') AS d}
  );
my ($head, @lines) = @{ $page->{tables}{'Events per day and status'} };
my %of;
$of{ $_->[0] }{ $_->[1] } = $_->[2] for @$statuses;
is_deeply([ map { $_->[0] } @lines ], \@days, 'a line for each day');
is_deeply(
	\@lines,
	[
		map {
			my $day = $_;
			[
				$day,
				map({ grouped($of{$day}{$_} // 0) }
					@$head[ 1 .. $#$head - 1 ]),
				grouped(sum0(values %{ $of{$day} }))
			]
		} @days
	],
	'with SQL\'s numbers, zero in the gaps');
is_deeply(
	[ sort @$head[ 1 .. $#$head - 1 ] ],
	[ sort(uniq(map { $_->[1] } @$statuses)) ],
	'of each status that there is');
my %all;
$all{ $_->[1] } += $_->[2] for @$statuses;
is_deeply(
	$page->{tiles},
	{
		'Events tracked' => grouped(sum0(values %all)),
		'Sent' => grouped($all{sent}),
		'Failed' => grouped($all{failed}),
		'Stopped before sending' =>
		  grouped(sum0(@all{qw(suppressed rejected expired cancelled)})),
		'Waiting now' => grouped(
			sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
			)),
	},
	'the totals too');

# by name, with value per currency
my ($names, @named) = @{ $page->{tables}{'Events by name'} };
is_deeply(
	[ sort map { join '|', @$_ } @named ],
	[
		sort split /\n/,
		sql(q{
	SELECT concat_ws('|', event_name, coalesce(sent_as, '–'), coalesce(destination, 'none'), count(*), count(*) FILTER (WHERE status = 'sent'), 0,
		count(*) FILTER (WHERE status IN ('queued', 'retrying')), count(*) FILTER (WHERE status = 'failed'),
		count(*) FILTER (WHERE status IN ('suppressed', 'rejected', 'expired', 'cancelled')),
		coalesce((SELECT string_agg(to_char(v.value, 'FM999,990.00') || ' ' || v.currency, '; ' ORDER BY v.value DESC)
			FROM (SELECT s.payload #>> '{custom_data,currency}' AS currency, sum((s.payload #>> '{custom_data,value}')::numeric) AS value
				FROM pinterest_capi.dispatch_status AS s WHERE s.status = 'sent' AND coalesce(array_to_string(s.warnings, ' '), '') NOT LIKE '%stands in%' AND s.event_name = d.event_name AND s.destination IS NOT DISTINCT FROM d.destination
					AND s.created_at >= date_trunc('day', now() - interval '7 days', 'UTC') GROUP BY 1 HAVING s.payload #>> '{custom_data,currency}' IS NOT NULL) AS v), '–'),
		coalesce((SELECT to_char(sum((s.payload #>> '{custom_data,value}')::numeric), 'FM999,990.00') || ' USD in ' || count(*)
			FROM pinterest_capi.dispatch_status AS s WHERE s.status = 'sent' AND array_to_string(s.warnings, ' ') LIKE '%stands in%' AND s.event_name = d.event_name AND s.destination IS NOT DISTINCT FROM d.destination
				AND s.created_at >= date_trunc('day', now() - interval '7 days', 'UTC')), '–'))
	FROM (SELECT CASE WHEN n.destination IS NULL OR n.reason = 'not allowed' THEN 'other names' ELSE n.event_name END AS event_name, n.sent_as, n.destination, n.status, n.created_at
		FROM pinterest_capi.dispatch_status AS n) AS d WHERE created_at >= date_trunc('day', now() - interval '7 days', 'UTC') GROUP BY event_name, sent_as, destination}
		) =~ s/\xE2\x80\x93/\x{2013}/gr =~ s/Caf\xC3\xA9/Caf\x{E9}/gr
	],
	'events and value by name are SQL\'s') or diag(explain(\@named));
like(
	join(' ', map { $_->[10] } @named),
	qr/\b[67]00\.00 USD in [67]\b/,
	'with stand-in values apart');

# match quality
my $shares = rows(
	q{SELECT (created_at AT TIME ZONE 'UTC')::date, avg((payload #> '{user_data,em}' IS NOT NULL)::integer), avg((payload #> '{user_data,click_id}' IS NOT NULL)::integer)
	FROM pinterest_capi.dispatch_status WHERE (payload IS NOT NULL OR reason = 'no identifier') AND created_at >= date_trunc('day', now() - interval '7 days', 'UTC') GROUP BY 1 ORDER BY 1}
);
for my $kind ([ 'E-mail', 1 ], [ 'Click id', 2 ])
{
	my ($label, $column) = @$kind;
	my @heights = @{ $page->{matches}{$label}{bars} };

	is_deeply(
		[ map { sprintf('%.3f', $_) } @heights ],
		[ map { sprintf('%.3f', $_->[$column]) } @$shares ],
		"$label: the share of each day is as high as SQL's");
	my %share = map { ($_->[0] => $_->[$column]) } @$shares;
	my ($labels, @share_lines) =
	  @{ $page->{tables}{'Share of events with each identifier, per day'} };
	my ($at) = grep { $labels->[$_] eq $label } 0 .. $#$labels;
	is_deeply(
		[ map { $_->[$at] } @share_lines ],
		[
			map {
				exists $share{$_}
				  ? sprintf('%.1f %%', 100 * $share{$_})
				  : "\x{2013}"
			} @days
		],
		'and the table says the same');
}
is($page->{matches}{'Mobile ad id'}{share},
	'0.0 %', 'an identifier that never comes');

# failed events, suppressed events
my (undef, @failures) = @{ $page->{tables}{'Failures and retries'} };
is_deeply(
	[ sort map { "$_->[0]|$_->[4]" } @failures ],
	[
		'HTTP 400: Invalid request: [...] is not valid under any of the given schemas (code 4196)|40',
		'Tag is of another account.|2',
		q{em [...] of [...] isn't <b>valid</b> "quoted"|1}
	],
	'Pinterest\'s words with their counts, without what they quote'
) or diag(explain(\@failures));
my (undef, @gates) = @{ $page->{tables}{'Stopped events'} };
is_deeply(
	[ sort map { "$_->[0]|$_->[1]|$_->[2]|$_->[4]" } @gates ],
	[
		sort split /\n/,
		sql(q{
	SELECT concat_ws('|', CASE WHEN reason LIKE 'consent%' THEN 'Consent' WHEN reason = 'not allowed' THEN 'Allowed events' WHEN status = 'suppressed' THEN 'Identifier'
		WHEN status = 'rejected' THEN 'Mapping' WHEN status = 'expired' THEN 'Age' ELSE 'Cancelled' END, reason, status, count(*))
	FROM pinterest_capi.dispatch_status WHERE status IN ('suppressed', 'rejected', 'expired', 'cancelled')
		AND created_at >= date_trunc('day', now() - interval '7 days', 'UTC') GROUP BY status, reason}
		)
	],
	'what was stopped, by gate');
my ($nowhere) = grep { $_->[1] eq 'not allowed' } @gates;
is_deeply(
	[ sort split /, /, $nowhere->[3] ],
	[
		sort 'cancelled',
		$hostile, $turned =~ s/[\x{202E}\x{200B}]/\x{FFFD}/gr
	],
	'hostile names are shown as text');

# this time and the time before, in whole days
my ($whole, $earlier) = map {
	sql(qq{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE created_at >= date_trunc('day', now(), 'UTC') - interval '$_->[0] days'
		AND created_at < date_trunc('day', now(), 'UTC') - interval '$_->[1] days'})
}[ 7, 0 ], [ 14, 7 ];
my (undef, $compared) =
  @{ $page->{tables}{'This time and the time before'} // [] };
is_deeply(
	[ @{ $compared // [] }[ 0 .. 2 ] ],
	[ 'Events tracked', grouped($whole), grouped($earlier) ],
	'compared with the time before');

# warnings and what to do
my (undef, @warnings) = @{ $page->{tables}{Warnings} };
is_deeply(
	[
		map  { "$_->[0]|$_->[1]|$_->[2]" }
		grep { $_->[0] =~ /^value: missing/ } @warnings
	],
	[
		"value: missing, the destination's default of 100 USD stands in|"
		  . sql(
			q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE array_to_string(warnings, ' ') LIKE '%stands in%' AND created_at >= date_trunc('day', now() - interval '7 days', 'UTC')}
		  )
		  . '|Order Placed'
	],
	'warnings are counted') or diag(explain(\@warnings));
is(scalar(grep { $_->[3] eq '' } @warnings), 0, 'each with what to do');

# the state of the destinations, the allowed events
like(
	$page->{verdict},
	qr/Something needs to be done.*paused/,
	'the verdict tells of the destination that is paused');
like(
	$page->{tables}{Destinations}[1][0] . $page->{tables}{Destinations}[2][0],
	qr/Caf\x{E9} & <b>Co/,
	'which is shown as it is called');
my (undef, @allowed) = @{ $page->{tables}{'Allowed events of default'} };
is_deeply(
	[ sort map { join '|', @$_ } @allowed ],
	[
		sort split /\n/,
		sql(q{
	SELECT DISTINCT concat_ws('|', event_name, sent_as, array_to_string(consent_rules, ', ')) FROM pinterest_capi.compliance_report WHERE destination = 'default'}
		)
	],
	'allowed events and consent rules');
my (undef, @fields) =
  @{ $page->{tables}{'Fields that may leave for default'} };
is_deeply(
	[
		sort map {
			my $line = $_;
			map { "$_|$line->[1]|$line->[2]" } split /, /, $line->[0]
		} @fields
	],
	[
		sort split /\n/,
		sql(q{
	SELECT DISTINCT concat_ws('|', field, transformation, rule) FROM pinterest_capi.compliance_report WHERE destination = 'default'}
		)
	],
	'each field, what is done to it, under which rule');
like((grep { $_->[0] =~ /search_string/ } @fields)[0][3],
	qr/^search$/, 'and for which events');

# ---- accessibility ----

is_deeply(
	$page->{axe},
	{ light => [], dark => [] },
	'no serious accessibility fault, light or dark');
for my $scheme ('light', 'dark')
{
	is_deeply(
		[
			grep { $page->{contrast}{$scheme}{$_} < 3 }
			sort keys %{ $page->{contrast}{$scheme} }
		],
		[],
		"$scheme: every status stands out");
}
ok($page->{described}, 'each drawing has a title and a description');
is($page->{overflow}, 0, 'a phone shows it without scrolling sideways');
is_deeply(
	$page->{printed}{numbers},
	[ JSON::PP::true, JSON::PP::true ],
	'print shows the tables of the charts');
is($page->{printed}{paper}, 'rgb(255, 255, 255)', 'on white');
is($page->{printed}{overflow}, 0, 'and A4 is wide enough');

# These checks find the faults of the faulty page.
cmp_ok(scalar(@$_), '>', 0, 'a broken page is found out')
  for $broken->{fetched}, $broken->{said},
  @{ $broken->{axe} }{ 'light', 'dark' };
cmp_ok($broken->{overflow}, '>', 100, 'a wide one too');

# ---- other pages ----

is( sum0(
		map { ($_->{says} =~ /: ([\d,]+) /)[0] =~ tr/,//dr } @{ $day->{bars} }
	),
	sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE destination = 'default' AND created_at >= date_trunc('hour', now() - interval '1 day', 'UTC')}
	),
	'one destination in hours, whatever the time zone of the session');
is( scalar(
		grep { $_->[2] ne 'default' }
		  @{ $day->{tables}{'Events by name'} }
		  [ 1 .. $#{ $day->{tables}{'Events by name'} } ]),
	0,
	'without those of others');
unlike($day->{verdict}, qr/Caf/, 'and without their troubles');

unlike($latin_html, qr/[^\x20-\x7E\n\t]/, 'LATIN1: ASCII alone');
is($latin->{tables}{'Stopped events'}[1][3],
	"No\x{EB}l", 'and the right letter');
is_deeply(
	[ $latin->{axe}, $latin->{said} ],
	[ { light => [], dark => [] }, [] ],
	'an almost empty page is as good');
like(
	$latin->{sections}{match},
	qr/No events in this time came as far as their identifiers\.$/,
	'and says what is missing');
like($bytes_html, qr/<bdi>No&#xFFFD;l<\/bdi>/,
	'SQL_ASCII: bytes that mean nothing');
like(
	$bytes_html,
	qr/other names<\/th>.*?>203</,
	'one line with the number of all names that nobody allows');

# ---- rights ----

sql(q{CREATE ROLE reader; SELECT pinterest_capi.grant_access('reader', 'monitor'); CREATE ROLE shop; SELECT pinterest_capi.grant_access('shop', 'track');
	CREATE ROLE observer IN ROLE pg_monitor});
my $comparable =
  q{SELECT regexp_replace(pinterest_capi.report_html(), 'last look [^)]*|to [0-9: -]* \(UTC\)|[0-9]+ (s|min)\M', '', 'g')};
is(sql("SET ROLE reader; $comparable"),
	sql($comparable), 'the level monitor sees the same page');
like(
	sql('SET ROLE observer; SELECT pinterest_capi.report_html()'),
	qr/^<!DOCTYPE html>/,
	'so do members of pg_monitor');
my ($status, $out, $err) = $node->psql('postgres',
	'SET ROLE shop; SELECT pinterest_capi.report_html()');
like(
	$err,
	qr/permission denied for function report_html/,
	'the level track may not');

$node->stop;
$stub->stop;
done_testing();
