# A session that has used a trigger before makes the same event of a row as a
# new session, whatever was changed in between: types, functions, views,
# tables, rights, names.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);

# nothing is sent
$node->append_conf('postgresql.conf', "pinterest_capi.dispatch = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination, opt_out_action) VALUES ('default', 'suppress');
	INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('refused', 'stop', '$.consent.refused == true');
	SELECT pinterest_capi.allow_event('lead');
	CREATE ROLE shop;
	-- what an event became: status, reason, and whose address it has
	CREATE FUNCTION outcome(of text) RETURNS text LANGUAGE sql AS $$
		SELECT string_agg(concat_ws(' ', status, CASE WHEN status <> 'queued' THEN reason END,
			(SELECT n FROM unnest('{ann,bob,cat}'::text[]) AS n
				WHERE payload #> '{user_data,em}' = jsonb_build_array(encode(sha256(convert_to(n || '@example.com', 'UTF8')), 'hex')))), ', ' ORDER BY id)
		FROM pinterest_capi.dispatch_status WHERE event_id = of $$});

# Fire in a session, then after each change in the same one and in a new one.
#	mapping: the trigger's; before: SQL; session: what each begins with
#	steps: [ change, expected outcome, INSERT if another ]; a reference: the session's own change
my $number = 0;

sub run
{
	my ($what, %case) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $n = ++$number;
	my $session = $case{session} // 'SET ROLE shop;';
	my $insert_into = 'INSERT INTO public.orders (id, person, email) VALUES ';
	my $mapping = join ', ', map { "\$m\$$_\$m\$" } @{ $case{mapping} };
	my @seen;

	$node->safe_psql(
		'postgres', qq{
		DROP SCHEMA IF EXISTS ref CASCADE;
		DROP TABLE IF EXISTS orders CASCADE;
		CREATE SCHEMA ref;
		GRANT ALL ON SCHEMA ref, public TO shop;
		CREATE TABLE ref.person (no integer PRIMARY KEY, email varchar(100), opted_out boolean DEFAULT false, refuses jsonb DEFAULT '{}');
		INSERT INTO ref.person VALUES (1, 'ann\@example.com'), (2, 'bob\@example.com');
		GRANT SELECT ON ref.person TO shop;
		CREATE TABLE orders (id text, person integer, email text) @{[ $case{partition} // '' ]};
		@{[ $case{before} // '' ]};
		GRANT ALL ON ALL TABLES IN SCHEMA public TO shop;
		CREATE TRIGGER pinterest AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'event_id=id', $mapping)}
	);

	my $warm = IPC::Run::start(
		[
			'psql', '-XAtq',
			'-v', 'ON_ERROR_STOP=1',
			'-d', $node->connstr('postgres')
		],
		'<' => \$in,
		'>' => \$out,
		'2>' => \$err,
		my $timer =
		  IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	my $fire = sub {
		my ($sql, $mark) = @_;

		$in .= "$sql;\n\\echo $mark\n";
		$warm->pump until $out =~ /^\Q$mark\E$/m || !$warm->pumpable;
	};
	$fire->(
		"$session $insert_into('warm-$n-0', 1, 'ann\@example.com')",
		'fired 0');
	is($node->safe_psql('postgres', "SELECT outcome('warm-$n-0')"),
		'queued ann', "$what: before");

	my $i = 0;
	for my $step (@{ $case{steps} })
	{
		my ($change, $expected, $insert) = @$step;

		$i++;
		$insert //= $insert_into;
		if   (ref $change) { $fire->($$change, "changed $i") }
		else               { $node->safe_psql('postgres', $change) }
		$fire->("$insert('warm-$n-$i', 1, 'ann\@example.com')", "fired $i");

		# a change in the session itself has no effect on a new session
		my $fresh = ref $change ? $$change : '';
		$node->psql(
			'postgres',
			"$session $fresh; $insert('fresh-$n-$i', 1, 'ann\@example.com')",
			on_error_stop => 1);
		is( $node->safe_psql(
				'postgres',
				"SELECT 'warm: ' || outcome('warm-$n-$i') || '; new: ' || outcome('fresh-$n-$i')"
			),
			"warm: $expected; new: $expected",
			"$what: " . (ref $change ? $$change : $change) =~ s/\s+/ /gr);
	}
	$in .= "\\q\n";
	$warm->finish;
	unlike($err, qr/ERROR|FATAL|PANIC/, "$what: no statement failed");
	return $err;
}

my $person =
  'email=(SELECT p.email FROM ref.person AS p WHERE p.no = $1.person)';
my $said;

# ---- objects that an expression reads ----

$said = run(
	'the type of a column that is looked up',
	mapping => [$person],
	steps => [
		[ 'ALTER TABLE ref.person ALTER email TYPE text', 'queued ann' ],
		[
			q{ALTER TABLE ref.person ALTER email TYPE text[] USING ARRAY[email]},
			'queued ann'
		],
		[
			q{ALTER TABLE ref.person ALTER email TYPE jsonb USING to_jsonb(email)},
			'queued ann'
		],
		[
			q{CREATE DOMAIN ref.mail AS text; ALTER TABLE ref.person ALTER email TYPE ref.mail USING email ->> 0},
			'queued ann'
		],
		[
			q{CREATE TYPE ref.mails AS ENUM ('ann@example.com', 'bob@example.com'); ALTER TABLE ref.person ALTER email TYPE ref.mails USING email::text::ref.mails},
			'queued ann'
		],
		[
			q{ALTER TYPE ref.mails RENAME VALUE 'bob@example.com' TO 'x'; ALTER TYPE ref.mails RENAME VALUE 'ann@example.com' TO 'bob@example.com'},
			'queued bob'
		]
	]);
unlike($said, qr/WARNING/, 'nothing is wrong');

run('opt-out',
	mapping => [
		'email=email',
		'opt_out=(SELECT p.opted_out FROM ref.person AS p WHERE p.no = $1.person)'
	],
	steps => [
		[ 'UPDATE ref.person SET opted_out = true', 'suppressed opted out' ],
		[
			'ALTER TABLE ref.person ALTER opted_out DROP DEFAULT, ALTER opted_out TYPE text USING opted_out::text',
			'suppressed opted out'
		]
	]);

run('consent',
	mapping => [
		'email=email',
		'consent=(SELECT p.refuses FROM ref.person AS p WHERE p.no = $1.person)'
	],
	steps => [
		[
			q{UPDATE ref.person SET refuses = '{"refused": true}'},
			'suppressed consent rule refused'
		],
		[
			'ALTER TABLE ref.person ALTER refuses DROP DEFAULT, ALTER refuses TYPE json',
			'suppressed consent rule refused'
		]
	]);

$said = run(
	'a column, a table that is gone',
	mapping => [$person],
	steps => [
		[
			'ALTER TABLE ref.person RENAME email TO mail',
			'rejected mapping: email'
		],
		[ 'ALTER TABLE ref.person RENAME mail TO email', 'queued ann' ],
		[ 'ALTER TABLE ref.person DROP email', 'rejected mapping: email' ],
		[
			q{ALTER TABLE ref.person ADD email text DEFAULT 'bob@example.com'},
			'queued bob'
		],
		[
			'ALTER TABLE ref.person RENAME TO people',
			'rejected mapping: email'
		],
		[
			q{CREATE TABLE ref.person AS SELECT 1 AS no, 'cat@example.com' AS email; GRANT SELECT ON ref.person TO shop},
			'queued cat'
		],
		[ 'DROP TABLE ref.person', 'rejected mapping: email' ],
		[
			'CREATE VIEW ref.person AS SELECT no, email FROM ref.people; GRANT SELECT ON ref.person TO shop',
			'queued bob'
		],
		[
			q{CREATE OR REPLACE VIEW ref.person AS SELECT no, 'cat@example.com'::text AS email FROM ref.people},
			'queued cat'
		],
		[ 'DROP SCHEMA ref CASCADE', 'rejected mapping: email' ]
	]);
is(() = $said =~ /WARNING/g, 1, 'one WARNING a session');
like(
	$said,
	qr/WARNING:  mapping of "email" in trigger "pinterest" on table public\.orders/,
	'which names trigger, table and key');
like($said, qr/HINT: /, 'and has a hint');

$said = run(
	'rights',
	mapping => [ $person, 'external_id=(ref.number($1.person))' ],
	before =>
	  q{CREATE FUNCTION ref.number(integer) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'},
	steps => [
		[
			'REVOKE SELECT ON ref.person FROM shop',
			'rejected mapping: email'
		],
		[ 'GRANT SELECT ON ref.person TO shop', 'queued ann' ],
		[ 'REVOKE USAGE ON SCHEMA ref FROM shop', 'rejected mapping: email' ],
		[ 'GRANT USAGE ON SCHEMA ref TO shop', 'queued ann' ],
		[
			'REVOKE EXECUTE ON FUNCTION ref.number FROM PUBLIC',
			'rejected mapping: external_id'
		],
		[ 'GRANT EXECUTE ON FUNCTION ref.number TO shop', 'queued ann' ]
	]);
is(() = $said =~ /WARNING/g, 2, 'one WARNING for each key');

run('a function',
	mapping => ['email=(ref.address($1.person))'],
	before =>
	  q{CREATE FUNCTION ref.address(integer) RETURNS text LANGUAGE sql AS $$ SELECT 'ann@example.com' $$},
	steps => [
		[
			q{CREATE OR REPLACE FUNCTION ref.address(integer) RETURNS text LANGUAGE sql AS $$ SELECT 'bob@example.com' $$},
			'queued bob'
		],
		[
			q{CREATE OR REPLACE FUNCTION ref.address(integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'cat@example.com'; END $$},
			'queued cat'
		],
		[ 'DROP FUNCTION ref.address', 'rejected mapping: email' ],
		[
			q{CREATE FUNCTION ref.address(bigint) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '["ann@example.com"]'; END $$},
			'queued ann'
		],
		[
			q{CREATE FUNCTION ref.address(integer) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RETURN '{bob@example.com}'; END $$},
			'queued bob'
		],
		[
			q{CREATE OR REPLACE FUNCTION ref.address(integer) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$},
			'rejected mapping: email'
		]
	]);

# ---- the meaning of a name ----

run('search_path',
	mapping =>
	  ['email=(SELECT p.email FROM person AS p WHERE p.no = $1.person)'],
	session => 'SET ROLE shop; SET search_path = public, ref;',
	before => 'DROP TABLE IF EXISTS public.person',
	steps => [
		[
			q{CREATE TABLE public.person AS SELECT 1 AS no, 'bob@example.com' AS email; GRANT SELECT ON public.person TO shop},
			'queued bob'
		],
		[
			\q{CREATE TEMP TABLE other (no integer); CREATE TEMP TABLE person AS SELECT 1 AS no, 'cat@example.com' AS email},
			'queued cat'
		],
		[
			\q{DROP TABLE IF EXISTS pg_temp.person; SET search_path = ref},
			'queued ann'
		],
		[ \q{SET search_path = ''}, 'rejected mapping: email' ]
	]);
$node->safe_psql('postgres', 'DROP TABLE public.person');

run('row security and a change of role',
	mapping => [$person],
	before => q{
		DROP ROLE IF EXISTS clerk; CREATE ROLE clerk; GRANT USAGE ON SCHEMA ref TO clerk; GRANT SELECT ON ref.person TO clerk;
		GRANT ALL ON orders TO clerk; GRANT shop, clerk TO CURRENT_USER;
		ALTER TABLE ref.person ENABLE ROW LEVEL SECURITY;
		CREATE POLICY ann ON ref.person TO shop USING (email LIKE 'ann%');
		CREATE POLICY bob ON ref.person TO clerk USING (email LIKE 'bob%')},
	steps => [
		[ \'SET ROLE clerk', 'suppressed no identifier' ],
		[ \'SET ROLE shop', 'queued ann' ],
		[ 'REVOKE USAGE ON SCHEMA ref FROM clerk', 'queued ann' ],
		[ \'SET ROLE clerk', 'rejected mapping: email' ],
		[ \'RESET ROLE', 'queued ann' ]
	]);
$node->safe_psql('postgres', 'DROP OWNED BY clerk; DROP ROLE clerk');

# ---- a long transaction ----

{
	my ($in, $out) = ('', '');

	$node->safe_psql(
		'postgres', q{
		CREATE SCHEMA IF NOT EXISTS ref;
		CREATE FUNCTION ref.address() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'ann@example.com'; END $$;
		CREATE TABLE long (id text);
		CREATE TRIGGER t AFTER INSERT ON long FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'event_id=id', 'email=(ref.address())')}
	);
	my $session = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \$in,
		'>' => \$out,
		my $timer =
		  IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$in .=
	  "BEGIN; INSERT INTO long VALUES ('long-0'); INSERT INTO long VALUES ('long-1');\n\\echo first\n";
	$session->pump until $out =~ /first/ || !$session->pumpable;
	$node->safe_psql('postgres',
		q{CREATE OR REPLACE FUNCTION ref.address() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'bob@example.com'; END $$}
	);
	$in .= "INSERT INTO long VALUES ('long-2');\n\\echo second\n";
	$session->pump until $out =~ /second/ || !$session->pumpable;
	$node->safe_psql('postgres', 'DROP FUNCTION ref.address()');
	$in .= "INSERT INTO long VALUES ('long-3'); COMMIT;\n\\q\n";
	$session->finish;
	is( $node->safe_psql(
			'postgres',
			q{SELECT outcome('long-1'), outcome('long-2'), outcome('long-3')}
		),
		'queued ann|queued bob|rejected mapping: email',
		'a change by others is seen by the next row of an open transaction');
}

# ---- the table itself ----

run('the table',
	mapping => [ 'email=email', 'external_id=(to_jsonb($1) ->> $$person$$)' ],
	steps => [
		[
			'ALTER TABLE orders ADD more text, ALTER email TYPE varchar(50)',
			'queued ann'
		],
		[
			'ALTER TABLE orders DROP more, ALTER person TYPE bigint',
			'queued ann'
		],
		[
			q{ALTER TABLE orders DROP email; ALTER TABLE orders ADD email text},
			'queued ann'
		],
		[
			'ALTER TABLE orders RENAME email TO mail',
			'rejected mapping: email',
			'INSERT INTO orders (id, person, mail) VALUES '
		],
		[ 'ALTER TABLE orders RENAME mail TO email', 'queued ann' ],
		[ 'ALTER TRIGGER pinterest ON orders RENAME TO other', 'queued ann' ],
		[
			q{CREATE OR REPLACE TRIGGER other AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION
			pinterest_capi.track_trigger('lead', 'event_id=id', 'email:=bob@example.com')},
			'queued bob'
		],
		[
			q{DROP TRIGGER other ON orders; CREATE TRIGGER other AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION
			pinterest_capi.track_trigger('lead', 'event_id=id', 'email:=cat@example.com')},
			'queued cat'
		]
	]);

run('partitions',
	mapping => ['email=(($1).email)'],
	partition => 'PARTITION BY LIST (person)',
	before => 'CREATE TABLE one PARTITION OF orders FOR VALUES IN (1)',
	steps => [
		[
			q{DROP TABLE one; CREATE TABLE other (gap integer, email text, gone text, person integer, id text);
			ALTER TABLE other DROP gap, DROP gone; ALTER TABLE orders ATTACH PARTITION other FOR VALUES IN (1)},
			'queued ann'
		],
		[
			'ALTER TABLE orders ADD more text, ALTER email TYPE varchar(50)',
			'queued ann'
		]
	]);

# A partition whose concurrent detachment was not finished belongs to no
# table.
{
	my ($in, $out) = ('', '');

	$node->safe_psql(
		'postgres', q{
		DROP TABLE orders CASCADE;
		CREATE TABLE orders (id text, person integer) PARTITION BY LIST (person);
		CREATE TABLE one PARTITION OF orders FOR VALUES IN (1);
		CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'event_id=id', 'email=(ref.nothing())')}
	);
	my $reader = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \$in,
		'>' => \$out,
		my $timer =
		  IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$in .= "BEGIN; SELECT count(*) FROM orders;\n\\echo read\n";
	$reader->pump until $out =~ /read/ || !$reader->pumpable;
	$node->psql('postgres',
		qq{SET statement_timeout = '300ms';\nALTER TABLE orders DETACH PARTITION one CONCURRENTLY}
	);
	is( $node->safe_psql(
			'postgres',
			q{SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'one'::regclass}
		),
		't',
		'a partition is about to be detached');
	is( $node->safe_psql(
			'postgres',
			q{INSERT INTO one VALUES ('pending', 1); SELECT outcome('pending')}
		),
		'rejected mapping: email',
		'and takes a row');
	$in .= "COMMIT;\n\\q\n";
	$reader->finish;
}

# A session of a pool makes such tables for years.
{
	my $tables = 500;
	my $create =
	  q{CREATE TEMP TABLE basket (id integer, mail text); CREATE TRIGGER t AFTER INSERT ON basket FOR EACH ROW
		EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'event_id=id', 'email=(lower($1.mail))')};
	my $kept = $node->safe_psql(
		'postgres',
		join(
			";\n",
			map({ "$create; INSERT INTO basket VALUES ($_, 'a\@example.com'); DROP TABLE basket"
				} 1 .. $tables),
			q{SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'pinterest_capi trigger'}
		));

	cmp_ok(
		$kept, '<',
		$tables / 2,
		'of tables that are gone a session keeps little');
}

$node->stop;
done_testing();
