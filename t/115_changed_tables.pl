# Columns, defaults, checks and triggers that somebody adds to the extension's
# tables take effect (pg_repack follows a table by a trigger).  Whatever is
# done to the tables, an event is queued and sent, and no transaction fails,
# also in sessions that began before.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node =
  setup_node('changed', $stub, conf => "allow_in_place_tablespaces = on\n");
my $warm = $node->background_psql('postgres');
my $ids = 0;

# a known visitor's click, so that _visitor is read as well
sub track_of
{
	my ($id) = @_;

	return
	  qq{SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'somebody', event_id => '$id')};
}

sql(q{SELECT pinterest_capi.identify('somebody', '{"em": "a@example.com"}')});
$warm->query_safe(track_of('before'));
is(sql(q{SELECT pinterest_capi.flush('20 s')}),
	't', 'one that nobody sees is sent');

# Track twice the same event, in a new session and in one that began before:
# one row for each id, and both are sent.
sub works
{
	my ($name, %expected) = @_;
	my @id = ("new-$ids", "warm-$ids");
	my $rows = $expected{repeated} // 1;

	$ids++;
	sql(track_of($id[0]), track_of($id[0]));
	$warm->query_safe(track_of($id[1])) for 1 .. 2;
	is(sql(q{SELECT pinterest_capi.flush('20 s')}),
		't', "$name: nothing waits to be sent");
	is( sql("SELECT string_agg(DISTINCT status, ' '), count(*) FROM pinterest_capi.dispatch_status WHERE event_id IN ('$id[0]', '$id[1]')"
		),
		'sent|' . 2 * $rows,
		"$name: "
		  . (
			$rows == 1 ? 'each is one event, and it is sent' : 'all are sent')
	);
	return @id;
}

# name, change, its reversal
sub survives
{
	my ($name, $change, $back, %expected) = @_;

	sql($change);
	my @id = works($name, %expected);
	sql($back);
	return @id;
}

# ---- additions take effect ----

sql('CREATE TABLE log (id bigserial, name text, op text, value text)',
	q{CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
	'BEGIN INSERT INTO log (name, op, value) VALUES (TG_TABLE_NAME, TG_OP, coalesce(NEW, OLD)::text); RETURN NULL; END'}
);
for my $table (qw(_event _retry _outcome))
{
	sql("CREATE TRIGGER log AFTER INSERT OR UPDATE OR DELETE ON pinterest_capi.$table FOR EACH ROW EXECUTE FUNCTION log()",
		"ALTER TABLE pinterest_capi.$table ENABLE ALWAYS TRIGGER log");
}
works('a row trigger');
is( sql(q{SELECT string_agg(name || ' ' || op || ' ' || n, ', ' ORDER BY name, op) FROM (SELECT name, op, count(*) AS n FROM log GROUP BY 1, 2) AS l}
	),
	'_event INSERT 2, _outcome INSERT 2',
	'it sees each row that sessions and the worker write');
sql("DROP TRIGGER log ON pinterest_capi.$_") for qw(_event _retry _outcome);

# a transaction that began before
$warm->query_safe('TRUNCATE log');
$warm->query_safe('BEGIN');
$warm->query_safe(track_of('tx-1'));
$warm->query_safe(
	'CREATE TRIGGER log AFTER INSERT ON pinterest_capi._event FOR EACH ROW EXECUTE FUNCTION log()'
);
$warm->query_safe(track_of('tx-2'));
$warm->query_safe('DROP TRIGGER log ON pinterest_capi._event');
$warm->query_safe(track_of('tx-3'));
$warm->query_safe('COMMIT');
is( sql(q{SELECT string_agg(substring(value FROM 'tx-[0-9]'), ' ' ORDER BY id) FROM log}
	),
	'tx-2',
	'a trigger counts from the statement after it was made until it goes, within a transaction too'
);

