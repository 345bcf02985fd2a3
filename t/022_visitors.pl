# A visitor's click ids are found whatever their form, are stored with their
# time, are used later and expire.  What concurrent sessions store about one
# visitor is all kept, and the sessions don't deadlock.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use PinterestStub qw(:DEFAULT new_node sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Nothing is sent, since there is no token; the worker runs for retention.
my $node = new_node('visitors',
	conf =>
	  "shared_preload_libraries = 'pinterest_capi'\nlog_lock_waits = on\n");
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('page_visit');
	CREATE FUNCTION used(visitor text) RETURNS text LANGUAGE sql AS $$
		SELECT payload #>> '{user_data,click_id}' FROM pinterest_capi.preview('page_visit', user_data => '{"external_id": 1}', visitor_id => visitor) $$;
	CREATE FUNCTION known(visitor text) RETURNS TABLE (click_id text, click_id_at timestamptz) LANGUAGE sql AS $$
		SELECT click_id, click_id_at FROM pinterest_capi._visitor AS v WHERE substr(v.visitor, 1, 32) = sha256(convert_to($1, 'UTF8')) ORDER BY v.click_id_at DESC NULLS LAST $$}
);

# ---- shapes ----

my $long = 'e' x 8000;
my @shapes = (
	[
		'between others',
		'https://shop.example/p?utm_source=pinterest&epik=dj0yJnU9_-A&x=1',
		'dj0yJnU9_-A'
	],
	[
		'an ampersand encoded for HTML',
		'https://shop.example/p?a=1&amp;epik=amp&amp;b=2',
		'amp'
	],
	[
		'an ampersand that is encoded is none',
		'https://shop.example/p?a=1%26epik=no',
		undef
	],
	[
		'a key twice', 'https://shop.example/?epik=first&epik=second',
		'first'
	],
	[
		'a key twice, once empty',
		'https://shop.example/?epik=&epik=second',
		'second'
	],
	[
		'in front of a fragment',
		'https://shop.example/?epik=query#epik=fragment', 'query'
	],
	[ 'in a fragment alone', 'https://shop.example/#/?epik=fragment', undef ],
	[ 'an upper-case host', 'HTTPS://WWW.SHOP.EXAMPLE/?epik=Upper', 'Upper' ],
	[
		'an international name',
		"https://m\x{fc}ller.example/stra\x{df}e?epik=idn", 'idn'
	],
	[
		'an international name in ASCII',
		'https://xn--mller-kva.example/?epik=puny',
		'puny'
	],
	[
		'a name in another script',
		"https://\x{4f8b}\x{3048}.\x{30c6}\x{30b9}\x{30c8}/?epik=script",
		'script'
	],
	[ 'escapes', 'https://shop.example/?epik=a%2Bb%3D%3d', 'a+b==' ],
	[ 'a plus sign stays one', 'https://shop.example/?epik=a+b', 'a+b' ],
	[ 'of 8 kB', "https://shop.example/?x=1&epik=$long", $long ],
	[
		'of more than that',
		"https://shop.example/?x=1&epik=" . 'e' x 8193, undef
	],
	[ 'without a host', '/landing?epik=path', 'path' ],
	[ 'no URL', 'this is none ?epik', undef ],
	[
		'an address instead',
		'https://shop.example/?epik=jane%40shop.example', undef
	]);
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	my $i = 0;

	for my $shape (@shapes)
	{
		my ($what, $url, $expected) = @$shape;
		my $v = 'shape-' . ++$i;
		my $text = $url;

		utf8::encode($text);
		my $found =
		  sql(  "SELECT pinterest_capi.capture_click('$v-c', '$text');"
			  . "SELECT pinterest_capi.track('page_visit', jsonb_build_object('page_url', '$text'), visitor_id => '$v-p') IS NULL;"
			  . "SELECT pinterest_capi.track('page_visit', jsonb_build_object('page_url', 'https://shop.example/', 'referrer', '$text'), visitor_id => '$v-r') IS NULL;"
			  . "SELECT used('$v-c'), used('$v-p'), used('$v-r')");
		my $e = $expected // '';

		is($found, "$e\nf\nf\n$e|$e|$e",
			"click id of a URL, $what: by capture_click, from page_url, from referrer"
		);
	}
}
is( sql(q{SELECT pinterest_capi.capture_click('cookie', NULL, 'Cookie: a=b; _epik=dj0%3D; c=' || repeat('d', 65536)), used('cookie')}
	),
	'dj0=|dj0=',
	'out of a Cookie header of 64 kB');

