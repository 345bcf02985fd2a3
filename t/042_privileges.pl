# A role without rights, or with one of the four levels, can plant nothing that
# others run and can't make the worker send elsewhere.  Each attempt is made,
# and none may succeed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql as refused);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('privileges', $stub);
my $superuser = getpwuid($>);
my $files = PostgreSQL::Test::Utils::tempdir();

sub nothing_waits
{
	return $node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
	);
}

sql(<<'SQL');
CREATE ROLE mallory LOGIN;
CREATE ROLE tracker LOGIN;
CREATE ROLE operator LOGIN;
CREATE ROLE configurer LOGIN;
CREATE ROLE file_configurer LOGIN IN ROLE pg_read_server_files;
CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
SELECT pinterest_capi.grant_access('tracker', 'track');
SELECT pinterest_capi.grant_access('operator', 'operate');
SELECT pinterest_capi.grant_access('configurer', 'configure');
GRANT CREATE ON SCHEMA public TO mallory, tracker, operator, configurer;
GRANT CREATE ON DATABASE postgres TO mallory;
SQL

# ---- planted: a copy of every function and operator of pg_catalog, before it in search_path ----
#
# Each copy notes who ran it and does what the original does.

sql('CREATE TABLE public.caught (who name, what text); GRANT INSERT, SELECT, DELETE ON public.caught TO PUBLIC'
);
as('mallory', 'CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC');
my (undef, $plant_errors) = as('mallory', <<'SQL');
SET client_min_messages = error;
DO $do$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT p.proname AS name, pg_catalog.oidvectortypes(p.proargtypes) AS types,
			pg_catalog.format_type(p.prorettype, NULL) AS result,
			(SELECT pg_catalog.string_agg('$' || n, ', ') FROM pg_catalog.generate_series(1, p.pronargs) AS n) AS pass
		FROM pg_catalog.pg_proc AS p
		WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.prokind = 'f' AND NOT p.proretset
			AND p.proargmodes IS NULL
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = ANY (p.proargtypes || p.prorettype)
				AND t.typtype = 'p' AND t.typname NOT IN ('anyelement', 'anyarray', 'anynonarray', 'anycompatible', 'anycompatiblearray'))
	LOOP
		BEGIN
			EXECUTE pg_catalog.format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN'
				' INSERT INTO public.caught VALUES (current_user, %L); RETURN pg_catalog.%I(%s); END $f$',
				f.name, f.types, f.result, f.name || '(' || f.types || ')', f.name, f.pass);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	FOR f IN SELECT o.oprname AS name, pg_catalog.format_type(o.oprleft, NULL) AS l, pg_catalog.format_type(o.oprright, NULL) AS r,
			pg_catalog.format_type(o.oprresult, NULL) AS result, o.oid AS number, o.oprleft = 0 AS prefix
		FROM pg_catalog.pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace
	LOOP
		BEGIN
			EXECUTE pg_catalog.format('CREATE FUNCTION evil.operator_%s(%s%s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN'
				' INSERT INTO public.caught VALUES (current_user, %L); RETURN %s OPERATOR(pg_catalog.%s) %s; END $f$',
				f.number, CASE WHEN NOT f.prefix THEN f.l || ', ' END, f.r, f.result,
				f.name || '(' || f.l || ', ' || f.r || ')', CASE WHEN NOT f.prefix THEN '$1' END, f.name, CASE WHEN f.prefix THEN '$1' ELSE '$2' END);
			EXECUTE pg_catalog.format('CREATE OPERATOR evil.%s (FUNCTION = evil.operator_%s, %s RIGHTARG = %s)',
				f.name, f.number, CASE WHEN NOT f.prefix THEN 'LEFTARG = ' || f.l || ', ' END, f.r);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	-- types, whose check is run for each value that is cast to them
	EXECUTE 'CREATE FUNCTION evil.look() RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN'
		' INSERT INTO public.caught VALUES (current_user, ''a type''); RETURN true; END $f$';
	FOR f IN SELECT t.typname AS name FROM pg_catalog.pg_type AS t
		WHERE t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.typtype = 'b' AND t.typcategory NOT IN ('A', 'Z')
	LOOP
		BEGIN
			EXECUTE pg_catalog.format('CREATE DOMAIN evil.%I AS pg_catalog.%I CHECK (evil.look())', f.name, f.name);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
END $do$;
SQL
is($plant_errors, '', 'planted');
my $counted = sql(
	q{SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace) > 2500,
	(SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace) > 600,
	(SELECT count(*) FROM pg_type WHERE typnamespace = 'evil'::regnamespace AND typtype = 'd') > 40}
);
is($counted, 't|t|t',
	'thousands of functions, hundreds of operators, and types');
