# Text that has the form of personal data is removed from every property.  Real
# names of goods, order numbers, article numbers and UUIDs are not mistaken for
# personal data.
#
# PINTEREST_CAPI_TEST_ORDERS names another folder with invoice.csv and
# invoice_line.csv of the same shape as those in test/data/shop.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(new_node sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder =
  $ENV{PINTEREST_CAPI_TEST_ORDERS} || "$FindBin::RealBin/../test/data/shop";
my $node = new_node('personal_data');

sql(q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead', properties => '{*}');
	-- one text in one property, whichever object that is in
	CREATE FUNCTION with_property(property text, value jsonb) RETURNS jsonb LANGUAGE sql AS $$
		SELECT CASE
			WHEN property ~ '^(app|device)_info[.]' THEN jsonb_build_object(split_part(property, '.', 1), jsonb_build_object(split_part(property, '.', 2), value))
			WHEN property ~ '^(item_|contents[.])' THEN jsonb_build_object('contents', jsonb_build_array(jsonb_build_object('quantity', 1, replace(property, 'contents.', ''), value)))
			ELSE jsonb_build_object(property, value) END $$;
	CREATE FUNCTION sent(properties jsonb, OUT payload jsonb, OUT warnings text) LANGUAGE sql AS $$
		SELECT payload - 'user_data', array_to_string(warnings, ' | ') FROM pinterest_capi.preview('lead', properties, '{"em": "a@shop.example"}') $$;
	CREATE TABLE text_property AS SELECT property, transformation LIKE 'free text%' AS free FROM pinterest_capi._fields()
		WHERE transformation ~ '^(free|short) text' AND property NOT IN ('currency', 'language', 'opt_out_type',
			'device_info.form_factor', 'device_info.network_type', 'device_info.os_family', 'device_info.timezone_abbr', 'device_info.locale', 'device_info.timezone');
	INSERT INTO text_property VALUES ('product_id', false), ('product_ids', false)}
);
my ($free, $short) = split /\|/,
  sql(
	'SELECT count(*) FILTER (WHERE free), count(*) FILTER (WHERE NOT free) FROM text_property'
  );
cmp_ok($free, '>=', 18, "$free properties of free text");
cmp_ok($short, '>=', 19, "$short of ids and other short text");

# ---- what is recognised ----

my %forms = (
	'an e-mail address' => [ 'jane.doe@shop.example', 'Jane%40shop.example' ],
	'a phone number' =>
	  [ '+1 (212) 555-1234', '+442079460958', '0049 30 1234567' ],
	'a payment card number' =>
	  [ '4111111111111111', '4111 1111 1111 1111', '3782-822463-10005' ],
	'a social security number' => ['457-55-5462'],
	'an IBAN' => [ 'DE89370400440532013000', 'gb29 nwbk 6016 1331 9268 19' ]);