# ---- with its time; the newest wins; never without consent ----

sub visit
{
	my ($visitor, $click, $age) = @_;

	return sql(
		"SELECT pinterest_capi.track('page_visit', '{\"page_url\": \"https://shop.example/?epik=$click\"}', visitor_id => '$visitor', event_time => now() - interval '$age') IS NULL"
	);
}
visit('newest', 'two-days', '2 days');
is( sql(q{SELECT click_id, now() - click_id_at BETWEEN interval '47 hours' AND interval '49 hours' FROM known('newest')}
	),
	'two-days|t',
	'a click id is kept with the time of its event');
visit('newest', 'five-days', '5 days');
is(sql(q{SELECT used('newest')}),
	'two-days', 'an older one that is told later does not replace it');
visit('newest', 'one-day', '1 day');
is(sql(q{SELECT used('newest')}), 'one-day', 'a newer one does');
sql(q{SELECT pinterest_capi.capture_click('newest', cookie => '_epik=now')});
is(sql(q{SELECT used('newest')}), 'now', 'and one that is captured now');
sql(q{INSERT INTO pinterest_capi.consent_rule VALUES ('marketing', NULL, 'require', '$.consent.marketing == true')}
);
visit('newest', 'unwanted', '0');
is(sql(q{SELECT click_id FROM known('newest')}),
	'now', 'but none of an event that no rule lets pass');
sql('DELETE FROM pinterest_capi.consent_rule');

# ---- retention of click ids ----

sql(q{SELECT pinterest_capi.capture_click('gone', 'https://shop.example/?epik=old');
	SELECT pinterest_capi.capture_click('stays', 'https://shop.example/?epik=young');
	SELECT pinterest_capi.identify('someone', '{"em": "s@example.com", "epik": "old-too"}');
	UPDATE pinterest_capi._visitor SET click_id_at = now() - CASE click_id WHEN 'young' THEN interval '29 days' ELSE interval '31 days' END
		WHERE click_id IN ('old', 'old-too', 'young')});
is(sql(q{SELECT used('gone'), used('stays'), used('someone')}),
	'|young|', 'a click id is used for 30 days');
$node->append_conf('postgresql.conf',
	q{pinterest_capi.click_id_retention = '28 days'});
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT used('stays') IS NULL}),
	'or as long as the setting says');
$node->append_conf('postgresql.conf',
	q{pinterest_capi.click_id_retention = '30 days'});

# The worker deletes two thousand visitors in a step, so this takes several.
sql(q{INSERT INTO pinterest_capi._visitor (visitor, user_data, click_id, click_id_at, updated_at)
	SELECT sha256(('bulk' || n)::bytea), CASE n % 2 WHEN 0 THEN '{}' ELSE '{"em": []}' END::jsonb, 'bulk' || n,
		now() - CASE n % 3 WHEN 0 THEN interval '40 days' ELSE interval '1 day' END, now() FROM generate_series(1, 6000) AS n}
);

# A visitor whose row another session is updating is skipped.
my ($in, $out) = ('', '');
my $other = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
	'<' => \$in,
	'>' => \$out);