sql(q{SET search_path = evil, pg_catalog; SELECT 'a'::pg_catalog.text || lower('B'), 1::int4}
);
is( sql(q{SELECT string_agg(DISTINCT what, ' ' ORDER BY what) FROM caught WHERE what IN ('a type', 'lower(text)', '||(text, text)')}
	),
	'a type lower(text) ||(text, text)',
	'a plain statement falls for all three');
sql('TRUNCATE caught');

# A trigger of the shop's, made with an ordinary path.
sql(q{CREATE TABLE shop_orders (id int, total numeric, mail text);
	CREATE TRIGGER t AFTER INSERT ON shop_orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(
		'Checkout', 'email=mail', 'value=total', 'currency:=EUR', 'event_id=id', 'visitor_id=mail');
	GRANT INSERT ON shop_orders TO PUBLIC});

my $calls = <<'SQL';
SELECT pinterest_capi.configure_destination('1', 'pina_planted', '2', 'other');
SELECT pinterest_capi.allow_event('Other', 'Lead', 'other', '{search_string}');
SELECT pinterest_capi.allow_event('Other', 'Lead', 'other');
SELECT pinterest_capi.disallow_event('other', 'other');
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('planted', 'stop', '$.consent.no == true');
UPDATE pinterest_capi.destination SET batch_size = 500, max_event_age = '7 days';
SELECT pinterest_capi.identify('v1', '{"em": "a@example.com", "fn": "A", "db": "1990-01-01", "ph": "+4917680817263"}', '{"ads": true}');
SELECT pinterest_capi.identify('v1', '{"em": null, "ln": "B", "zip": "8000"}', '{"ads": false}');
SELECT pinterest_capi.capture_click('v1', 'https://shop.example/?epik=dj0yJnU9click', '_epik=dj0yJnU9other');
SELECT pinterest_capi.preview('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "a@example.com"}', 'v1');
SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR", "contents": [{"id": "a", "item_price": 2, "quantity": 3}], "page_url": "https://shop.example/?epik=dj0yJnU9third"}', '{"em": ["a@example.com", "B@example.com"], "country": "DE"}', 'v1', event_id => 'planted-1');
SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'planted-1');
SELECT pinterest_capi.track('Checkout', '{"value": "NaN"}', '{"em": "a@example.com"}', event_id => 'planted-2');
SELECT pinterest_capi.track('nobody allowed this');
SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "a@example.com"}', event_time => '2020-01-01');
INSERT INTO public.shop_orders VALUES (1, 2.5, 'a@example.com');
SELECT pinterest_capi.flush('30 seconds');
SELECT pinterest_capi.pause_destination();
SELECT pinterest_capi.track('Checkout', '{"value": 4, "currency": "EUR"}', '{"em": "c@example.com"}', event_id => 'planted-3');
SELECT pinterest_capi.cancel('planted-3');
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT pinterest_capi.replay('default', 'cancelled', event_time_now => true);
SELECT pinterest_capi.replay('default', 'sent', dry_run => true);
SELECT pinterest_capi.resume_destination();
SELECT pinterest_capi.flush('30 seconds');
SELECT pinterest_capi.verify_destination();
SELECT pinterest_capi.forget('v1', '{"em": "b@example.com"}');
SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "b@example.com"}', 'v1');
SELECT pinterest_capi.normalize_identifier('em', ' A@Example.com'), pinterest_capi.hash_identifier('ph', '+49 176 80817263');
SELECT * FROM pinterest_capi.dispatch_status;
SELECT * FROM pinterest_capi.destination_status;
SELECT * FROM pinterest_capi.worker_status;
SELECT * FROM pinterest_capi.event_quality;
SELECT * FROM pinterest_capi.compliance_report;
DELETE FROM pinterest_capi.consent_rule;
SELECT pinterest_capi.purge('1 hour');
SELECT pinterest_capi.drop_destination('other');
SQL

# other settings that a session may have changed
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
my $odd = join '',
  map { "SET $_;\n" }
  ($version < 190000 ? 'standard_conforming_strings = off' : ()),
  'backslash_quote = off', 'transform_null_equals = on',
  q{DateStyle = 'German'}, 'IntervalStyle = sql_standard',
  'bytea_output = escape', 'extra_float_digits = -15', 'array_nulls = off',
  q{TimeZone = 'Asia/Kathmandu'}, q{xmloption = 'document'},
  'row_security = off', 'enable_seqscan = off',
  ($version < 160000 ? 'force_parallel_mode' : 'debug_parallel_query')
  . ' = regress',
  'plan_cache_mode = force_custom_plan',
  'default_transaction_isolation = serializable',
  'quote_all_identifiers = on', 'constraint_exclusion = on';
