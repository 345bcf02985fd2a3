# Phone numbers of every region, as libphonenumber writes them in national and
# international form, are normalised to their digits with the country code, or
# to nothing.
use strict;
use warnings;

use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";
IPC::Run::run([ 'node', '-e', q{require('libphonenumber-js/max')} ],
	'2>' => \my $missing)
  or plan skip_all => 'needs libphonenumber-js from npm';

my $node = PostgreSQL::Test::Cluster->new('phones');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$node->start;

sub sql { return $node->safe_psql('postgres', @_) }

my ($numbers, $err);
IPC::Run::run(
	[ 'node', "$top/test/phone_numbers.js" ],
	'>' => \$numbers,
	'2>' => \$err) or die $err;

sql('CREATE EXTENSION pinterest_capi');
sql('CREATE TABLE given (n int GENERATED ALWAYS AS IDENTITY, region text, kind text, number text, digits text)'
);
sql("COPY given (region, kind, number, digits) FROM STDIN;\n$numbers\\.\n");
sql(<<'SQL');
CREATE TABLE told AS
	SELECT *, pinterest_capi.normalize_identifier('ph', number, region) AS got FROM given;
SQL

my ($regions, $all) = split /\|/,
  sql('SELECT count(DISTINCT region), count(*) FROM told');
cmp_ok($regions, '>=', 240, "$regions regions");
cmp_ok($all, '>=', 8000, "$all numbers");
is( sql(q{SELECT string_agg(DISTINCT region || ' ' || number || ' ' || got || ' for ' || digits, E'\n') FROM told WHERE got <> digits}
	),
	'',
	'no other digits');
cmp_ok(sql('SELECT round(100.0 * count(got) / count(*), 2) FROM told'),
	'>=', 99, 'in 99 % the right ones');
is( sql(q{SELECT string_agg(region, ' ' ORDER BY region) FROM (SELECT region FROM told GROUP BY region HAVING count(got) < 0.75 * count(*)) AS r}
	),
	'GA',
	'they are few in Gabon alone, whose old and new numbers look alike')
  or diag(
	sql(q{SELECT region, kind, min(number), min(digits) FROM told WHERE got IS NULL GROUP BY 1, 2}
	));
is( sql(q{SELECT count(*) FROM told WHERE number LIKE '+%' AND got IS NULL AND length(digits) >= 7}
	),
	0,
	'all of them in international form');
is( sql(q{SELECT count(*) FROM told WHERE number LIKE '+%' AND got IS DISTINCT FROM pinterest_capi.normalize_identifier('ph', number)}
	),
	0,
	'for which the country does not matter');
is( sql(q{SELECT count(*) FROM told WHERE got IS NOT NULL AND number NOT LIKE '+%'
	AND pinterest_capi.hash_identifier('ph', number, region) IS DISTINCT FROM pinterest_capi.hash_identifier('ph', '+' || digits)}
	),
	0,
	'and the hash is that of the number with its calling code');
is( sql(q{SELECT count(*) FROM told WHERE got <> digits OR (got IS NULL) <> (pinterest_capi.normalize_identifier('ph', number, lower(region)) IS NULL)}
	),
	0,
	'however the country is written');

$node->stop;
done_testing();
