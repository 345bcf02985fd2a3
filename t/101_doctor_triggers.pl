# doctor() checks every trigger that tracks, says which mapping is wrong and
# what to do, and neither fires a trigger nor runs a mapped function.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use PinterestStub qw(new_node sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# nothing is sent
my $node = new_node('shop', conf => "pinterest_capi.dispatch = off\n");

# Return the check's rows, one a line.
sub says
{
	my ($as) = @_;

	return sql(($as ? "SET ROLE $as;" : '')
		. q{SELECT string_agg(status || ' ' || advice, E'\n') FROM pinterest_capi.doctor() WHERE "check" = 'triggers'}
	);
}

sub trigger
{
	my ($table, $name, @arguments) = @_;

	sql("CREATE TRIGGER $name AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger("
		  . join(', ', map { "\$a\$$_\$a\$" } @arguments)
		  . ')');
	return;
}

sql(q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('Lead');
	CREATE ROLE shop; CREATE ROLE owner; CREATE ROLE watcher;
	SELECT pinterest_capi.grant_access('watcher', 'monitor'), pinterest_capi.grant_access('owner', 'track');
	GRANT CREATE ON SCHEMA public TO owner;
	CREATE SCHEMA ref AUTHORIZATION owner;
	SET ROLE owner;
	CREATE TABLE ref.person (no integer, email text);
	CREATE FUNCTION ref.name(integer) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
	CREATE TABLE orders (id integer, email text);
	GRANT INSERT ON orders TO shop;
	GRANT USAGE ON SCHEMA ref TO shop;
	GRANT SELECT ON ref.person TO shop});
is(says(), 'ok No trigger tracks.', 'no trigger');

trigger(
	'orders',
	'pinterest',
	'lead',
	'email=email',
	'ln=(SELECT p.email FROM ref.person AS p WHERE p.no = $1.id)',
	'fn=(ref.name($1.id))',
	'event_id=id');
is(says(), 'ok Triggers that track: 1.', 'a trigger that is right');

# What is tried in a subtransaction can't be in a parallel plan.
my $parallel =
  sql('SHOW server_version_num') < 160000
  ? 'force_parallel_mode'
  : 'debug_parallel_query';
for my $function (qw(doctor report_html))
{
	is( sql("SET $parallel = on; SELECT count(*) > 0 FROM pinterest_capi.$function()"
		),
		't',
		"$function() where plans are parallel");
}
trigger('orders', 'other', 'Nobody', 'email=email');
is( says(),
	q{ok Triggers that track: 2. No destination allows their 'Nobody', so these events are suppressed.},
	'an event that nobody allows');
sql('DROP TRIGGER other ON orders');

# ---- changes of tables and rights ----

for my $case (
	[
		'ALTER TABLE orders RENAME email TO mail',
		'ALTER TABLE orders RENAME mail TO email',
		qr/^error pinterest on orders, mapping of email: The table has no column "email"\. Write 'key=column'/
	],
	[
		'ALTER TABLE ref.person RENAME TO people',
		'ALTER TABLE ref.people RENAME TO person',
		qr/^error pinterest on orders, mapping of ln: Its expression can't be prepared: relation "ref\.person" does not exist\. Names/
	],
	[
		'REVOKE SELECT ON ref.person FROM shop',
		'GRANT SELECT ON ref.person TO shop',
		qr/^warning pinterest on orders, mapping of ln: Where role "shop" writes: permission denied for table person\. Grant/
	],
	[
		'REVOKE USAGE ON SCHEMA ref FROM shop',
		'GRANT USAGE ON SCHEMA ref TO shop',
		qr/^warning pinterest on orders, mapping of \w+: Where role "shop" writes: permission denied for schema ref\. Grant.*\n.*, mapping of \w+: Where role/
	],
	[
		'REVOKE EXECUTE ON FUNCTION ref.name FROM PUBLIC',
		'GRANT EXECUTE ON FUNCTION ref.name TO PUBLIC',
		qr/^warning pinterest on orders, mapping of fn: Where role "shop" writes: permission denied for function name\. Grant/
	],
	[
		'ALTER TABLE orders DISABLE TRIGGER pinterest; ALTER TABLE orders DROP email',
		'ALTER TABLE orders ADD email text, ENABLE TRIGGER pinterest',
		qr/^warning pinterest on orders \(disabled\), mapping of email: /
	])
{
	my ($break, $mend, $expected) = @$case;

	sql($break);
	like(says(), $expected, $break);
	like(says('watcher'), $expected,
		"$break, asked by a role that may only watch");
	sql($mend);
	is(says(), 'ok Triggers that track: 1.', $mend);
}

