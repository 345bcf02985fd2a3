# An error in the middle of a call ends the statement and no more: the session
# and the transactions in it go on as after any other error.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('errors');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"pinterest_capi.proxy = 'http://127.0.0.1:1'\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead', properties => '{*}');
	CREATE TABLE notes (n integer);
	CREATE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE serialization_failure; END $$;
	CREATE FUNCTION wait() RETURNS text LANGUAGE sql AS $$ SELECT pg_sleep(100)::text $$;
	CREATE TABLE failing (id integer);
	CREATE TRIGGER t AFTER INSERT ON failing FOR EACH ROW EXECUTE FUNCTION
		pinterest_capi.track_trigger('lead', 'order_id=(SELECT fail())', 'event_id=id', 'em:=a@shop.example');
	CREATE TABLE waiting (id integer);
	CREATE TRIGGER t AFTER INSERT ON waiting FOR EACH ROW EXECUTE FUNCTION
		pinterest_capi.track_trigger('lead', 'order_id=(SELECT wait())', 'event_id=id', 'em:=a@shop.example')}
);

# Waiting for a lock that an expression needs must not fail an order.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE looked_up (id integer);
	CREATE TABLE patient (id integer);
	CREATE TRIGGER t AFTER INSERT ON patient FOR EACH ROW EXECUTE FUNCTION
		pinterest_capi.track_trigger('lead', 'order_id=(SELECT l.id FROM looked_up AS l)', 'event_id=id', 'em:=a@shop.example')}
);
{
	my ($locked, $said) = ('', '');
	my $locker = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \my $sql,
		'>' => \$locked);

	$sql .=
	  "BEGIN; LOCK TABLE looked_up IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n";
	$locker->pump until $locked =~ /held/ || !$locker->pumpable;
	IPC::Run::run(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \
		  q{SET client_min_messages = error; SET lock_timeout = '100ms'; INSERT INTO patient VALUES (77) RETURNING 'written';
			SELECT reason FROM pinterest_capi.dispatch_status WHERE event_id = '77'},
		'>' => \$said,
		'2>&1');
	is( $said,
		"written\nmapping: order_id\n",
		'lock_timeout ends the wait of an expression, not the statement');
	$sql .= "COMMIT;\n\\q\n";
	$locker->finish;
}

# Another session holds a lock on a table that flush reads.
my ($in, $out) = ('', '');
my $holder = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
	'<' => \$in,
	'>' => \$out);
$in .=
  "BEGIN; LOCK TABLE pinterest_capi._lease IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n";
$holder->pump until $out =~ /held/ || !$holder->pumpable;

my %failing = (
	'an expression of a trigger meets a serialization failure' =>
	  [ 'INSERT INTO failing VALUES (1)', '40001' ],
	'an expression of a trigger is cancelled' => [
		"SET statement_timeout = '200ms'; INSERT INTO waiting VALUES (1)",
		'57014'
	],
	'flush waits for a lock in vain' => [
		"SET lock_timeout = '200ms'; SELECT pinterest_capi.flush('5 seconds')",
		'55P03'
	]);
for my $what (sort keys %failing)
{
	my ($sql, $code) = @{ $failing{$what} };
	my $said = '';

	IPC::Run::run(
		[
			'psql', '-XAtq',
			'-v', 'VERBOSITY=sqlstate',
			'-d', $node->connstr('postgres')
		],
		'<' => \qq{
			$sql;
			RESET ALL;
			SELECT 'alone';
			ROLLBACK;
			BEGIN; INSERT INTO notes VALUES (1); SAVEPOINT a; $sql; ROLLBACK TO a; RESET ALL; INSERT INTO notes VALUES (2); COMMIT;
			DO \$\$ BEGIN INSERT INTO notes VALUES (3); BEGIN PERFORM pinterest_capi.preview('lead'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN INSERT INTO notes VALUES (4); END; END \$\$;
			SELECT string_agg(n::text, ' ' ORDER BY n) FROM notes; TRUNCATE notes},
		'>' => \$said,
		'2>&1');
	is( $said =~ s/^(?:psql:\S* )?//gmr,
		"ERROR:  $code\nalone\nWARNING:  25P01\nERROR:  $code\n1 2 3 4\n",
		"$what: the session goes on");
}
$in .= "COMMIT;\n\\q\n";
$holder->finish;
is($node->safe_psql('postgres', 'SELECT count(*) FROM failing, waiting'),
	'0', 'and has no effect');

$node->stop;
done_testing();
