# A virtual generated column is sent as a query shows it: mapped by its name, read
# by an expression, and in a preview.  One that raises an error fails no statement.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(new_node sql clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('virtual', conf => 'pinterest_capi.dispatch = off');

plan skip_all => 'needs PostgreSQL 18' if $node->pg_version < 18;

sql('CREATE EXTENSION pinterest_capi',
	q{INSERT INTO pinterest_capi.destination (destination) VALUES ('default')},
	q{SELECT pinterest_capi.allow_event('E', 'Checkout', properties => '{*}')},
	<<'SQL',
CREATE TABLE orders (id integer, mail text, net numeric, note text, "Gross Total" numeric GENERATED ALWAYS AS (net * 1.19) VIRTUAL,
	address text GENERATED ALWAYS AS (lower(mail)) VIRTUAL, share numeric GENERATED ALWAYS AS (100 / net),
	long text GENERATED ALWAYS AS (CASE WHEN id = 3 THEN note END) VIRTUAL)
SQL
	q{ALTER TABLE orders ALTER COLUMN note SET STORAGE EXTERNAL},
	<<'SQL',
CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id', 'value=Gross Total',
	'currency:=EUR', 'email=address', 'content_name=($1."Gross Total"::text || $1.id)', 'content_category=(left(to_jsonb($1) ->> ''address'', 1))',
	'search_string=(left($1.long, 2))')
SQL
	q{CREATE TRIGGER u AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW."Gross Total" > 100)
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=(''u'' || $1.id)', 'value=share', 'currency:=EUR', 'email=address')}
);

sub row_of
{
	my ($id) = @_;

	return sql(
		"SELECT concat_ws('|', status, CASE WHEN status <> 'queued' THEN reason END, payload -> 'custom_data', payload #>> '{user_data,em,0}' = pinterest_capi.hash_identifier('em', 'a\@example.com')) FROM pinterest_capi.dispatch_status WHERE event_id = '$id'"
	);
}

my @orders = (
	q{(1, 'A@example.com', 10)},
	q{(2, 'A@example.com', 0)},
	q{(3, 'A@example.com', 1, repeat('x', 100000))});
sql("INSERT INTO orders (id, mail, net) VALUES $orders[0], $orders[1]",
	"INSERT INTO orders (id, mail, net, note) VALUES $orders[2]");
is( row_of(1),
	'queued|{"value": "11.90", "currency": "EUR", "content_name": "11.901", "content_category": "a"}|t',
	'computed for a column and in expressions');
is( row_of(2),
	'rejected|mapping: content_category',
	'a row of which one column cannot be computed');
like(
	row_of(3),
	qr/"search_string": "xx"/,
	'a value that is another column stored out of line');
is( sql(q{SELECT count(*) FROM (SELECT p.payload -> 'custom_data' AS c FROM pinterest_capi.preview_row((SELECT o FROM orders AS o WHERE id = 1)) AS p) AS p WHERE c ->> 'value' = '11.90'}
	),
	'1',
	'the preview shows the same');
sql('UPDATE orders SET net = 200 WHERE id = 1');
like(row_of('u1'), qr/^queued\|\{"value": "0\.5/, 'WHEN may read one');
is( sql('SELECT count(*) FROM pinterest_capi.doctor() WHERE status = $$error$$ AND "check" LIKE $$%trigger%$$'
	),
	'0',
	'doctor() takes such a mapping');

clean_log($node);
done_testing();
