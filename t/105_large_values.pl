# A row is written whatever the size of its values: a value that is too large
# for the server's JSON or for one allocation is skipped with a warning.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('large');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"fsync = off\nautovacuum = off\npinterest_capi.dispatch = off");
$node->start;

# It compresses large values fast, where the server has it.
my $lz4 = $node->psql(
	'postgres',
	"SET default_toast_compression = 'lz4'",
	on_error_die => 0) == 0 ? "SET default_toast_compression = 'lz4';" : '';

sub sql { return $node->safe_psql('postgres', "$lz4\n$_[0]") }

sub map_table
{
	my ($table, $columns, @mapping) = @_;

	sql("CREATE TABLE $table (id text, email text DEFAULT 'a\@example.com', $columns);"
		  . "CREATE TRIGGER t AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E', "
		  . join(', ', map { "'$_'" } 'event_id=id', @mapping)
		  . ')');
	return;
}

sub row_of
{
	my ($id) = @_;

	return sql(
		"SELECT concat_ws('|', status, coalesce(array_to_string(warnings, ', '), ''), payload -> 'custom_data') FROM pinterest_capi.dispatch_status WHERE event_id = '$id'"
	);
}

sub writes
{
	my ($statement, $what) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "$lz4\n$statement");

	is($rc, 0, "$what: the row is written") or diag($err);
	return;
}

sql("CREATE EXTENSION pinterest_capi; INSERT INTO pinterest_capi.destination (destination) VALUES ('default');"
);
sql("SELECT pinterest_capi.allow_event('E', 'Lead', properties => '{*}')");

# nested deeper than the stack allows in the trigger
map_table(
	'nested', 'c jsonb, d jsonb[]',
	'email=email', 'contents=c',
	'content_ids=d', 'consent=c');
sql(q{CREATE TABLE deep (j jsonb); SET max_stack_depth = '6MB'; INSERT INTO deep SELECT (repeat('[', n) || repeat(']', n))::jsonb FROM generate_series(10000, 30000, 5000) AS n}
);
writes("INSERT INTO nested (id, c) SELECT 'deep', j FROM deep",
	'nested 10,000 to 30,000 levels');
is( row_of('deep'),
	'queued|contents: nested too deep, left out, consent: nested too deep, left out',
	'and left out');
writes(
	"INSERT INTO nested (id, c, d) SELECT 'elements', '[{\"id\": \"a\"}]', array_agg(j) FROM deep",
	'such elements');
is( row_of('elements'),
	'queued|content_ids: nested too deep, left out, consent: not a JSON object|{"contents": [{"id": "a"}], "num_items": 1, "content_ids": ["a"]}',
	'and left out too');

# together more than the 256 MB that an object can hold
map_table(
	'json', 'c jsonb, d jsonb, j json',
	'email=email', 'contents=c',
	'content_ids=d', 'app_info=j');
writes(
	"INSERT INTO json (id, c, d) SELECT 'two jsonb', j, j FROM (SELECT to_jsonb(repeat('x', 140000000)) AS j) AS s",
	'two jsonb of 140 MB');
is( row_of('two jsonb'),
	'queued|contents: too large, left out, content_ids: too large, left out',
	'and each is left out');
writes(
	"INSERT INTO json (id, c, j) SELECT 'json', '[{\"id\": \"a\"}]', concat('[', repeat('1,', 20000000), '1]')::json",
	'json of 40 MB, of more elements than jsonb takes');
is( row_of('json'),
	'queued|app_info: too large, left out|{"contents": [{"id": "a"}], "num_items": 1, "content_ids": ["a"]}',
	'and values that fit are sent');

# each value fits, all together don't
my @keys =
  qw(contents content_ids product_ids search_string content_name content_category);
map_table('many', join(', ', map { "$_ jsonb" } @keys),
	'email=email', map { "$_=$_" } @keys);
writes(
	"INSERT INTO many (id, "
	  . join(', ', @keys)
	  . ") SELECT 'many', "
	  . join(', ', map { 'j' } @keys)
	  . " FROM (SELECT to_jsonb(array_fill(repeat('x', 1000), ARRAY[15000])) AS j) AS s",
	'six of 15 MB');
like(
	row_of('many'),
	qr/content_name: too large, left out/,
	'and what is more than one object should hold is left out');

# arrays: large, and with few elements that are any
map_table(
	'arrays', 'a text[], n int[], b varbit[]',
	'email=email', 'content_ids=a',
	'product_ids=n', 'partner_id=b');
writes(
	"INSERT INTO arrays (id, a) SELECT 'texts', array_agg(repeat('x', 1000000)) FROM generate_series(1, 300)",
	'a text[] of 300 MB');
is( row_of('texts'),
	'queued|content_ids: too large, left out',
	'and is left out');
writes(
	"INSERT INTO arrays (id, a) SELECT 'few', array_cat(array_fill(NULL::text, ARRAY[3000000]), '{a,b}')",
	'three million NULLs before two elements');
is(row_of('few'), 'queued||{"content_ids": ["a", "b"]}', 'and these two go');
writes(
	"INSERT INTO arrays (id, n) SELECT 'ints', array_fill(1, ARRAY[100000000])",
	'an int[] of 400 MB');