$in .=
  q{SELECT pinterest_capi.capture_click('held', 'https://shop.example/?epik=held');
	UPDATE pinterest_capi._visitor SET click_id_at = now() - interval '50 days' WHERE click_id = 'held';
	BEGIN; UPDATE pinterest_capi._visitor SET updated_at = now() WHERE click_id = 'held'; SELECT 'locked';}
  . "\n";
$other->pump until $out =~ /locked/;
$node->safe_psql('postgres',
	q{SELECT pg_terminate_backend(pid) FROM pinterest_capi.worker_status});
ok( $node->poll_query_until(
		'postgres', q{
		SELECT count(*) FILTER (WHERE click_id LIKE 'bulk%') = 4000 AND count(*) FILTER (WHERE user_data = '{"em": []}') = 3000
			AND count(*) FILTER (WHERE user_data = '{}' AND click_id IS NULL) = 0 FROM pinterest_capi._visitor}
	),
	'then it is removed, and the visitor with it of whom nothing else is known'
);
is( sql(q{SELECT (SELECT count(*) FROM known('gone')), (SELECT count(click_id) FROM known('someone')), (SELECT click_id FROM known('held'))}
	),
	'0|0|held',
	'but not while another session updates it');
is( sql(q{SELECT payload #> '{user_data,em}' IS NOT NULL FROM pinterest_capi.preview('page_visit', visitor_id => 'someone')}
	),
	't',
	'identifiers stored by identify stay');
$in .= "COMMIT;\n\\q\n";
$other->finish;
for my $wrong ("'-1 days'", "'30'", "'often'", "'2000 years'")
{
	my ($code, undef, $err) = $node->psql('postgres',
		"LOAD 'pinterest_capi'; ALTER SYSTEM SET pinterest_capi.click_id_retention = $wrong"
	);

	# a bare number is seconds, as in any interval
	is( $code != 0,
		$wrong ne "'30'",
		"click_id_retention = $wrong is "
		  . ($wrong eq "'30'" ? 'taken' : 'refused'));
}

# ---- many sessions at once ----

my $times = 150;
my $script = PostgreSQL::Test::Utils::tempdir() . '/crowd.sql';
append_to_file($script, <<'SQL');
\set i :i + 1
SELECT pinterest_capi.identify('crowd', jsonb_build_object((ARRAY['em','ln','fn','ct','zp','external_id','hashed_maids','st'])[:client_id + 1],
	'c' || :client_id || 'x' || :i || CASE :client_id WHEN 0 THEN '@example.com' ELSE '' END));
SELECT pinterest_capi.track('page_visit', jsonb_build_object('page_url', 'https://shop.example/?epik=c' || :client_id || 'x' || :i), visitor_id => 'crowd');
SELECT pinterest_capi.capture_click('crowd', cookie => '_epik=k' || :client_id || 'x' || :i);
SQL
my ($bench, $errors) = ('', '');
IPC::Run::run(
	[
		'pgbench', '-n', '-c', '8', '-j', '2', '-t', $times, '-D', 'i=0',
		'-f', $script, '-d', $node->connstr('postgres')
	],
	'>' => \$bench,
	'2>' => \$errors);
like(
	$bench,
	qr{number of transactions actually processed: @{[8 * $times]}/@{[8 * $times]}\s},
	'eight at a time about one visitor: every call is taken');
is( sql(qq{
	SELECT count(*) FROM unnest(ARRAY['em','ln','fn','ct','zp','external_id','hashed_maids','st']) WITH ORDINALITY AS k (kind, n),
		pinterest_capi._visitor AS v
	WHERE v.visitor = sha256('crowd') AND v.user_data -> kind =
		jsonb_build_array(pinterest_capi.hash_identifier(kind, 'c' || n - 1 || 'x$times' || CASE n WHEN 1 THEN '\@example.com' ELSE '' END))}
	),
	8,
	'and the last that each said is there');
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE payload #>> '{user_data,click_id}' ~ '^c\dx\d+$'}
	),
	8 * $times,
	'each event has its own click id');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'no deadlock');

$node->stop;
done_testing();