sql(q{CREATE TRIGGER statement AFTER INSERT ON pinterest_capi._event REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION log()}
);
works('a statement trigger with a transition table');
sql('DROP TRIGGER statement ON pinterest_capi._event');

my @id = survives(
	'added columns',
	q{ALTER TABLE pinterest_capi._event ADD COLUMN shop integer NOT NULL DEFAULT 7, ADD CHECK (shop = 7 AND shop IS NOT NULL),
		ADD COLUMN len integer GENERATED ALWAYS AS (octet_length(payload)) STORED},
	'SELECT 1');
is( sql("SELECT DISTINCT shop, len = octet_length(payload) FROM pinterest_capi._event WHERE event_id IN ('$id[0]', '$id[1]')"
	),
	'7|t',
	'they have their default, their generated value');
sql('ALTER TABLE pinterest_capi._event DROP COLUMN shop, DROP COLUMN len');
works('columns that were dropped again');
survives(
	"added columns of $_",
	"ALTER TABLE pinterest_capi.$_ ADD COLUMN shop integer NOT NULL DEFAULT 7",
	"ALTER TABLE pinterest_capi.$_ DROP COLUMN shop"
) for qw(_retry _outcome _visitor);

@id = survives(
	'a default of a column that was there',
	q{ALTER TABLE pinterest_capi._event ALTER origin SET DEFAULT 'here'},
	'ALTER TABLE pinterest_capi._event ALTER origin DROP DEFAULT');
is( sql("SELECT DISTINCT origin FROM pinterest_capi._event WHERE event_id IN ('$id[0]', '$id[1]')"
	),
	'here',
	'it is taken');

sql(q{ALTER TABLE pinterest_capi._event ADD CONSTRAINT mine CHECK (event_id <> 'not this one')}
);
my ($ret, $out, $err) = $node->psql('postgres', track_of('not this one'));
like(
	$err,
	qr/violates check constraint "mine"/,
	'a check that somebody added is made');
sql('ALTER TABLE pinterest_capi._event DROP CONSTRAINT mine');

# ---- changes break nothing ----

survives(
	'an index over an expression',
	'CREATE INDEX mine ON pinterest_capi._event (lower(event_id))',
	'DROP INDEX pinterest_capi.mine');
survives(
	'a unique index',
	'CREATE UNIQUE INDEX mine ON pinterest_capi._event (event_id, dest, event_name)',
	'DROP INDEX pinterest_capi.mine');
survives(
	'an exclusion constraint',
	'ALTER TABLE pinterest_capi._event ADD CONSTRAINT mine EXCLUDE (event_id WITH =) DEFERRABLE INITIALLY DEFERRED',
	'ALTER TABLE pinterest_capi._event DROP CONSTRAINT mine');
survives(
	'row security',
	q{ALTER TABLE pinterest_capi._retry FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY},
	'ALTER TABLE pinterest_capi._retry NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY'
);
survives(
	'a child',
	'CREATE TABLE child () INHERITS (pinterest_capi._retry)',
	'DROP TABLE child');
survives(
	'a rule',
	q{CREATE RULE mine AS ON INSERT TO pinterest_capi._event DO ALSO INSERT INTO log (name) VALUES (NEW.event_id)},
	'DROP RULE mine ON pinterest_capi._event');
survives(
	'a foreign key',
	'CREATE TABLE mine (id bigint REFERENCES pinterest_capi._event)',
	'DROP TABLE mine');
survives(
	'unlogged tables',
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ SET UNLOGGED" }
		  qw(_event _retry _outcome)),
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ SET LOGGED" }
		  qw(_event _retry _outcome)));
sql(q{CREATE TABLESPACE elsewhere LOCATION ''});
survives(
	'another tablespace',
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ SET TABLESPACE elsewhere" }
		  qw(_event _retry _outcome)),
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ SET TABLESPACE pg_default" }
		  qw(_event _retry _outcome)));
