# Settings cost next to nothing per event: with ten thousand allowed events, a
# hundred consent rules and a million visitors, a call takes at most 1.2 times
# as long as with one of each.  And a change of a setting in any session counts
# in all other sessions at once.
#
# PINTEREST_CAPI_TEST_VISITORS=N	visitors, a million unless given
# PINTEREST_CAPI_TEST_SEED=N		repeats the rules of a run, whose seed is in its output
#
# Runs by itself: it compares times.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Compare;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $visitors = $ENV{PINTEREST_CAPI_TEST_VISITORS} || 1_000_000;
my $seed = $ENV{PINTEREST_CAPI_TEST_SEED} || 1 + int(rand(2**31 - 1));
srand($seed);
note("PINTEREST_CAPI_TEST_SEED=$seed");

my $node = PostgreSQL::Test::Cluster->new('settings');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);

# nothing is sent, and no other process works
$node->append_conf('postgresql.conf',
	"pinterest_capi.dispatch = off\nmax_wal_size = 4GB\nautovacuum = off\nshared_buffers = 512MB\n"
);
$node->start;

for my $db (qw(few many))
{
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql(
		$db, q{
		CREATE EXTENSION pinterest_capi;
		INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
		SELECT pinterest_capi.allow_event('checkout');
		INSERT INTO pinterest_capi.consent_rule VALUES ('rule 1', NULL, 'stop', '$.properties.value > 100001');
		SELECT pinterest_capi.identify('visitor 1', '{"em": "visitor@shop.example"}');
		ANALYZE});
}
my $begun = time();
$node->safe_psql(
	'many', qq{
	INSERT INTO pinterest_capi.allowed_event (event_name) SELECT 'event ' || n FROM generate_series(2, 10000) AS n;
	INSERT INTO pinterest_capi.consent_rule SELECT 'rule ' || n, NULL, 'stop', ('\$.properties.value > ' || 100000 + n)::jsonpath FROM generate_series(2, 100) AS n;
	INSERT INTO pinterest_capi._visitor (visitor, user_data, updated_at)
		SELECT sha256(('visitor ' || n)::bytea), '{"em": ["86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"]}', now()
		FROM generate_series(2, $visitors) AS n;
	ANALYZE; CHECKPOINT});
note(sprintf 'made in %.1f s', time() - $begun);
is( $node->safe_psql(
		'many',
		'SELECT (SELECT count(*) FROM pinterest_capi.allowed_event), (SELECT count(*) FROM pinterest_capi.consent_rule), (SELECT count(*) FROM pinterest_capi._visitor)'
	),
	"10000|100|$visitors",
	'ten thousand allowed events, a hundred rules, many visitors');

# ---- sessions that stay ----

my %session;

sub session
{
	my ($name, $db) = @_;
	my $s = { in => '', out => '' };

	$s->{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
			'-d', $node->connstr($db)
		],
		'<' => \$s->{in},
		'>' => \$s->{out});
	$session{$name} = $s;
	return;
}

sub ask
{
	my ($name, $sql) = @_;
	my $s = $session{$name};

	$s->{out} = '';
	$s->{in} .= "$sql\n\\echo done\n";
	$s->{run}->pump until $s->{out} =~ /done\n\z/ || !$s->{run}->pumpable;
	return $s->{out} =~ s/\n?done\n\z//r;
}
session($_, $_) for qw(few many);

# ---- what a call costs, each a statement and a transaction of its own, as applications make them ----

my $calls = 100;
my $file = PostgreSQL::Test::Utils::tempdir() . '/calls.sql';
append_to_file(
	$file, q{
	PREPARE call(float) AS SELECT pinterest_capi.track('checkout', '{"value": 72.39, "currency": "EUR", "order_id": "1001",
		"contents": [{"id": "sku-1", "item_price": 20.00, "quantity": 2}]}', '{"ph": "+442079460958"}',
		'visitor ' || 1 + floor($1 * 10)::integer * :step) IS NULL;
} . "EXECUTE call(random()) \\g /dev/null\n" x $calls . "DEALLOCATE call;\n");

