# doctor() names an index of the extension's tables that is missing or not
# valid, and a table that somebody has changed, so that its rows are written by
# statements; following its advice repairs the fault.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('tables', $stub);

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

sub doctor
{
	return sql(
		q{SELECT string_agg(status || ': ' || advice, E'\n') FROM pinterest_capi.doctor() WHERE "check" = 'tables'}
	);
}

like(doctor(), qr/^ok: /, 'all is well with new tables');

# Drop each index that the script makes: doctor() names it, and its advice
# creates it again.
for my $index (
	split /\n/,
	sql(q{SELECT i.indexrelid::regclass || ' ' || i.indisprimary || ' ' || coalesce(k.conname, '') || ' ' || i.indrelid::regclass
		FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
			LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
		WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind = 'r' ORDER BY 1}
	))
{
	my ($name, $primary, $constraint, $table) = split / /, $index;

	# an index that foreign keys need can't be dropped
	sql($constraint
		? "ALTER TABLE $table DROP CONSTRAINT $constraint CASCADE"
		: "DROP INDEX $name");
	my $said = doctor();
	like(
		$said,
		qr/^(error|warning): \Q$table\E has no .*index on .*;$/,
		"$name: missed");
	my ($cure) = $said =~ /: ((?:ALTER|CREATE) [^;]*);$/;
	ok($cure, "$name: there is a cure") and sql($cure);
	like(doctor(), qr/^ok: /, "$name: is back");
}

# the key of _event without what the worker reads beside it
sql('ALTER TABLE pinterest_capi._event DROP CONSTRAINT _event_pkey CASCADE',
	'ALTER TABLE pinterest_capi._event ADD PRIMARY KEY (id)');
my $said = doctor();
like(
	$said,
	qr/^warning: pinterest_capi\._event has no index on id, dest.*;$/,
	'a key without the destination: told of');
my ($cure) = $said =~ /: (CREATE [^;]*);$/;
sql($cure);
like(doctor(), qr/^ok: /, 'and well by the cure');

# the sequence of ids
for my $change ('CACHE 20', 'INCREMENT 2', 'CYCLE')
{
	sql("ALTER SEQUENCE pinterest_capi._event_id_seq $change");
	$said = doctor();
	like(
		$said,
		qr/^error: Ids are not drawn one by one/,
		"a sequence with $change: told of");
	($cure) = $said =~ /: (ALTER SEQUENCE [^;]*);$/;
	sql($cure);
	like(doctor(), qr/^ok: /, 'and well by the cure');
}

# an invalid index of an interrupted statement, beside the valid one
sql(track_sql('a'));
my ($code) = $node->psql('postgres',
	'CREATE UNIQUE INDEX CONCURRENTLY left_behind ON pinterest_capi._event ((1 / (length(event_id) - 1)))'
);
isnt($code, 0, 'an index that fails');
like(
	doctor(),
	qr/^warning: The index pinterest_capi\.left_behind is not valid.*DROP INDEX CONCURRENTLY pinterest_capi\.left_behind;/m,
	'is told of');
sql('DROP INDEX pinterest_capi.left_behind');

# the only one for its key
sql('UPDATE pg_index SET indisvalid = false WHERE indexrelid = \'pinterest_capi._event_dedup\'::regclass'
);
$said = doctor();
like(
	$said,
	qr/^error: The index pinterest_capi\._event_dedup of pinterest_capi\._event is not valid.*REINDEX INDEX CONCURRENTLY/,
	'an index that is not used any more');
($cure) = $said =~ /: (REINDEX [^;]*);$/;
sql($cure);
like(doctor(), qr/^ok: /, 'is made anew');

for my $change (
	[
		'ALTER TABLE pinterest_capi._event ADD COLUMN shop integer DEFAULT 7',
		'ALTER TABLE pinterest_capi._event DROP COLUMN shop'
	],
	[
		'ALTER TABLE pinterest_capi._retry ADD CHECK (attempts >= 0)',
		'ALTER TABLE pinterest_capi._retry DROP CONSTRAINT _retry_attempts_check'
	])
{
	my ($do, $undo) = @$change;
	my ($table) = $do =~ /(pinterest_capi\.\w+)/;

	sql($do);
	like(
		doctor(),
		qr/^warning: \Q$table\E is not as the extension made it.*written by statements/,
		"$do: told of");
	sql($undo);
	like(doctor(), qr/^ok: /, "$undo: well again");
}

# the level monitor may call doctor()
sql('CREATE ROLE watcher',
	q{SELECT pinterest_capi.grant_access('watcher', 'monitor')});
like(
	sql(q{SET ROLE watcher; SELECT status FROM pinterest_capi.doctor() WHERE "check" = 'tables'}
	),
	qr/^ok$/,
	'level monitor is enough');
done_testing();
