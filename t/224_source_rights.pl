# A source's functions are for the roles that were given them, take no more than the
# extension's, and answer a wrong call as these do.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SourceServers;
use Test::More;

sub rights
{
	my ($source) = @_;
	my $node =
	  new_source($source, "source_$source->{major}", "autovacuum = off\n");

	$node->safe_psql('postgres',
		'CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE shop OWNER owner'
	);
	ok((load_script($node, 'shop', 'owner'))[0], 'the script runs');

	# ---- who may call what ----

	like(
		source_sql(
			$node, 'shop',
			'other', q{SELECT pinterest_capi.track('checkout')}),
		qr/permission denied for function track/,
		'not for everybody');
	like(
		source_sql(
			$node, 'shop', 'other', q{SELECT * FROM pinterest_capi._call}),
		qr/permission denied/,
		'nor the table');
	like(
		source_sql(
			$node,
			'shop',
			'other',
			q{SELECT pinterest_capi._call_text('{}', '{}', 'x', 'web', NULL, NULL, NULL, NULL)}
		),
		qr/permission denied/,
		'nor what is internal');
	like(
		source_sql(
			$node, 'shop', 'other',
			q{SELECT pinterest_capi.hash_identifier('em', 'a@example.com')}),
		qr/^[0-9a-f]{64}$/,
		'hashing is');
	is( source_sql(
			$node, 'shop',
			'owner', q{SELECT pinterest_capi.grant_access('app', 'track')}),
		'',
		'a level');
	like(
		source_sql(
			$node, 'shop',
			'app', q{SELECT pinterest_capi.track('checkout')}),
		qr/^[0-9a-f-]{36}$/,
		'who has it tracks');
	like(
		source_sql(
			$node, 'shop', 'app', q{SELECT pinterest_capi.forget('x')}),
		qr/permission denied/,
		'and does not erase');
	like(
		source_sql(
			$node, 'shop', 'owner',
			q{SELECT pinterest_capi.grant_access('app', 'monitor')}),
		qr/unknown level/,
		'no other level');
	is( source_sql(
			$node, 'shop', 'owner',
			q{SELECT string_agg(p.proname, ' ') FROM pg_proc AS p WHERE pronamespace = 'pinterest_capi'::regnamespace AND prosecdef
		AND NOT coalesce(proconfig::text, '') LIKE '%search_path=pg_catalog, pg_temp%'}
		),
		'',
		'what runs as its owner has a search path of its own');
	is( source_sql(
			$node,
			'shop',
			'owner',
			q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'pinterest_capi'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL}
		),
		'0',
		'every function has a comment');

	# ---- calls that are refused, or warned of ----

	like(
		source_sql($node, 'shop', 'app', $_->[0]),
		qr/ERROR:  $_->[1]/,
		$_->[1])
	  for [
		q{SELECT pinterest_capi.track('')},
		'event_name must not be null or empty'
	  ],
	  [
		q{SELECT pinterest_capi.track('x', '[]')},
		'properties must be a JSON object'
	  ],
	  [
		q{SELECT pinterest_capi.track('x', action_source => 'print')},
		'unknown action_source'
	  ],
	  [
		q{SELECT pinterest_capi.identify(NULL)},
		'visitor_id must not be null or empty'
	  ],
	  [
		q{SELECT pinterest_capi.hash_identifier('email', 'x')},
		'unknown kind of identifier'
	  ];
	like(
		source_sql(
			$node, 'shop', 'owner',
			q{SELECT pinterest_capi.forget(user_data => '{"fn": "x"}')}),
		qr/needs a visitor_id or an identifier/,
		'forget nobody');
	{
		my ($ok, $out, $err) = source_psql($node, 'shop', 'app', '-c',
			q{SELECT pinterest_capi.identify('v', '{"em": "nobody", "foo": 1}')}
		);

		like(
			$err,
			qr/WARNING:  em: not an e-mail address\nWARNING:  user_data: 1 unknown key left out/,
			'identify warns');
	}
	is( source_sql(
			$node,
			'shop',
			'app',
			q{SELECT pinterest_capi.track('x', event_id => 'A@example.com')}),
		sha256_hex('A@example.com'),
		'an address is no event_id');
	like(
		source_sql(
			$node, 'shop',
			'app', q{BEGIN READ ONLY; SELECT pinterest_capi.track('x')}),
		qr/cannot execute INSERT in a read-only transaction/,
		'read only');

	$node->stop;
	return;
}

for my $source (source_servers())
{
	subtest "PostgreSQL $source->{version}" =>
	  sub { rights($source); done_testing() };
}
done_testing();