sub spent
{
	my ($name) = @_;
	my $pid = $session{$name}{pid};
	my $from = cpu_seconds($pid);

	ask($name, "\\i $file");
	return 1e6 * (cpu_seconds($pid) - $from) / $calls;
}
for (qw(few many))
{
	$session{$_}{pid} = ask($_, 'SELECT pg_backend_pid();');
	ask($_, '\set step ' . ($_ eq 'few' ? 0 : int($visitors / 10)));

	# A warm session: its settings are read, and the pages of ten visitors
	# mapped.
	ask($_,
		q{SELECT count((SELECT v.user_data FROM pinterest_capi._visitor AS v WHERE v.visitor = sha256(('visitor ' || 1 + n * :step)::bytea)))
		FROM generate_series(0, 9) AS n;});
	spent($_);
}

SKIP:
{
	# builds with assertions check all memory at each COMMIT
	skip 'a server with assertions', 1
	  if $node->safe_psql('postgres', 'SHOW debug_assertions') eq 'on';
	at_most_times(
		1.2, 'a call with all that against one with one of each',
		one => sub { return spent('many') },
		other => sub { return spent('few') },
		fewest => 31,
		most => 301,
		unit => 'us');
}

# ---- a change in another session counts in the next call ----

session('operator', 'few');
my $look =
  q{SELECT status, reason, sent_as, payload #>> '{user_data,client_ip_address}', payload #>> '{custom_data,search_string}'
	FROM pinterest_capi.preview('Quiz', '{"search_string": "shoes"}', '{"ph": "+442079460958", "ip": "203.0.113.9"}', visitor_id => 'v')};
is(ask('few', $look . ';'), 'suppressed|not allowed|||', 'not allowed');
for my $change (
	[
		q{SELECT pinterest_capi.allow_event('quiz', 'Lead')},
		'queued||lead||'
	],
	[
		q{SELECT pinterest_capi.allow_event('QUIZ', 'Search', properties => '{search_string}')},
		'queued||search||shoes'
	],
	[
		q{UPDATE pinterest_capi.allowed_event SET properties = NULL},
		'queued||search||'
	],
	[
		q{UPDATE pinterest_capi.destination SET send_client_ip = true},
		'queued||search|203.0.113.9|'
	],
	[
		q{INSERT INTO pinterest_capi.consent_rule VALUES ('a', 'default', 'require', '$.consent.yes == true')},
		'suppressed|consent rule a|search||'
	],
	[
		q{SELECT pinterest_capi.identify('v', consent => '{"yes": true}')},
		'queued||search|203.0.113.9|'
	],
	[
		q{UPDATE pinterest_capi.consent_rule SET predicate = '$.consent.no == true' WHERE name = 'a'},
		'suppressed|consent rule a|search||'
	],
	[
		q{TRUNCATE pinterest_capi.consent_rule},
		'queued||search|203.0.113.9|'
	],
	[
		q{SELECT pinterest_capi.forget(user_data => '{"ph": "+442079460958"}')},
		'suppressed|forgotten|search||'
	],
	[
		q{SELECT pinterest_capi.disallow_event('Quiz')},
		'suppressed|not allowed|||'
	],
	[
		q{SELECT pinterest_capi.drop_destination('default')},
		'suppressed|no destination|||'
	])
{
	my ($sql, $expected) = @$change;

	ask('operator', "$sql;");
	is(ask('few', "$look;"), $expected, "after $sql");
}

# ---- consent rules return what the server's jsonpath returns ----

# The extension evaluates the common form of rules itself: here each rule is
# evaluated for each document, by both.
$node->safe_psql('postgres', 'CREATE DATABASE rules');
$node->safe_psql(
	'rules', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead');
	CREATE TABLE rule (n serial, predicate jsonpath);
	CREATE TABLE document (n serial, properties jsonb, consent jsonb)});
my @values = (
	'1', '2.50', '2.5', '-1',
	'1e3', '"a"', '"b"', '""',
	'"2.5"', 'true', 'false', 'null',
	'[]', '[1]', '["a", 1]', '[[1]]',
	'{}', '{"y": 1}', '{"y": {"z": true}}', '[{"y": 1}]');
my @paths = (
	'$.properties.x', '$.properties.x.y',
	'$.properties.x.y.z', '$.consent.x',
	'$.consent.m', '$.properties',
	'$.event', '$.nowhere.x',
	'$', '$.properties.x[0]',
	'$.properties.*', '$.properties.x.size()');