# ---- mistakes ----

trigger(
	'orders', 'wrong',
	'Lead', 'email',
	'e_mail=email', 'ph=email',
	'ph=id', 'action_source:=phone',
	'ct=(SELECT 1, 2)', 'jane@example.com=id');
my $said = says();
like(
	$said,
	qr/^error wrong on orders, mapping of $_: .+\. .+\.$/m,
	"a mistake: $_"
) for ('email', 'e_mail', 'ph', 'action_source', 'ct', 'argument 8');
unlike($said, qr/jane/, 'what is no key is not quoted');
sql('DROP TRIGGER wrong ON orders');
sql(q{CREATE TRIGGER wrong BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger()}
);
like(
	says(),
	qr/^error wrong on orders: It is not a row-level AFTER trigger, so its events are rejected\. Write CREATE TRIGGER/m,
	'one of another kind');
like(
	says(),
	qr/^error wrong on orders, mapping of event_name: The event has no name\./m,
	'without a name');
sql('DROP TRIGGER wrong ON orders');

# ---- partitions ----

sql(q{
	CREATE TABLE parted (id integer, email text) PARTITION BY LIST (id);
	CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF parted FOR VALUES IN (2)});
trigger('parted', 'all_parts', 'Lead', 'email=mail');
trigger('part_1', 'one_part', 'Lead', 'email=mail');
$said = says();
is(() = $said =~ /\ball_parts on parted\b/g, 1, 'a partitioned table');
is(() = $said =~ /\ball_parts on/g,
	1, 'once, however many partitions there are');
like(
	$said,
	qr/^error one_part on part_1, mapping of email/m,
	'a partition\'s own trigger');
sql('DROP TABLE parted');

# ---- doctor() doesn't wait for a locked table ----

{
	my ($in, $out) = ('', '');
	my $locker = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \$in,
		'>' => \$out);

	$in .=
	  "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n";
	$locker->pump until $out =~ /held/ || !$locker->pumpable;
	is( says(),
		'warning pinterest on orders: Its table is locked, so that it was not looked at. Ask again when the lock is gone.',
		'a locked table');
	$in .= "COMMIT;\n\\q\n";
	$locker->finish;
}

# ---- nothing is run as the role that asks ----

# the one who asks, who has another name for an ordinary user of the machine
my $superuser = sql('SELECT current_user');

sql(q{
	SET ROLE owner;
	CREATE TABLE caught (who text, of text);
	CREATE FUNCTION note(of text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'note as %, of %', current_user, of; RETURN true; END $$;
	CREATE FUNCTION note_now(of text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(of); RETURN of; END $$;
	CREATE DOMAIN noting AS text CHECK (public.note(VALUE));
	CREATE TYPE pair AS (a noting, b integer);
	} . qq{GRANT INSERT ON orders TO "$superuser"});
trigger(
	'orders', 'planted', 'Lead',
	'ln=(public.note_now($$folded$$))',
	q{fn=(('(literal,1)'::public.pair).a)});
my $log = -s $node->logfile;
is(says(), 'ok Triggers that track: 2.', 'a trigger with code in it');
unlike(
	slurp_file($node->logfile, $log),
	qr/note as \Q$superuser\E/,
	'none of which runs as who asks');
sql('DROP TRIGGER planted ON orders');

# ---- faults that only rows show ----

is(sql('SELECT count(*) FROM pinterest_capi.dispatch_status'),
	0, 'nothing was tracked by asking');
trigger('orders', 'late', 'Lead', 'value=(1 / ($1.id - 7))');
is( says(),
	'ok Triggers that track: 2.',
	'an expression that fails with some rows');
sql(q{INSERT INTO orders VALUES (7, 'ann@example.com'), (8, 'bob@example.com')}
);
like(
	says(),
	qr/^warning 1 of the last day's events were rejected since a trigger's mapping could not be used, most of them 'Lead', by "mapping: value"\. .*dispatch_status WHERE reason = 'mapping: value';$/m,
	'is found by what was recorded');

$node->stop;
done_testing();
