# The source's script runs on each version of PostgreSQL that it is for, in any
# encoding, twice, and as an owner without superuser.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SourceServers;
use Test::More;

my $tables = "$FindBin::RealBin/../sources/tables.pl";
my $text = slurp_file(source_script());

# ---- the text ----

command_ok(
	[ $^X, $tables, '--check', source_script() ],
	'its tables are those of the C code and of Unicode 13');
unlike($text, qr/[^\x00-\x7f]/, 'it is ASCII');
unlike($text, qr/^\\\w/m, 'no commands of psql');
{
	# functions newer than PostgreSQL 13
	my @newer = (
		'MERGE INTO',
		'string_to_table',
		'date_bin',
		'bit_count',
		'trim_array',
		'unistr',
		'regexp_(?:count|instr|substr|like)\(',
		'range_agg',
		'multirange',
		'\bSEARCH (?:DEPTH|BREADTH)',
		'\bCYCLE\b',
		'BEGIN ATOMIC',
		'NULLS NOT DISTINCT',
		'security_invoker',
		'JSON_TABLE',
		'JSON_QUERY',
		'JSON_VALUE',
		'JSON_EXISTS',
		'any_value',
		'array_(?:shuffle|sample|sort|reverse)',
		'random_normal',
		'pg_routine_oid',
		'uuidv7',
		'casefold',
		'WHERE \(.*\) WITH \(publish',
		'OUT \w+ \w+.*PROCEDURE',
		'split_part\([^()]*, -');
	my $code = $text =~ s{/\*.*?\*/}{}gsr =~ s/--.*//gr;

	for my $feature (@newer)
	{
		unlike($code, qr/$feature/,
			"nothing newer than PostgreSQL 13: $feature");
	}
	unlike($code, qr/\w\['\w+'\]/, 'no subscripts of jsonb');
}

# ---- not beside the extension ----

my $server =
  PinterestStub::new_node('server', conf => "log_statement = none\n");
$server->safe_psql('postgres', 'CREATE EXTENSION pinterest_capi');
{
	my ($ok, $out, $err) =
	  load_script($server, 'postgres',
		$server->safe_psql('postgres', 'SELECT current_user'));

	ok(!$ok, 'not beside the extension');
	like(
		$err,
		qr/the extension pinterest_capi is in this database/,
		'which it says');
}

# ---- it runs ----

sub runs
{
	my ($source) = @_;
	my $node =
	  new_source($source, "source_$source->{major}", "autovacuum = off\n");

	$node->safe_psql(
		'postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE DATABASE shop OWNER owner;
	CREATE DATABASE latin OWNER owner ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
	CREATE DATABASE bytes OWNER owner ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;
	CREATE DATABASE kanji OWNER owner ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0}
	);

	for my $database (qw(shop latin bytes kanji))
	{
		my ($ok, $out, $err) = load_script($node, $database, 'owner');

		ok($ok, "$database: it runs as the database's owner");
		is($out . $err, '', "$database: and says nothing");
		like(
			source_sql(
				$node,
				$database,
				'owner',
				q{SELECT pinterest_capi.track('checkout', '{}', '{"em": "a@example.com"}')}
			),
			qr/^[0-9a-f]{8}-[0-9a-f]{4}-7/,
			"$database: a call");
	}
	my $catalog =
	  q{SELECT string_agg(p.oid::regprocedure || ' ' || p.proacl::text || ' ' || md5(p.prosrc) || p.proowner, ' ' ORDER BY p.oid)
	FROM pg_proc AS p WHERE pronamespace = 'pinterest_capi'::regnamespace};
	my $before = source_sql($node, 'shop', 'owner', $catalog);
	source_sql($node, 'shop', 'owner',
		q{UPDATE pinterest_capi.source_setting SET send_client_ip = true});
	ok((load_script($node, 'shop', 'owner'))[0], 'it runs again');
	is(source_sql($node, 'shop', 'owner', $catalog),
		$before, 'and changes nothing');
	is( source_sql(
			$node, 'shop',
			'owner', 'SELECT * FROM pinterest_capi.source_setting'),
		't|f|',
		'settings stay');
	source_sql($node, 'shop', 'owner',
		q{DROP PUBLICATION pinterest_capi; DROP SCHEMA pinterest_capi CASCADE}
	);
	{
		my ($out, $err) = ('', '');

		# one statement at a time, as clients do
		IPC::Run::run(
			[
				'psql', '-XAtq',
				'-U', 'owner',
				'-d', $node->connstr('shop'),
				'-v', 'ON_ERROR_STOP=1'
			],
			'<' => \$text,
			'>' => \$out,
			'2>' => \$err);
		unlike($err, qr/ERROR/, 'removed, and pasted into a client');
	}
	is( source_sql(
			$node,
			'shop',
			'owner',
			q{SELECT tablename, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication JOIN pg_publication_tables USING (pubname)}
		),
		'_call|t|f|f|f',
		'of its table, inserts are published');

	# what other encodings can hold
	for my $database (qw(latin bytes kanji))
	{
		is( source_sql(
				$node,
				$database,
				'owner',
				q{SELECT pinterest_capi.hash_identifier('em', ' Foo@Example.com')}
			),
			sha256_hex('foo@example.com'),
			"$database: an address in ASCII");
		is( source_sql(
				$node,
				$database,
				'owner',
				q{SELECT pinterest_capi.hash_identifier('ln', chr(164)) IS NULL}
			),
			't',
			"$database: others are left out") if $database eq 'latin';
		is( source_sql(
				$node,
				$database,
				'owner',
				q{SELECT pinterest_capi.normalize_identifier('country', 'Germany')}
			),
			'de',
			"$database: a country");
	}
	is( source_sql(
			$node,
			'bytes',
			'owner',
			q{SELECT pinterest_capi.track(E'caf\xe9', '{"content_name": "x"}', event_id => E'\xff')}
		),
		sha256_hex("\xff"),
		'what is no UTF-8 is no error');
}

for my $source (source_servers())
{
	subtest "PostgreSQL $source->{version}" =>
	  sub { runs($source); done_testing() };
}
done_testing();