my @constants =
  ('1', '2.5', '0', '-1', '"a"', '"b"', '"lead"', 'true', 'false', 'null');
my @comparisons = map {
	my $path = $_;
	map {
		my $op = $_;
		map { "$path $op $_" } @constants
	} qw(== != < > <= >=)
} @paths;
my @others = (
	(   map { ("exists($_)", "!exists($_)", "($_ == 1) is unknown", "$_") }
		  @paths),
	(map { "strict $_ == 1" } @paths),
	'1 == 1',
	'true == true',
	'1 == $.properties.x',
	'$.properties.x == $.consent.x',
	'$.properties.x + 1 == 2',
	'$.properties.x starts with "a"',
	'$.properties.x like_regex "^a"',
	'$.event == "LEAD"');
my @rules = (@others, grep { rand() < 0.3 } @comparisons);
sub any { return $_[ rand @_ ] }

# true, false and unknown in all combinations, too
push @rules, map {
	my ($l, $r) = map { '(' . any(@comparisons) . ')' } 1 .. 2;
	any("$l && $r", "$l || $r", "!$l || $r", "!($l && !$r)",
		"!$l && ($r || exists(\$.consent.m))")
} 1 .. 150;
my $fill = join ";\n",
  (map { "INSERT INTO rule (predicate) VALUES (\$r\$$_\$r\$)" } @rules), (
	map {
		my $v = $_;
		"INSERT INTO document (properties, consent) VALUES ('{\"x\": $v}', '{\"m\": @{[any(@values)]}, \"x\": @{[any(@values)]}}')"
	} @values),
  q{INSERT INTO document (properties, consent) VALUES ('{}', '{}')};
$node->safe_psql('rules', $fill);
my $differ = $node->safe_psql(
	'rules', q{
	CREATE FUNCTION differ() RETURNS TABLE (predicate jsonpath, properties jsonb, consent jsonb, server text, ours text) LANGUAGE plpgsql AS $$
	DECLARE r rule;
	BEGIN
		FOR r IN SELECT * FROM rule LOOP
			TRUNCATE pinterest_capi.consent_rule;
			INSERT INTO pinterest_capi.consent_rule VALUES ('both', NULL, CASE r.n % 2 WHEN 0 THEN 'stop' ELSE 'require' END, r.predicate);
			RETURN QUERY SELECT r.predicate, d.properties, d.consent, b.server, b.ours
				FROM document AS d, LATERAL (SELECT
					CASE jsonb_path_match(jsonb_build_object('event', 'lead', 'action_source', 'web', 'properties', d.properties, 'user',
						'{"external_id": 1}'::jsonb, 'consent', d.consent), r.predicate, '{}', true)
						WHEN r.n % 2 = 1 THEN 'queued ' WHEN r.n % 2 = 0 THEN 'suppressed ' ELSE 'suppressed consent: the rule gives neither true nor false for this event' END AS server,
					(SELECT p.status || ' ' || coalesce((SELECT w FROM unnest(p.warnings) AS w WHERE w LIKE 'consent:%'), '')
						FROM pinterest_capi.preview('lead', d.properties, '{"external_id": 1}', consent => d.consent) AS p) AS ours) AS b
				WHERE b.server <> b.ours;
		END LOOP;
	END $$;
	SELECT * FROM differ() LIMIT 20});
is($differ, '',
		scalar(@rules)
	  . ' rules asked about '
	  . (@values + 1)
	  . ' documents: as the server');
like(
	$node->safe_psql(
		'rules', q{
		SELECT string_agg(coalesce(m::text, 'unknown') || ' ' || n, ', ' ORDER BY m) FROM (
			SELECT jsonb_path_match(jsonb_build_object('event', 'lead', 'action_source', 'web', 'properties', properties, 'user', '{"external_id": 1}'::jsonb, 'consent', consent), predicate, '{}', true), count(*)
			FROM rule, document GROUP BY 1) AS g (m, n)}),
	qr/^false \d{3,}, true \d{3,}, unknown \d{3,}$/,
	'with all kinds of answers');

for my $name (keys %session)
{
	$session{$name}{in} .= "\\q\n";
	$session{$name}{run}->finish;
}
$node->stop;
done_testing();
