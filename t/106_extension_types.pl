# Columns of types that other extensions define are sent as these extensions'
# casts convert them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(new_node sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('types', conf => 'pinterest_capi.dispatch = off');

my $available = sql(
	q{SELECT count(*) FROM pg_available_extensions WHERE name IN ('citext', 'hstore', 'isn', 'ltree', 'cube')}
);
plan skip_all => 'needs the extensions that come with the server'
  if $available < 5;

sql("CREATE EXTENSION $_")
  for qw(pinterest_capi citext hstore isn ltree cube);
sql(q{INSERT INTO pinterest_capi.destination (destination) VALUES ('default')}
);
sql(q{SELECT pinterest_capi.allow_event('E', 'Lead', properties => '{*}')});
sql(q{INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('ads', 'require', '$.consent.ads == "yes"')}
);
sql('CREATE TABLE sold (id citext, email citext, mails citext[], book isbn13, lines hstore, category ltree, place cube, consent hstore)'
);
sql(<<'SQL');
CREATE TRIGGER t AFTER INSERT ON sold FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id', 'email=email',
	'em=mails', 'order_id=book', 'contents=lines', 'content_ids=category', 'search_string=place', 'content_name=lines', 'consent=consent',
	'content_category=($1.lines -> ''id'')')
SQL
sql(q{INSERT INTO sold VALUES ('A-1', 'Jane@Example.com', '{B@example.com,c@example.com,jane@example.COM}', '978-0-393-04002-9', 'id=>p1, quantity=>2', 'a.b', '(1,2)', 'ads=>yes'),
	('A-2', 'Jane@Example.com', NULL, NULL, NULL, NULL, NULL, 'ads=>no')});

sub row_of
{
	my ($id) = @_;

	return sql(
		"SELECT concat_ws('|', status, CASE WHEN status <> 'queued' THEN reason END, payload -> 'custom_data', jsonb_array_length(payload #> '{user_data,em}')) FROM pinterest_capi.dispatch_status WHERE event_id = '$id'"
	);
}

is( row_of('A-1'),
	'queued|{"contents": [{"id": "p1", "quantity": 2}], "order_id": "978-0-393-04002-9", "num_items": 2, "content_ids": ["a.b"], '
	  . '"content_name": "\"id\"=>\"p1\", \"quantity\"=>\"2\"", "search_string": "(1, 2)", "content_category": "p1"}|3',
	'hstore as JSON where the key takes it, citext as text, the others as they are shown'
);
is( row_of('A-2'),
	'suppressed|consent rule ads',
	'consent of an hstore is asked');

# A type's functions are called unchanged, and their errors are the mapping's.
sql('CREATE FUNCTION broken(hstore) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION \'broken\'; END$$'
);
sql('ALTER EXTENSION hstore DROP CAST (hstore AS jsonb); DROP CAST (hstore AS jsonb); CREATE CAST (hstore AS jsonb) WITH FUNCTION broken(hstore)'
);
sql(q{INSERT INTO sold VALUES ('A-3', 'Jane@Example.com', NULL, NULL, 'id=>p1', NULL, NULL, 'ads=>yes')}
);
is(sql('SELECT count(*) FROM sold'),
	'3', 'a cast that fails does not fail the row');
like(
	row_of('A-3'),
	qr/^rejected\|mapping: (contents|consent)$/,
	'and its event is rejected');

$node->stop;
done_testing();