survives(
	'another access method',
	join(';',
		'CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler',
		map { "ALTER TABLE pinterest_capi.$_ SET ACCESS METHOD heap2" }
		  qw(_event _retry _outcome _visitor)),
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ SET ACCESS METHOD heap" }
		  qw(_event _retry _outcome _visitor)));
survives(
	'a full replica identity',
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ REPLICA IDENTITY FULL" }
		  qw(_event _retry _outcome)),
	join(';',
		map { "ALTER TABLE pinterest_capi.$_ REPLICA IDENTITY DEFAULT" }
		  qw(_event _retry _outcome)));
sql('REINDEX SCHEMA pinterest_capi');
works('indexes that were rebuilt');
survives(
	'indexes under another name',
	'ALTER INDEX pinterest_capi._event_dedup RENAME TO a; ALTER INDEX pinterest_capi._retry_pkey RENAME TO b; ALTER INDEX pinterest_capi._event_pkey RENAME TO c; ALTER INDEX pinterest_capi._retry_due RENAME TO d; ALTER INDEX pinterest_capi._visitor_pkey RENAME TO e',
	'ALTER INDEX pinterest_capi.a RENAME TO _event_dedup; ALTER INDEX pinterest_capi.b RENAME TO _retry_pkey; ALTER INDEX pinterest_capi.c RENAME TO _event_pkey; ALTER INDEX pinterest_capi.d RENAME TO _retry_due; ALTER INDEX pinterest_capi.e RENAME TO _visitor_pkey'
);
survives(
	"without $_->[1]",
	"ALTER TABLE pinterest_capi.$_->[0] DROP CONSTRAINT $_->[1] CASCADE",
	"ALTER TABLE pinterest_capi.$_->[0] ADD CONSTRAINT $_->[1] PRIMARY KEY $_->[2]"
  )
  for [ '_event', '_event_pkey', '(id) INCLUDE (dest)' ],
  [ '_retry', '_retry_pkey', '(dest, id)' ],
  [ '_outcome', '_outcome_pkey', '(id)' ];
survives(
	'without the index of due times',
	'DROP INDEX pinterest_capi._retry_due',
	'CREATE INDEX _retry_due ON pinterest_capi._retry (dest, due_at) WHERE due_at IS NOT NULL'
);
survives(
	'a key without the destination beside it',
	'CREATE UNIQUE INDEX mine ON pinterest_capi._event (id); ALTER TABLE pinterest_capi._event DROP CONSTRAINT _event_pkey CASCADE',
	'DROP INDEX pinterest_capi.mine; ALTER TABLE pinterest_capi._event ADD PRIMARY KEY (id) INCLUDE (dest)'
);
survives(
	'without the index of event ids',
	'DROP INDEX pinterest_capi._event_dedup',
	'SELECT 1',
	repeated => 2);
sql('DELETE FROM pinterest_capi._event AS e USING pinterest_capi._event AS f WHERE e.event_id = f.event_id AND e.id > f.id',
	'CREATE UNIQUE INDEX _event_dedup ON pinterest_capi._event (event_id, event_name COLLATE "C", dest)'
);

# an invalid index that CREATE INDEX CONCURRENTLY left
for my $other ('',
	'ALTER TABLE pinterest_capi._event ADD COLUMN shop integer DEFAULT 7')
{
	sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pinterest_capi._event_dedup'::regclass"
	);
	sql('ALTER TABLE pinterest_capi._event SET (fillfactor = 100)');
	sql($other) if $other;
	works('an invalid index of event ids'
		  . ($other ? ', and a column more' : ''));
	sql("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'pinterest_capi._event_dedup'::regclass"
	);
}
sql('ALTER TABLE pinterest_capi._event DROP COLUMN shop');
works('all as it was');

unlike(
	slurp_file($node->logfile) =~ s/.*violates check constraint "mine".*//r,
	qr/ERROR|FATAL/, 'the log has no error but of the check');
clean_log($node);
$warm->quit;
done_testing();
