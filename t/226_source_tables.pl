# A source's trigger reads tables as people have them: quoted names, domains, generated
# columns, partitions, views, columns that are renamed, odd settings of a session, other
# encodings; and a database that was dumped and restored, or whose script was older.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SourceServers;
use Test::More;

# What is written into _call is seen by a trigger.
my $see = q{
	CREATE TABLE IF NOT EXISTS public.seen (n serial, event_name text, event_id text, call jsonb);
	CREATE OR REPLACE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.seen (event_name, event_id, call) VALUES (NEW.event_name, NEW.event_id, NEW.call::jsonb); RETURN NULL; END $$;
	CREATE TRIGGER see AFTER INSERT ON pinterest_capi._call FOR EACH ROW EXECUTE FUNCTION public.see();
};

# Return what was written since the last time: a line an event.
sub seen
{
	my ($node, $database) = @_;

	return source_sql(
		$node,
		$database,
		'owner',
		q{WITH d AS (DELETE FROM public.seen RETURNING *)
		SELECT string_agg(concat_ws(' ', event_id, nullif(call -> 'properties', '{}'), nullif(call -> 'user_data', '{}'), call #>> '{marks,reject}'), E'\n' ORDER BY n) FROM d}
	);
}

sub trigger_on
{
	my ($table, $arguments, $name) = @_;

	$name //= 't';
	return
	  "CREATE TRIGGER $name AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Order Placed', $arguments);";
}

sub hashed { return '{"hash": "' . sha256_hex($_[0]) . '"}' }

sub tables
{
	my ($node) = @_;
	my $sql = sub { return source_sql($node, 'shop', 'owner', $_[0]) };

	$sql->($see);

	# names that need quotes
	$sql->(
		q{CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Order ""Items""" ("Id" integer, "E-Mail" text, "Total =" numeric, "(odd" text, "order" text);}
		  . trigger_on(
			q{"My Shop"."Order ""Items"""},
			q{'email=E-Mail', 'value=Total =', 'event_id=Id', 'content_name=($1."(odd")', 'order_id=order'}
		  ));
	is( $sql->(
			q{INSERT INTO "My Shop"."Order ""Items""" VALUES (1, 'a@example.com', 5, 'x', 'o1')}
		),
		'',
		'quoted names: an order');
	is( seen($node, 'shop'),
		'1 {"value": 5, "order_id": "o1", "content_name": "x"} {"email": '
		  . hashed('a@example.com') . '}',
		'quoted names: its call');

	# keys in a value are no keys of the mapping
	$sql->(
		q{CREATE TABLE items (id integer, items jsonb, total numeric, customer bigint, code numeric(6,2));}
		  . trigger_on(
			'items',
			q{'contents=items', 'value=total', 'product_id:=p', 'event_id=id', 'external_id=customer'}
		  )
		  . trigger_on(
			'items',
			q{'contents=items', 'value=total', 'value=code', 'event_id=id'},
			'u'));
	$sql->(
		q{INSERT INTO items VALUES (2, '[{"value": 1, "product_id": "q", "event_id": 3, "id": "z"}]', 7.50, 41, 1)}
	);
	is( seen($node, 'shop'),
		'2 {"value": 7.50, "contents": [{"id": "z", "value": 1, "event_id": 3, "product_id": "q"}], "product_id": "p"} {"external_id": '
		  . hashed('41')
		  . "}\n2 mapping: value",
		'keys in a value are no keys of the mapping, and a key twice is');
	$sql->('INSERT INTO items (id, code) VALUES (3, 1)');
	like(
		seen($node, 'shop'),
		qr/^3 \{"product_id": "p"\}\n3 mapping: value$/,
		'a key twice, whose first column is null');

	# domains, of domains too, and generated columns
	$sql->(
		q{CREATE DOMAIN code AS char(6); CREATE DOMAIN code2 AS code CHECK (VALUE <> 'x'); CREATE DOMAIN price AS money; CREATE DOMAIN price2 AS price NOT NULL;
		CREATE DOMAIN net AS inet; CREATE DOMAIN net2 AS net; CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
		UPDATE pinterest_capi.source_setting SET send_client_ip = true;
		CREATE TABLE typed (id code2, total price2, ip net2, email mail, twice numeric GENERATED ALWAYS AS (2.5 * 2) STORED);}
		  . trigger_on(
			'typed',
			q{'event_id=id', 'value=total', 'ip=ip', 'email=email', 'order_id=id', 'predicted_ltv=twice'}
		  ));
	is( $sql->(
			q{INSERT INTO typed VALUES ('d1', '12.50', '10.0.0.1/24', 'a@example.com')}
		),
		'',
		'domains: an order');
	is( seen($node, 'shop'),
		'd1 {"value": 12.50, "order_id": "d1", "predicted_ltv": 5.0} {"ip": "10.0.0.1", "email": '
		  . hashed('a@example.com') . '}',
		'domains of domains, and a generated column');

	# partitions with another order of columns
	$sql->(
		q{CREATE TABLE parted (id integer, email text, total numeric) PARTITION BY RANGE (id);
		CREATE TABLE p1 (gone text, total numeric, email text, id integer); ALTER TABLE p1 DROP gone;
		ALTER TABLE parted ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10);
		CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM (10) TO (20);}
		  . trigger_on(
			'parted',
			q{'event_id=id', 'value=total', 'email=email', 'content_name=(''n'' || $1.id)'}
		  ));
	is( $sql->(
			q{INSERT INTO parted VALUES (4, 'a@example.com', 4), (14, 'a@example.com', 5)}
		),
		'',
		'partitions: orders');
	is( seen($node, 'shop'),
		join(
			"\n",
			map {
				"$_->[0] {\"value\": $_->[1], \"content_name\": \"n$_->[0]\"} {\"email\": "
				  . hashed('a@example.com') . '}'
			}[ 4, 4 ],
			[ 14, 5 ]),
		'partitions: their calls');

	# a view on the table, and a trigger on a view
	$sql->(
		q{CREATE VIEW of_items AS SELECT id, total AS sum FROM items; CREATE VIEW of_parted AS SELECT * FROM parted;
		CREATE TRIGGER v INSTEAD OF INSERT ON of_parted FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id')}
	);
	is($sql->('INSERT INTO of_items VALUES (5, 1)'), '', 'a view: an order');
	like(
		seen($node, 'shop'),
		qr/^5 \{"value": 1,/,
		"a view: its table's trigger");
	is($sql->('INSERT INTO of_parted VALUES (5) RETURNING id'),
		'5', 'a trigger on a view lets the row be');
	like(
		seen($node, 'shop'),
		qr/not a row-level AFTER trigger$/,
		'and is recorded');

	# a column that is renamed, dropped, changed, in a session that has run the trigger
	$sql->(
		q{CREATE TABLE changed (id integer, email text, total numeric);}
		  . trigger_on('changed', q{'event_id=id', 'value=total'}));
	my (undef, $out, $err) = source_psql(
		$node,
		'shop',
		'owner',
		map { ('-c', $_) } 'INSERT INTO changed VALUES (1, NULL, 1)',
		'ALTER TABLE changed RENAME total TO sum',
		'INSERT INTO changed VALUES (2, NULL, 1)',
		'ALTER TABLE changed ADD total integer DEFAULT 3',
		'INSERT INTO changed VALUES (3, NULL, 1)',
		q{ALTER TABLE changed ALTER total TYPE text USING 'x'},
		'INSERT INTO changed VALUES (4, NULL, 1)',
		'ALTER TABLE changed DROP total, DROP email',
		'INSERT INTO changed VALUES (5, 1)');
	is( seen($node, 'shop'),
		qq(1 {"value": 1}\n2 mapping: value\n3 {"value": 3}\n4 {"value": "3"}\n5 mapping: value),
		'columns that change');
	is(() = $err =~ /WARNING:.*mapping of "value"/g, 1, 'with one WARNING');

	# what a session may have set
	$sql->(
		q{CREATE SCHEMA evil; CREATE FUNCTION evil.strpos(text, text) RETURNS integer LANGUAGE sql AS 'SELECT 1/0';
		CREATE FUNCTION evil.left(text, integer) RETURNS text LANGUAGE sql AS $$SELECT 'evil'$$;
		CREATE TABLE evil.pg_class (oid oid, relowner oid); CREATE TABLE evil._call (id integer);}
		  . q{CREATE TABLE odd (id integer, at timestamptz, days interval, weight float8, bytes bytea);}
		  . trigger_on(
			'odd',
			q{'event_id=id', 'event_time=at', 'content_name=days', 'value=weight', 'content_brand=bytes'}
		  ));
	for my $settings (
		'SET search_path = evil, pg_catalog, public',
		q{SET search_path = ''},
		'SET standard_conforming_strings = off; SET escape_string_warning = on',
		q{SET datestyle = 'German, DMY'; SET intervalstyle = sql_standard; SET extra_float_digits = -5; SET bytea_output = escape; SET timezone = 'Asia/Kathmandu'},
		'SET default_transaction_isolation = serializable',
		'SET quote_all_identifiers = on; SET row_security = off; SET array_nulls = off; SET transform_null_equals = on',
		'SET plan_cache_mode = force_custom_plan',
		'SET enable_tidscan = off; SET enable_seqscan = off; SET enable_indexscan = off'
	  )
	{
		my ($ok, $out, $err) = source_psql(
			$node,
			'shop',
			'owner',
			'-v',
			'ON_ERROR_STOP=1',
			map { ('-c', $_) } split(/; /, $settings),
			q{INSERT INTO public.odd SELECT 100 + n, '2026-01-02 03:04:05+00', '1 day 02:00', 0.1::float8 + 0.2::float8, pg_catalog.decode('0161', 'hex') FROM pg_catalog.generate_series(1, 3) AS n}
		);

		ok($ok, "$settings: orders") or diag($err);
		is($err, '', "$settings: no warning");
		is( seen($node, 'shop'),
			join(
				"\n",
				map {
					"$_ {\"value\": 0.30000000000000004, \"content_name\": \"1 day 02:00:00\", \"content_brand\": \"\\\\x0161\"}"
				} 101 .. 103),
			"$settings: calls");
		is($sql->(q{SELECT count(*) FROM pinterest_capi._call}),
			'0', "$settings: nothing stays");
	}

	# a row that a constraint trigger reports at COMMIT
	$sql->(
		q{CREATE TABLE late (id integer, total numeric); CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON late DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id', 'value=total')}
	);
	is( $sql->(
			'BEGIN; INSERT INTO late VALUES (1, 2); UPDATE late SET total = 3; DELETE FROM late; COMMIT'
		),
		'',
		'at COMMIT: an order');
	is( seen($node, 'shop'),
		qq(1 {"value": 2}\n1 {"value": 3}\n1 {"value": 3}),
		'at COMMIT: its calls');
	return;
}

# ---- databases that were dumped, or whose script was older ----

# everything in the schema: functions, tables, rights, comments
my $objects = q{
	SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') || coalesce(obj_description(p.oid, 'pg_proc'), '') FROM pg_proc AS p
		WHERE p.pronamespace = 'pinterest_capi'::regnamespace
		UNION ALL
		SELECT concat(c.relname, c.relkind, c.relreplident) || coalesce(c.relacl::text, '') || coalesce(c.reloptions::text, '') FROM pg_class AS c
		WHERE c.relnamespace = 'pinterest_capi'::regnamespace
		UNION ALL
		SELECT concat(a.attrelid::regclass, a.attname, a.attnum, a.atttypid::regtype, a.attnotnull, a.attidentity) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
		WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT concat(pubname, schemaname, tablename) FROM pg_publication_tables) AS o (line)};

# Leave the schema as an older script would have, with functions that the script no
# longer has, with other parameters, and without a column.
my $older = q{
	CREATE FUNCTION pinterest_capi._call_text(properties text, user_data jsonb, visitor_id text, action_source text, consent jsonb, destination text, warnings text[], marks jsonb)
		RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
	CREATE FUNCTION pinterest_capi._of_an_older_script(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
	DROP FUNCTION pinterest_capi._plain_hash(text, text);
	CREATE FUNCTION pinterest_capi._plain_hash(other text, name text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
	DROP FUNCTION pinterest_capi._is_hash(text);
	CREATE FUNCTION pinterest_capi._is_hash(value text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'};

sub databases
{
	my ($node) = @_;

	$node->safe_psql(
		'postgres',
		q{CREATE DATABASE old OWNER owner; CREATE DATABASE restored OWNER owner;
		CREATE DATABASE latin OWNER owner ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0; CREATE DATABASE unset OWNER owner;
		ALTER DATABASE unset SET standard_conforming_strings = off; ALTER DATABASE unset SET search_path = ''}
	);

	# an older script
	ok((load_script($node, 'old', 'owner'))[0], 'an older script');
	my $objects_of = sub { source_sql($node, $_[0], 'owner', $objects) };
	my $now = $objects_of->('old');
	source_sql(
		$node, 'old', 'owner', q{
		CREATE TABLE orders (id integer, email text);}
		  . trigger_on('orders', q{'email=email', 'event_id=id'}));
	source_sql($node, 'old', 'owner', $older);
	my ($ok, $out, $err) = load_script($node, 'old', 'owner');
	ok($ok, 'an older script: run again') or diag($err);
	is($objects_of->('old'), $now, 'an older script: nothing of it is left');
	source_sql($node, 'old', 'owner', $see);
	is( source_sql(
			$node, 'old',
			'owner', q{INSERT INTO orders VALUES (1, 'a@example.com')}),
		'',
		'an older script: an order');
	is( seen($node, 'old'),
		'1 {"email": ' . hashed('a@example.com') . '}',
		'an older script: its call');

	# settings of the database
	ok((load_script($node, 'unset', 'owner'))[0],
		'standard_conforming_strings = off, no search_path: the script');
	is($objects_of->('unset'), $now, 'makes the same');
	is( source_sql(
			$node,
			'unset',
			'owner',
			q{SELECT pinterest_capi.hash_identifier('ph', '+49 (0)30 1234567', 'DE') || pinterest_capi.hash_identifier('em', ' A.B@Example.com ')
				|| pinterest_capi.normalize_identifier('st', 'New York', 'US')}
		),
		sha256_hex('49301234567') . sha256_hex('a.b@example.com') . 'ny',
		'and hashes the same');

	# removed, with orders that go on
	source_sql($node, 'old', 'owner',
		'DROP SCHEMA pinterest_capi CASCADE; DROP PUBLICATION pinterest_capi'
	);
	is( source_sql(
			$node, 'old',
			'owner', q{INSERT INTO orders VALUES (2, 'a@example.com')}),
		'',
		'removed: an order');
	ok( (load_script($node, 'old', 'owner'))[0]
		  && $objects_of->('old') eq $now,
		'removed, and made again');

	# LATIN1, where names and values are no ASCII
	ok((load_script($node, 'latin', 'owner'))[0], 'LATIN1: the script');
	source_sql(
		$node, 'latin',
		'owner', $see . q{
		CREATE TABLE orders (id text, email text, name text, total numeric);
		DO $do$ BEGIN EXECUTE format('ALTER TABLE orders RENAME name TO %I', 'pr' || chr(233) || 'nom');
		EXECUTE format($$CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(%L, 'email=email', %L, 'event_id=id', 'value=total', %L)$$,
			'Achet' || chr(233), 'fn=pr' || chr(233) || 'nom', 'content_name:=caf' || chr(233)); END $do$}
	);
	is( source_sql(
			$node,
			'latin',
			'owner',
			q{INSERT INTO orders SELECT 'i' || chr(233), 'a@example.com', 'Ren' || chr(233), 5}
		),
		'',
		'LATIN1: an order');
	is( source_sql(
			$node,
			'latin',
			'owner',
			q{SELECT ascii(right(event_name, 1)) || ' ' || ascii(right(event_id, 1)) || ' ' || ascii(right(call #>> '{properties,content_name}', 1))
				|| ' ' || (call #>> '{user_data,fn}') || (call #>> '{user_data,email,hash}') FROM seen}
		),
		'233 233 233 {"warning": "not ASCII, in a database whose encoding is not UTF8"}'
		  . sha256_hex('a@example.com'),
		'LATIN1: its call');
	return;
}

sub runs
{
	my ($source) = @_;
	my $node =
	  new_source($source, "source_$source->{major}", "autovacuum = off\n");

	$node->safe_psql('postgres',
		'CREATE ROLE owner LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE shop OWNER owner'
	);
	ok((load_script($node, 'shop', 'owner'))[0], 'the script runs');
	tables($node);
	databases($node);
	$node->stop;
	return;
}

for my $source (source_servers())
{
	subtest "PostgreSQL $source->{version}" =>
	  sub { runs($source); done_testing() };
}
done_testing();