for my $role ($superuser, 'configurer')
{
	# a superuser with someone else's schema in front, and a role with the highest level
	my $script =
	  "SET client_min_messages = warning;\nSET search_path = evil, pg_catalog, public;\n"
	  . ($role eq 'configurer' ? $odd : '')
	  . $calls
	  . (
		$role eq $superuser
		? "SELECT pinterest_capi.grant_access('tracker', 'configure');\nSELECT pinterest_capi.revoke_access('tracker', 'configure');\nSELECT pinterest_capi.grant_access('tracker', 'track');\n"
		: '');
	my ($out, $err);

	# a serializable transaction gives way to the worker's now and then
	for (1 .. 5)
	{
		($out, $err) = as($role, $script);
		last if $err !~ /could not serialize access/;
	}
	is($err, '', "$role: every function works with such a search_path");
	like(
		$out,
		qr/configured and ready.*planted-1/s,
		"$role: and does what it should");
	is( sql(q{SELECT string_agg(DISTINCT who || ' ran ' || what, E'\n') FROM public.caught}
		),
		'',
		"$role: nothing planted was run");
	sql(q{DELETE FROM pinterest_capi._event; DELETE FROM pinterest_capi._outcome; DELETE FROM pinterest_capi._suppression; TRUNCATE caught}
	);
}

# A session's temporary relations and types precede all schemas.  A role that
# may only track could make the owner's functions read them.
{
	my @temporary =
	  qw(destination allowed_event consent_rule standard_event _event _retry _outcome _visitor _suppression _destination_state
	  _secret _worker pg_class pg_proc pg_type pg_namespace pg_attribute);
	my @types =
	  qw(text bytea timestamptz jsonb jsonpath name oid regclass numeric int8 bool);
	my ($out, $err) = as(
		'tracker', join "\n",
		'SET client_min_messages = error;',
		q{CREATE FUNCTION pg_temp.look() RETURNS pg_catalog.bool LANGUAGE plpgsql AS $f$ BEGIN
			INSERT INTO public.caught VALUES (current_user, 'pg_temp'); RETURN true; END $f$;},
		(   map {
				"CREATE TEMP VIEW $_ AS SELECT pg_temp.look() AS destination, pg_temp.look() AS name, pg_temp.look() AS id;"
			} @temporary),
		(   map {
				"CREATE DOMAIN pg_temp.$_ AS pg_catalog.$_ CHECK (pg_temp.look());"
			} @types),
		'SET search_path = pg_temp, evil, pg_catalog, public;',
		q{SELECT 1 FROM pg_class WHERE destination;},
		'SELECT 1::pg_temp.numeric;',
		q{SELECT count(*) > 1 FROM public.caught;},
		q{DELETE FROM public.caught;},
		grep {
			/track|identify|capture_click|preview|shop_orders|normalize/
			  && !/(?:INSERT INTO|UPDATE|FROM) pinterest_capi/
		} split /^/,
		$calls);

	is($err, '', 'pg_temp: every function of level track works');
	like($out, qr/^t$.*planted-1/ms,
		'pg_temp: while a plain statement falls for what is there');
	is( sql(q{SELECT string_agg(DISTINCT who || ' ran ' || what, E'\n') FROM public.caught}
		),
		'',
		'pg_temp: nothing planted was run');
	sql(q{DELETE FROM pinterest_capi._event; DELETE FROM pinterest_capi._retry; DELETE FROM pinterest_capi._outcome; TRUNCATE caught}
	);
}

# the worker: a database's owner may set what its sessions begin with
sql('ALTER DATABASE postgres SET search_path = evil, pg_catalog, public');
sql('ALTER DATABASE postgres SET role = mallory');
my $pid = sql('SET ROLE none; SELECT pid FROM pinterest_capi.worker_status');
sql("SET ROLE none; SELECT pg_catalog.pg_terminate_backend($pid)");
ok( poll(
		sub {
			sql("SET ROLE none; SELECT pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 FROM pinterest_capi.worker_status AS w WHERE w.pid OPERATOR(pg_catalog.<>) $pid"
			) eq 't';
		}),
	'a worker that starts with a planted search_path and role');
