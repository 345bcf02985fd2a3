# A shop's trigger fails no order when the extension's owner has lost a right
# of his own or the schema its name, also in sessions that began before.  It
# says why there is no event, and works again once that is undone.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('rights', $stub);
my $orders = 0;

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

sub doctor
{
	return sql(
		q{SELECT string_agg(status || ': ' || advice, E'\n') FROM pinterest_capi.doctor() WHERE "check" = 'privileges'}
	);
}

# The extension's owner has only the rights that he is given.
sql('CREATE ROLE keeper NOSUPERUSER',
	q{DO $$
		DECLARE o record;
		BEGIN
			FOR o IN SELECT format('ALTER %s %s OWNER TO keeper', CASE c.relkind WHEN 'r' THEN 'TABLE' ELSE 'VIEW' END, c.oid::regclass) AS ddl
				FROM pg_class AS c WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind IN ('r', 'v')
				UNION ALL SELECT format('ALTER FUNCTION %s OWNER TO keeper', p.oid::regprocedure) FROM pg_proc AS p WHERE p.pronamespace = 'pinterest_capi'::regnamespace
			LOOP
				EXECUTE o.ddl;
			END LOOP;
		END $$},
	'ALTER SCHEMA pinterest_capi OWNER TO keeper');
sql('CREATE TABLE orders (id integer PRIMARY KEY, email text, browser text)',
	q{CREATE TRIGGER pinterest AFTER INSERT ON orders FOR EACH ROW
		EXECUTE FUNCTION pinterest_capi.track_trigger('Checkout', 'em=email', 'event_id=id', 'visitor_id=browser')},
	q{SELECT pinterest_capi.identify('somebody', '{"ph": "+12125551234"}')},
	q{SELECT pinterest_capi.forget('somebody else')});
my $warm = $node->background_psql('postgres');

# Insert an order in a new session and in one that began before; return their
# messages.
sub order
{
	my ($name) = @_;
	my ($out, $err) = ('', '');
	my $said = '';

	$orders++;
	is( $node->psql(
			'postgres',
			"INSERT INTO orders VALUES ($orders, 'a\@example.com', 'somebody')",
			stderr => \$err),
		0,
		"$name: an order in a new session");
	$said .= $err;
	$orders++;
	$warm->{stderr} = '';
	$warm->query(
		"INSERT INTO orders VALUES ($orders, 'a\@example.com', 'somebody')");
	is(sql("SELECT count(*) FROM orders WHERE id = $orders"),
		'1', "$name: an order in an old session");
	return $said . $warm->{stderr};
}

sub no_event
{
	my ($name, $why) = @_;
	my $said = order($name);

	like(
		$said,
		qr/WARNING:  trigger "pinterest" on table public\.orders can't record events, since .*$why/,
		"$name: the session hears why");
	unlike($said, qr/example\.com|somebody/, "$name: and no value");
	return;
}

sub an_event
{
	my ($name) = @_;

	order($name);
	is( sql("SELECT count(*) FROM pinterest_capi._event WHERE event_id IN ('$orders', '@{[$orders - 1]}') AND payload IS NOT NULL"
		),
		'2',
		"$name: two events");
	return;
}

an_event('before');
for my $lost (
	'SELECT ON pinterest_capi._suppression',
	'ALL ON FUNCTION pinterest_capi._fold(text)')
{
	sql("REVOKE $lost FROM keeper",
		q{UPDATE pinterest_capi.destination SET test_mode = test_mode});
	no_event($lost, 'lacks a right');
	my $advice = doctor();
	like(
		$advice,
		qr/^error: The extension's owner, keeper, .*GRANT/,
		"$lost: doctor objects");
	my ($cure) = $advice =~ /: (GRANT .*);$/;
	sql($cure);
	like(doctor(), qr/^ok/, "$lost: doctor()'s advice repairs it");
	an_event("$lost: given back");
}

# Where doctor() can't read either, the server's error names the missing
# right.
for my $lost (
	[ 'ALL TABLES IN SCHEMA pinterest_capi' => '' ],
	[ 'SCHEMA pinterest_capi' => ', PUBLIC' ])
{
	my ($on, $others) = @$lost;

	sql("REVOKE ALL ON $on FROM keeper$others",
		q{UPDATE pinterest_capi.destination SET test_mode = test_mode});
	no_event($on, 'lacks a right');
	sql("GRANT ALL ON $on TO keeper");
	an_event("$on: given back");
}

# A missing right that an event doesn't need keeps no event from being
# recorded.
sql('REVOKE ALL ON pinterest_capi._visitor FROM keeper');
an_event('rights that no event needs');
like(
	doctor(),
	qr/^error: .*GRANT ALL ON pinterest_capi\._visitor TO keeper;$/,
	'doctor objects to these too');
sql('GRANT ALL ON pinterest_capi._visitor TO keeper');

sql('ALTER SCHEMA pinterest_capi RENAME TO elsewhere');
no_event('schema renamed', 'tables are not found');
my ($code, $out, $err) =
  $node->psql('postgres', q{SELECT elsewhere.track('Checkout')});
like(
	$err,
	qr/HINT: .*name pinterest_capi again/,
	'schema renamed: a call is told what to do');
sql('ALTER SCHEMA elsewhere RENAME TO pinterest_capi');
an_event('schema named as before');

$warm->quit;
is(sql(q{SELECT pinterest_capi.flush('20 s')}),
	't', 'all that was recorded is sent');
clean_log($node);
done_testing();