for my $what (sort keys %forms)
{
	my $values = join ', ', map { "('$_')" } @{ $forms{$what} };

	is( sql(qq{
			SELECT string_agg(p.property || ' ' || t.text || ' ' || coalesce(s.warnings, ''), E'\\n')
			FROM text_property AS p, (VALUES $values) AS v (value), LATERAL (VALUES (v.value), ('for ' || v.value), (v.value || ', please')) AS t (text),
				sent(with_property(p.property, to_jsonb(t.text))) AS s
			WHERE p.free AND (s.payload::text LIKE '%' || v.value || '%' OR s.warnings IS NULL OR s.warnings NOT LIKE '%: looks like $what, left out%')}
		),
		'',
		"$what is removed from each property of free text, with a warning");
	is( sql(qq{
			SELECT string_agg(p.property || ' ' || v.value || ' ' || coalesce(s.warnings, ''), E'\\n')
			FROM text_property AS p, (VALUES $values) AS v (value), sent(with_property(p.property, to_jsonb(v.value))) AS s
			WHERE NOT p.free AND (s.payload::text LIKE '%' || v.value || '%' OR s.warnings IS NULL OR s.warnings NOT LIKE '%: looks like $what, left out%')}
		),
		'',
		"and from ids") unless $what =~ /card/;

	# of an array, the one element
	is( sql(qq{
			SELECT count(*) FROM unnest('{content_ids,product_ids,device_info.languages}'::text[]) AS p, (VALUES $values) AS v (value),
				sent(with_property(p, jsonb_build_array('en', v.value, 'de'))) AS s
			WHERE coalesce(s.payload #> '{custom_data,content_ids}', s.payload #> '{device_info,languages}') <> '["en", "de"]'}
		),
		0,
		'the one element of an array') unless $what =~ /card/;
}

# a line of contents is sent without the property
is( sql(q{SELECT payload #> '{custom_data,contents}', warnings FROM sent('{"contents": [{"id": "1", "item_name": "for jane@shop.example"}, {"id": "bob@shop.example", "item_name": "Ink", "quantity": 2}]}')}
	),
	'[{"id": "1"}, {"quantity": 2, "item_name": "Ink"}]|item_name: looks like an e-mail address, left out | contents.id: looks like an e-mail address, left out',
	'lines of contents go without it');
is( sql(q{SELECT payload ->> 'event_source_url', warnings FROM sent('{"page_url": "https://jane:pw@shop.example/u/jane%40shop.example?mail=jane@shop.example#jane@shop.example"}')}
	),
	'https://shop.example/|page_url: its path looks like personal data, left out',
	'and a URL without the path that has it');

# ---- what is not recognised ----

# Put every text into three properties and every id into three; return how
# many were changed.
my $untouched = q{
	CREATE FUNCTION touched(texts text[], ids text[]) RETURNS SETOF text LANGUAGE sql AS $$
		SELECT 'text ' || t || ' ' || coalesce(s.warnings, '') FROM unnest(texts) AS t,
			sent(jsonb_build_object('content_name', t, 'search_string', t, 'contents', jsonb_build_array(jsonb_build_object('item_name', t)))) AS s
		WHERE (s.payload #>> '{custom_data,content_name}', s.payload #>> '{custom_data,search_string}', s.payload #>> '{custom_data,contents,0,item_name}')
			IS DISTINCT FROM (btrim(t), btrim(t), btrim(t)) OR s.warnings IS NOT NULL
		UNION ALL
		SELECT 'id ' || i || ' ' || coalesce(s.warnings, '') FROM unnest(ids) AS i,
			sent(jsonb_build_object('order_id', i, 'content_ids', jsonb_build_array(i), 'contents', jsonb_build_array(jsonb_build_object('id', i)))) AS s
		WHERE (s.payload #>> '{custom_data,order_id}', s.payload #>> '{custom_data,content_ids,0}', s.payload #>> '{custom_data,contents,0,id}')
			IS DISTINCT FROM (i, i, i) OR s.warnings IS NOT NULL $$};
sql($untouched);
sql('CREATE TABLE invoice (invoice_id text, customer_id text, invoice_date text, total text);
	CREATE TABLE invoice_line (invoice_line_id text, invoice_id text, track_id text, track_name text, genre text, unit_price text, quantity text)'
);
for my $table (qw(invoice invoice_line))
{
	sql("\\copy $table FROM '$folder/$table.csv' WITH (FORMAT csv, HEADER)");
}
my ($lines, $names, $orders) = split /\|/,
  sql(
	'SELECT count(*), count(DISTINCT track_name), (SELECT count(*) FROM invoice) FROM invoice_line'
  );
cmp_ok($lines, '>', 0, 'lines of orders are there');
is( sql(q{SELECT * FROM touched((SELECT array_agg(track_name) FROM invoice_line), '{}') LIMIT 5}
	),
	'',
	"none of $lines names of goods ($names different ones) is taken for personal data"
);
is( sql(q{SELECT * FROM touched((SELECT array_agg(DISTINCT genre) FROM invoice_line), '{}') LIMIT 5}
	),
	'',
	'none of their categories');
is( sql(q{SELECT * FROM touched((SELECT array_agg('order ' || invoice_id) FROM invoice), (SELECT array_agg(invoice_id) || array_agg('invoice-' || invoice_id) || array_agg(lpad(invoice_id, 10, '0')) FROM invoice)) LIMIT 5}
	),
	'',
	"none of $orders order ids, in three forms");

sql(q{
	CREATE FUNCTION gtin(digits text) RETURNS text LANGUAGE sql AS $$
		SELECT digits || (10 - (SELECT sum(substr(digits, n, 1)::integer * CASE (length(digits) - n) % 2 WHEN 0 THEN 3 ELSE 1 END) FROM generate_series(1, length(digits)) AS n) % 10) % 10 $$;
	CREATE FUNCTION digits(n integer) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT string_agg(floor(random() * 10)::text, '') FROM generate_series(1, n) $$}
);
is( sql(q{SELECT gtin('400638133393'), gtin('03600029145'), gtin('7351353')}),
	'4006381333931|036000291452|73513537',
	'article numbers are made rightly');
my $made = q{(SELECT array_agg(%s) FROM generate_series(1, %d) AS n)};
for my $kind (
	[ 'EAN-13', 'gtin(digits(12) || left(n::text, 0))', 2000 ],
	[ 'UPC-A', 'gtin(digits(11) || left(n::text, 0))', 2000 ],
	[ 'EAN-8', 'gtin(digits(7) || left(n::text, 0))', 500 ],
	[ 'GTIN-14', 'gtin(digits(13) || left(n::text, 0))', 500 ],
	[ 'UUIDs', 'gen_random_uuid()::text || left(n::text, 0)', 2000 ],
	[
		'UUIDs in upper case',
		'upper(gen_random_uuid()::text) || left(n::text, 0)', 500
	],
	[
		'ids of version 7',
		'pinterest_capi._new_event_id() || left(n::text, 0)', 500
	])
{
	my ($what, $expression, $n) = @$kind;
	my $array = sprintf $made, $expression, $n;

	is( sql("WITH made AS MATERIALIZED (SELECT $array AS a) SELECT touched(a || (SELECT array_agg('no. ' || x || ' (blue)') FROM unnest(a) AS x), a) FROM made LIMIT 5"
		),
		'',
		"none of $n $what, as a text, in a text and as an id");
}

# In properties for ids, numbers as long as a card's are ids.
is( sql(q{SELECT touched('{}', (SELECT array_agg(p || digits(n)) FROM unnest('{39,4,51,62,6011}'::text[]) AS p, generate_series(10, 15) AS n, generate_series(1, 20)))}
	),
	'',
	'ids that begin like a payment card\'s number and are as long');
note(
	"result: personal data: 0 of $lines names of goods, $orders order ids, 5000 article numbers and 3000 UUIDs taken for it"
);

$node->stop;
done_testing();