sql(q{SET ROLE none; SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "w@example.com"}', event_id => 'by-worker')}
);
ok(poll(sub { $stub->received('by-worker') }), 'sends');
sql('SET ROLE none; ALTER DATABASE postgres RESET search_path');
sql('SET ROLE none; ALTER DATABASE postgres RESET role');
ok(nothing_waits(), 'and settles');
is( sql(q{SELECT string_agg(DISTINCT who || ' ran ' || what, E'\n') FROM public.caught WHERE what NOT LIKE '%_is_visible%'}
	),
	'',
	'the worker ran nothing planted');

# ---- triggers, rules and policies on the extension's tables ----

as( 'mallory',
	q{CREATE FUNCTION public.planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO public.caught VALUES (current_user, TG_TABLE_NAME || ' ' || coalesce(current_setting('application_name'), '')); RETURN NULL; END $$}
);
for my $role (qw(mallory tracker operator configurer monitor))
{
	for my $table (
		qw(destination allowed_event consent_rule _event _retry _outcome _secret _destination_state)
	  )
	{
		refused(
			$role,
			"CREATE TRIGGER x AFTER INSERT ON pinterest_capi.$table FOR EACH ROW EXECUTE FUNCTION public.planted()",
			'permission denied');
	}
	refused(
		$role,
		'CREATE RULE x AS ON UPDATE TO pinterest_capi.destination DO ALSO SELECT 1',
		'must be owner');
	refused(
		$role,
		'ALTER TABLE pinterest_capi.destination DISABLE TRIGGER ALL',
		'must be owner');
	refused(
		$role,
		'CREATE POLICY p ON pinterest_capi.destination',
		'must be owner');
	refused(
		$role,
		'CREATE OR REPLACE FUNCTION pinterest_capi.track_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$',
		'permission denied for schema');
	refused(
		$role,
		'ALTER EXTENSION pinterest_capi DROP TABLE pinterest_capi._secret',
		'must be owner');
	refused($role, 'DROP EXTENSION pinterest_capi', 'must be owner');
	refused($role, 'ALTER EXTENSION pinterest_capi UPDATE', 'must be owner');
	refused(
		$role,
		'SET session_replication_role = replica',
		'permission denied');
}

# A role that was given TRIGGER on all tables.  What it plants runs as the
# role that writes to the table; neither the worker nor track fires it.
sql('TRUNCATE caught; GRANT TRIGGER ON ALL TABLES IN SCHEMA pinterest_capi TO mallory'
);
my (undef, $trigger_errors) = as(
	'mallory',
	join "\n",
	map {
		"CREATE TRIGGER zz AFTER INSERT OR UPDATE OR DELETE ON pinterest_capi.$_ FOR EACH ROW EXECUTE FUNCTION public.planted();"
	} qw(_event _retry _outcome _lease _destination_state _worker));
is($trigger_errors, '', 'TRIGGER on everything: planted');
$pid = sql('SELECT pid FROM pinterest_capi.worker_status');
sql("SELECT pg_terminate_backend($pid)");
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE pid <> $pid"
	),
	'a new worker');
as('tracker',
	q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "t@example.com"}', event_id => 'triggered')}
);
$stub->script({ status => 500 });
as('tracker',
	q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "t@example.com"}', event_id => 'triggered-retry')}
);
ok(nothing_waits(), 'claims, settles, backs off, retries');
is( sql(q{SELECT string_agg(DISTINCT what, E'\n') FROM caught WHERE what LIKE '% pinterest_capi'}
	),
	'',
	'the worker runs no planted trigger');
is(sql('SELECT count(*) FROM caught'), '0', 'nor do sessions that track');

# by SQL, as into a table that its owner has changed
sql('ALTER TABLE pinterest_capi._event ADD COLUMN theirs integer; ALTER TABLE pinterest_capi._outcome ADD COLUMN theirs integer'
);
as('tracker',
	q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "t@example.com"}', event_id => 'triggered-by-sql')}
);
ok(nothing_waits(), 'an event into tables with a column more');
is(sql('SELECT count(*) FROM caught'), '0', 'neither runs it');
sql('ALTER TABLE pinterest_capi._event DROP COLUMN theirs; ALTER TABLE pinterest_capi._outcome DROP COLUMN theirs'
);
sql('UPDATE pinterest_capi._retry SET attempts = attempts; UPDATE pinterest_capi._outcome SET attempts = attempts'
);
isnt(sql('SELECT count(*) FROM caught'),
	'0', 'an UPDATE by hand would have shown it');
sql(join '',
	map { "DROP TRIGGER zz ON pinterest_capi.$_;" }
	  qw(_event _retry _outcome _lease _destination_state _worker));