is( row_of('ints'),
	'queued|product_ids: too large, left out',
	'and is left out');
writes(
	"INSERT INTO arrays (id, n) SELECT 'more', array_agg(i) FROM generate_series(1, 200000) AS i",
	'two hundred thousand integers');
like(
	row_of('more'),
	qr/^queued\|product_ids: too many elements, the rest left out\|.*"content_ids": \["1", .*"1000"\]/,
	'of which a thousand go');
writes(
	"INSERT INTO arrays (id, b) SELECT 'bits', array_fill(repeat('1', 1600000)::varbit, ARRAY[10])",
	'a varbit[] whose elements are 1.6 MB as text');
is( row_of('bits'),
	'queued|partner_id: an element is too large, left out',
	'and they are left out');

# types whose text is longer than the value
map_table(
	'bytes',
	'x bytea, b varbit, t text, c char(10000000), e text',
	'email=email',
	'order_id=x',
	'language=b',
	'search_string=t',
	'content_brand=c',
	'visitor_id=x');
writes(
	"INSERT INTO bytes (id, x) SELECT 'bytea', convert_to(repeat('x', 600000000), 'UTF8')",
	'a bytea of 600 MB');
is( row_of('bytea'),
	'queued|visitor_id: too large, left out, order_id: too long',
	'and is left out');
writes(
	"INSERT INTO bytes (id, b) SELECT 'varbit', lpad('', 10000000, '01')::varbit || lpad('', 10000000, '01')::varbit",
	'a varbit of 2.5 MB');
is( row_of('varbit'),
	'queued|language: too large, left out',
	'and is left out');
writes(
	"INSERT INTO bytes (id, t, c) SELECT 'text', repeat(E'\\u20ac', 20000000), 'x'",
	'a text of 60 MB');
like(
	row_of('text'),
	qr/^queued\|.*search_string: too long, cut off.*"content_brand": "x"/,
	'of which the beginning goes');

# a key without which the event would be sent to more than was meant
map_table('gates', 'x int[]', 'email=email', 'destination=x');
map_table('consents', 'j jsonb', 'email=email', 'consent=j');
map_table('opt_outs', 'j jsonb', 'email=email', 'opt_out=j');
sql("INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('objected', 'stop', '\$.consent.objected == true')"
);
writes(
	"INSERT INTO gates (id, x) SELECT 'destination', array_fill(1, ARRAY[1000000])",
	'a destination of 4 MB');
is( row_of('destination'),
	'rejected|destination: too large, left out',
	'is not every destination');
writes(
	"INSERT INTO consents (id, j) SELECT 'consent', jsonb_build_object('objected', true, 'log', repeat('x', 20000000))",
	'consent of 20 MB');
is( row_of('consent'),
	'suppressed|consent: too large, left out, consent: not readable, so no rule can let the event pass',
	'is not consent');
writes(
	"INSERT INTO opt_outs (id, j) SELECT 'opt-out', jsonb_build_object('all', repeat('x', 20000000))",
	'opt_out of 20 MB');
like(
	row_of('opt-out'),
	qr/^queued\|opt_out: too large, left out, opt_out: not a boolean, taken as true/,
	'is an opt-out');

# expressions see the columns that they read
sql('CREATE TABLE source (id text, x text, y text); INSERT INTO source (id, x) SELECT \'wide\', repeat(\'x\', 600000000)'
);
sql('UPDATE source SET y = x');
map_table(
	'wide', 'x text, y text',
	'email=($1.email)',
	'order_id=(left($1.x, 3))',
	'np=((SELECT length(r.y) FROM (SELECT $1.y) AS r))');
writes('INSERT INTO wide (id, x, y) SELECT id, x, y FROM source',
	'two texts of 600 MB beside expressions');
is( row_of('wide'),
	'queued||{"np": "600000000", "order_id": "xxx"}',
	'which see what they read');

# the whole row, when it fits into one value
map_table(
	'whole', 'x text',
	'email=($1.email)', 'order_id=(length($1::text))',
	'np=(($1).x)');
writes(
	"INSERT INTO whole (id, x) SELECT 'whole', string_agg(md5(i::text), '') FROM generate_series(1, 3000) AS i",
	'a row that is used as a whole');
like(
	row_of('whole'),
	qr/^queued\|np: too long\|\{"order_id": "960\d\d"\}/,
	'is whole, with what is stored out of line');

# the same by a call
is( sql("SELECT pinterest_capi.track('E', jsonb_build_object('search_string', repeat('x', 250000000)), '{\"em\": \"a\@example.com\"}', event_id => 'called')"
	),
	'called',
	'a property of 250 MB in a call');
like(
	row_of('called'),
	qr/search_string: too long, cut off/,
	'is a text that is too long');
is( sql("SELECT pinterest_capi.track('E', jsonb_build_object('referrer', 'https://example.com/?epik=' || repeat('x', 140000000)), jsonb_build_object('em', repeat('x', 140000000)), event_id => 'called 2')"
	),
	'called 2',
	'two parameters of 140 MB');
like(row_of('called 2'), qr/^suppressed\|/,
	'are more than consent rules can be asked about, and stop');

$node->stop;
done_testing();