sql('REVOKE TRIGGER ON ALL TABLES IN SCHEMA pinterest_capi FROM mallory');

# ---- pointing the worker elsewhere ----

my $elsewhere = 'https://evil.example/v5';

for my $role (qw(mallory tracker operator configurer monitor reader))
{
	my $why = 'permission denied';

	refused($role,
		"UPDATE pinterest_capi.destination SET api_url = '$elsewhere'", $why);
	refused(
		$role,
		"INSERT INTO pinterest_capi.destination (destination, api_url) VALUES ('x', '$elsewhere')",
		$why);
	refused(
		$role,
		"INSERT INTO pinterest_capi.destination (destination) VALUES ('default') ON CONFLICT (destination) DO UPDATE SET api_url = '$elsewhere'",
		$why);
	refused(
		$role,
		"MERGE INTO pinterest_capi.destination AS d USING (SELECT 1) AS x ON true WHEN MATCHED THEN UPDATE SET api_url = '$elsewhere'",
		$why);
	refused(
		$role,
		"COPY pinterest_capi.destination (destination, api_url) FROM STDIN;\ny\t$elsewhere\n\\.\n",
		$why,
		"$role: COPY into destination");
	refused(
		$role,
		"SELECT pinterest_capi.configure_destination('1', 'file:/etc/passwd', '2')",
		$why);

	# before and after the session has loaded the library with its settings
	for my $first ('',
		"SELECT pinterest_capi.normalize_identifier('em', 'a\@example.com');")
	{
		for my $setting (qw(ca_file proxy dispatch retention))
		{
			my (undef, $err) = as($role,
				"$first SET pinterest_capi.$setting = '/tmp/x'; SELECT pinterest_capi.hash_identifier('em', 'a'); SHOW pinterest_capi.$setting"
			);

			like(
				$err,
				qr/cannot be changed now|permission denied to examine|invalid configuration parameter|permission denied to set/,
				"$role: SET $setting" . ($first && ', loaded'));
		}
	}
	refused(
		$role,
		"$_ SET pinterest_capi.proxy = 'http://evil.example'",
		'permission denied|cannot be changed|must be owner|must be superuser'
	) for "ALTER ROLE $role", 'ALTER DATABASE postgres', 'ALTER SYSTEM';
	refused($role, qq{SET ROLE "$superuser"},
		'permission denied to set role');
	refused(
		$role,
		'SET SESSION AUTHORIZATION file_configurer',
		'permission denied');
}
for my $setting (qw(ca_file proxy))
{
	refused(
		'configurer',
		"SELECT pinterest_capi.normalize_identifier('em', 'a'); SHOW pinterest_capi.$setting",
		'must be superuser|permission denied');
}

# A superuser in SET ROLE has that role's rights.
for my $sql (
	"UPDATE pinterest_capi.destination SET api_url = '$elsewhere'",
	"SELECT pinterest_capi.configure_destination('1', 'file:/etc/passwd', '2')"
  )
{
	my (undef, $err) = as($superuser, "SET ROLE configurer; $sql");

	like($err, qr/permission denied/, "SET ROLE configurer: $sql");
}

# In a SECURITY DEFINER function the definer's rights count, not the caller's.
sql(q{CREATE FUNCTION public.repoint(text) RETURNS void SECURITY DEFINER SET search_path = pg_catalog LANGUAGE sql AS
	$$ UPDATE pinterest_capi.destination SET api_url = $1 $$});
as('configurer', q{SELECT public.repoint('https://localhost:1/v5')});
is( sql('SELECT api_url FROM pinterest_capi.destination'),
	'https://localhost:1/v5',
	'a superuser\'s SECURITY DEFINER function hands its rights on, as always'
);
sql("SELECT public.repoint('@{[$stub->url]}'); DROP FUNCTION public.repoint");

# members of pg_read_server_files may name a file, with the level that configures
sql(q{SELECT pinterest_capi.grant_access('file_configurer', 'configure')});
my $token_file = "$files/token";
append_to_file($token_file, PinterestStub::TOKEN . "\n");
chmod 0600, $token_file;
my ($ready) = as('file_configurer',
	"SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', 'file:$token_file', '@{[PinterestStub::ACCOUNT]}')"
);
is( $ready,
	'Your destination is configured and ready.',
	'pg_read_server_files: may');
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "f@example.com"}', event_id => 'by-file')}
);
ok(poll(sub { $stub->received('by-file') }), 'and the token in it is used');

unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|server process .* was terminated/,
	'no such word in the log');
$node->stop;
$stub->stop;
done_testing();
