# The source's script runs in any encoding, twice, and as an owner without
# superuser; its hashes are the extension's, its rights are narrow, and its
# trigger fails no statement.
#
# PINTEREST_CAPI_TEST_SEED=N	repeats a run, whose seed is in its output
# PINTEREST_CAPI_TEST_VALUES=N	random identifiers, 6000 unless given
use strict;
use warnings;
no warnings 'nonchar';

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RandomCalls;
use Test::More;

my $seed = $ENV{PINTEREST_CAPI_TEST_SEED} || 1 + int(rand(2**31 - 1));
my $values = $ENV{PINTEREST_CAPI_TEST_VALUES} || 6000;
srand($seed);
note("PINTEREST_CAPI_TEST_SEED=$seed");

my $sources = "$FindBin::RealBin/../sources";
my $script = "$sources/pinterest_capi_source.sql";
my $text = slurp_file($script);

# ---- the text ----

command_ok(
	[ $^X, "$sources/tables.pl", '--check', $script ],
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

# ---- it runs ----

my $node = PostgreSQL::Test::Cluster->new('source');
$node->init(
	allows_streaming => 'logical',
	extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"log_statement = none\nautovacuum = off\n");
$node->start;
my $superuser = $node->safe_psql(
	'postgres', q{
	SELECT current_user; CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE other LOGIN;
	CREATE DATABASE shop OWNER owner; CREATE DATABASE extension;
	CREATE DATABASE latin OWNER owner ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
	CREATE DATABASE bytes OWNER owner ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;
	CREATE DATABASE kanji OWNER owner ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0}
);
$node->safe_psql('extension', 'CREATE EXTENSION pinterest_capi');

# Return psql's output, and whether it succeeded.
sub psql
{
	my ($database, $user, @args) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(
		[
			'psql', '-XAtq', '-U', $user, '-d', $node->connstr($database),
			@args
		],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err);

	chomp $out;
	return ($ok, $out, $err);
}

sub loads
{
	my ($database) = @_;

	return psql($database, 'owner', '-1', '-v', 'ON_ERROR_STOP=1', '-c',
		'SET client_min_messages = warning',
		'-f', $script);
}

sub sql
{
	my ($database, $user, $sql) = @_;
	my ($ok, $out, $err) =
	  psql($database, $user, '-v', 'ON_ERROR_STOP=1', '-c', $sql);
	return $ok ? $out : "failed: $err";
}

for my $database (qw(shop latin bytes kanji))
{
	my ($ok, $out, $err) = loads($database);

	ok($ok, "$database: it runs as the database's owner");
	is($out . $err, '', "$database: and says nothing");
	like(
		sql($database,
			'owner',
			q{SELECT pinterest_capi.track('checkout', '{}', '{"em": "a@example.com"}')}
		),
		qr/^[0-9a-f]{8}-[0-9a-f]{4}-7/,
		"$database: a call");
}
my $catalog =
  q{SELECT string_agg(p.oid::regprocedure || ' ' || p.proacl::text || ' ' || md5(p.prosrc) || p.proowner, ' ' ORDER BY p.oid)
	FROM pg_proc AS p WHERE pronamespace = 'pinterest_capi'::regnamespace};
my $before = sql('shop', 'owner', $catalog);
sql('shop', 'owner',
	q{UPDATE pinterest_capi.source_setting SET send_client_ip = true});
ok((loads('shop'))[0], 'it runs again');
is(sql('shop', 'owner', $catalog), $before, 'and changes nothing');
is(sql('shop', 'owner', 'SELECT * FROM pinterest_capi.source_setting'),
	't|f|', 'settings stay');
sql('shop', 'owner',
	q{DROP PUBLICATION pinterest_capi; DROP SCHEMA pinterest_capi CASCADE});
{
	my ($out, $err) = ('', '');

	# one statement at a time, as clients do
	IPC::Run::run(
		[
			'psql', '-XAtq', '-U', 'owner',
			'-d', $node->connstr('shop'), '-v', 'ON_ERROR_STOP=1'
		],
		'<' => \$text,
		'>' => \$out,
		'2>' => \$err);
	unlike($err, qr/ERROR/, 'removed, and pasted into a client');
}
is( sql('shop',
		'owner',
		q{SELECT tablename, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication JOIN pg_publication_tables USING (pubname)}
	),
	'_call|t|f|f|f',
	'of its table, inserts are published');
{
	my ($ok, $out, $err) =
	  psql('extension', $superuser, '-v', 'ON_ERROR_STOP=1', '-f', $script);

	ok(!$ok, 'not beside the extension');
	like(
		$err,
		qr/the extension pinterest_capi is in this database/,
		'which it says');
}

# ---- hashes ----

my @kinds = qw(em ph ge db ln fn ct st zp country external_id hashed_maids);
my @countries = ('', qw(us DE Italy ar br xx xk fr by ca kz ga gb it));
my @places = (
	'United States',
	'Deutschland',
	'UK',
	'U.S.',
	'el',
	'xk',
	'DEU',
	"C\x{f4}te d'Ivoire",
	"T\x{fc}rkiye",
	"\x{39a}\x{38e}\x{3a0}\x{3a1}\x{39f}\x{3a3}",
	"\x{65e5}\x{672c}",
	"Qu\x{e9}bec",
	'New York',
	"\x{ce}le-du-Prince-\x{c9}douard",
	'TX',
	'St. Louis',
	"Saint-\x{c9}tienne",
	"Stra\x{df}e",
	"\x{130}stanbul",
	"\x{3a3}\x{38a}\x{3a3}\x{3a5}\x{3a6}\x{39f}\x{3a3}",
	"\x{1c5}",
	"\x{23a}",
	"\x{fb01}",
	"A\x{30a}",
	"\x{2126}",
	"\x{212a}",
	"\x{1e9e}");

sub digits
{
	my ($n) = @_;
	return join '', map { int rand 10 } 1 .. $n;
}

sub phone
{
	return one('+', '', '00', '0', '(+)', 'fax ', 'Tel: ', "\x{ff0b}")
	  . digits(3 + rand 14)
	  if chance(0.2);
	return one(
		'+49', '0049', '49', '+1', '+39', '+7',
		'8', '011 49', '+44', '+54', '0')
	  . one(' ', '-', '', ' (0) ', '(0)', '( 0 )', ' 0')
	  . join('',
		map { one(0 .. 9, ' ', '-', '.', '/', '(', ')') } 1 .. 5 + rand 11)
	  if chance(0.4);
	return phone()
	  . one(
		' x12',
		' ext. 5',
		'#9',
		';ext=3',
		' (work)',
		' (office 1)',
		" \x{434}\x{43e}\x{431} 5",
		' (ext 3)',
		";\x{e9}",
		";\x{663}",
		'ABC',
		'(home) 5',
		' int 3') if chance(0.3);
	return join '',
	  map { chr(one(0x660, 0xff10, 0x966, 0x1d7ce) + int rand 10) }
	  1 .. 5 + rand 8
	  if chance(0.2);
	return one('011', '15', '0', '09') . join '',
	  map { one('1', '15', '11', '9', '2', '3') } 1 .. 10
	  if chance(0.2);
	return one('', '0') . digits(6 + rand 7);
}

sub email
{
	my $address = one(
		'a', 'Foo.Bar', 'x y', "\x{e9}",
		"\x{130}", "a\x{301}", "A\x{200b}b", '')
	  . '@'
	  . one('Example.COM', 'gmail.con', "m\x{fc}ller.de", 'b', '', 'b@c');

	return one(
		$address, $address,
		" $address\t", "mailto:$address",
		"MAILTO: $address?x=1", "Name <$address>",
		"<$address>", "<<$address >",
		"\x{a0}$address\x{3000}", "$address>",
		"\x{202a}$address");
}

sub hex_digits
{
	my ($n) = @_;
	return join '', map { one(0 .. 9, 'a' .. 'f', 'A' .. 'F') } 1 .. $n;
}

sub value
{
	my ($kind) = @_;

	return one(
		'',
		' ',
		"\t\x{3000}",
		'0' x 32,
		'00000000-0000-0000-0000-000000000000',
		hex_digits(64),
		' ' . hex_digits(64),
		hex_digits(32),
		hex_digits(40),
		'aB1' x 7 . 'a',
		'aB1' x 7 . 'a==',
		join(':', map { hex_digits(2) } 1 .. 16)) if chance(0.05);
	return characters(1 + rand 20) if chance(0.25);
	return phone() if $kind eq 'ph';
	return email() if $kind eq 'em';
	return
		one(qw(1990 2001 1900 2000 0000 9999 199))
	  . one('-', '/', '')
	  . sprintf(one('%02d', '%d'), rand 14)
	  . one('-', '/', '')
	  . sprintf('%02d', rand 33)
	  . one('', '', 'T10:00', 'T1', ' 10:00:00', ' 1', "\x{2003}10", ' 123')
	  if $kind eq 'db';
	return one(
		qw(f F female WOMAN m Male man N x other Non-Binary nonbinary q))
	  if $kind eq 'ge';
	return one(
		'10001-1234', 'SW1A 1AA',
		"\x{661}\x{662}\x{663}", "\x{ff11}\x{ff12}a",
		'-', '12345',
		'D-10115', "\x{1d7cf}\x{1d7d0}") if $kind eq 'zp';
	return one(
		one(@places),
		uc one(@places),
		lc one(@places),
		' ' . one(@places) . '.',
		one(@places) . characters(2));
}
my $file = PostgreSQL::Test::Utils::tempdir() . '/values';
open my $fh, '>:utf8', $file or die "$file: $!";
for my $n (1 .. $values)
{
	my $kind = one(@kinds);

	# newer characters have no hash here: see below
	my $value = value($kind) =~ s/\P{In=13.0}/x/gr;

	print $fh join("\t",
		$n, $kind,
		$value =~ s/\\/\\\\/gr =~ s/\t/\\t/gr =~ s/\n/\\n/gr =~ s/\r/\\r/gr,
		one(@countries)),
	  "\n";
}
close $fh;
chmod 0644, $file;
for my $database (qw(shop extension))
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';

	$node->safe_psql($database,
		q{CREATE TABLE given (n integer PRIMARY KEY, kind text, value text, country text)}
	);
	my ($ok, $out, $err) =
	  psql($database, $superuser, '-c', "\\copy given FROM '$file'");
	is($err, '', "$database: values");
}
my $hashes =
  q{SELECT n, encode(convert_to(concat_ws('|', coalesce(pinterest_capi.normalize_identifier(kind, value), '-'), coalesce(pinterest_capi.hash_identifier(kind, value), '-'),
	coalesce(pinterest_capi.normalize_identifier(kind, value, country), '-'), coalesce(pinterest_capi.hash_identifier(kind, value, country), '-')), 'UTF8'), 'hex') FROM given ORDER BY n};
my @theirs = split /\n/, $node->safe_psql('extension', $hashes);
my @ours = split /\n/, $node->safe_psql('shop', $hashes);
is(scalar @ours, $values, 'hashes');
my @different = grep { $ours[$_] ne $theirs[$_] } 0 .. $#theirs;
is(scalar @different,
	0, "$values random identifiers have the hashes of the extension")
  or diag(
	join "\n",
	map {
		my ($n) = split /\|/, $ours[$_];
		$node->safe_psql('shop',
			"SELECT kind, value, country FROM given WHERE n = $n")
		  . "\n  "
		  . pack('H*', (split /\|/, $theirs[$_])[1]) . "\n  "
		  . pack('H*', (split /\|/, $ours[$_])[1])
	} @different[ 0 .. ($#different > 4 ? 4 : $#different) ]);
my $usable = grep { (split /\|/, $_)[1] !~ /^2d7c/ } @ours;
cmp_ok($usable, '>', 0.4 * $values, "and $usable of them have one");

# every character of Unicode 13 by itself, but for controls and surrogates
my $all =
  q{SELECT md5(string_agg(coalesce(pinterest_capi.hash_identifier(kind, 'a' || chr(c) || 'B'), '-'), ',' ORDER BY kind, c))
	FROM unnest('{ln,zp,ct}'::text[]) AS kind, (SELECT generate_series(32, 12287) UNION SELECT generate_series(42560, 43999) UNION SELECT generate_series(63744, 65535)
		UNION SELECT generate_series(66304, 72959) UNION SELECT generate_series(119808, 120831) UNION SELECT generate_series(124928, 125439)) AS u (c)
	WHERE pinterest_capi.hash_identifier('ln', 'a' || chr(c)) IS NOT NULL AND c IN (SELECT c FROM known)};
my @known = grep { chr($_) =~ /\p{In=13.0}/ } 32 .. 0x2FFF, 0xA640 .. 0xABDF,
  0xF900 .. 0xFFFF, 0x10300 .. 0x11CFF, 0x1D400 .. 0x1D7FF,
  0x1E800 .. 0x1E9FF;
for my $database (qw(shop extension))
{
	$node->safe_psql($database,
			'CREATE TABLE known AS SELECT unnest(ARRAY['
		  . join(',', @known)
		  . ']) AS c');
}
is( $node->safe_psql('shop', $all),
	$node->safe_psql('extension', $all),
	scalar(@known)
	  . ' characters are lower-cased, composed and dropped as in the extension'
);
is( $node->safe_psql(
		'shop',
		q{SELECT string_agg(coalesce(pinterest_capi.hash_identifier(k, 'a' || chr(x'a7c0'::int)), 'left out'), ' ') FROM unnest('{em,ln,ct,st,zp,hashed_maids}'::text[]) AS k}
	),
	'left out left out left out left out left out left out',
	'a newer character is left out');
is( $node->safe_psql(
		'shop',
		q{SET standard_conforming_strings = off; SET search_path = ''; SELECT pinterest_capi.normalize_identifier('ct', 'St. Louis')}
	),
	'stlouis',
	'whatever the session has set');

# other encodings
for my $database (qw(latin bytes kanji))
{
	is( sql($database,
			'owner',
			q{SELECT pinterest_capi.hash_identifier('em', ' Foo@Example.com')}
		),
		sha256_hex('foo@example.com'),
		"$database: an address in ASCII");
	is( sql($database,
			'owner',
			q{SELECT pinterest_capi.hash_identifier('ln', chr(164)) IS NULL}),
		't',
		"$database: others are left out") if $database eq 'latin';
	is( sql($database,
			'owner',
			q{SELECT pinterest_capi.normalize_identifier('country', 'Germany')}
		),
		'de',
		"$database: a country");
}
is( sql('bytes',
		'owner',
		q{SELECT pinterest_capi.track(E'caf\xe9', '{"content_name": "x"}', event_id => E'\xff')}
	),
	sha256_hex("\xff"),
	'what is no UTF-8 is no error');

# ---- rights ----

like(
	sql('shop', 'other', q{SELECT pinterest_capi.track('checkout')}),
	qr/permission denied for function track/,
	'not for everybody');
like(
	sql('shop', 'other', q{SELECT * FROM pinterest_capi._call}),
	qr/permission denied/,
	'nor the table');
like(
	sql('shop',
		'other',
		q{SELECT pinterest_capi._call_text('{}', '{}', 'x', 'web', NULL, NULL, NULL, NULL)}
	),
	qr/permission denied/,
	'nor what is internal');
like(
	sql('shop', 'other',
		q{SELECT pinterest_capi.hash_identifier('em', 'a@example.com')}),
	qr/^[0-9a-f]{64}$/,
	'hashing is');
is( sql('shop', 'owner',
		q{SELECT pinterest_capi.grant_access('app', 'track')}),
	'',
	'a level');
like(sql('shop', 'app', q{SELECT pinterest_capi.track('checkout')}),
	qr/^[0-9a-f-]{36}$/, 'who has it tracks');
like(
	sql('shop', 'app', q{SELECT pinterest_capi.forget('x')}),
	qr/permission denied/,
	'and does not erase');
like(
	sql('shop', 'owner',
		q{SELECT pinterest_capi.grant_access('app', 'monitor')}),
	qr/unknown level/,
	'no other level');
is( sql('shop', 'owner',
		q{SELECT string_agg(p.proname, ' ') FROM pg_proc AS p WHERE pronamespace = 'pinterest_capi'::regnamespace AND prosecdef
		AND NOT coalesce(proconfig::text, '') LIKE '%search_path=pg_catalog, pg_temp%'}
	),
	'',
	'what runs as its owner has a search path of its own');
is( sql('shop',
		'owner',
		q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'pinterest_capi'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL}
	),
	'0',
	'every function has a comment');

# ---- calls ----

like(sql('shop', 'app', $_->[0]), qr/ERROR:  $_->[1]/, $_->[1])
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
	sql('shop', 'owner',
		q{SELECT pinterest_capi.forget(user_data => '{"fn": "x"}')}),
	qr/needs a visitor_id or an identifier/,
	'forget nobody');
{
	my ($ok, $out, $err) = psql('shop', 'app', '-c',
		q{SELECT pinterest_capi.identify('v', '{"em": "nobody", "foo": 1}')});

	like(
		$err,
		qr/WARNING:  em: not an e-mail address\nWARNING:  user_data: 1 unknown key left out/,
		'identify warns');
}
is( sql('shop', 'app',
		q{SELECT pinterest_capi.track('x', event_id => 'A@example.com')}),
	sha256_hex('A@example.com'),
	'an address is no event_id');
like(
	sql('shop', 'app', q{BEGIN READ ONLY; SELECT pinterest_capi.track('x')}),
	qr/cannot execute INSERT in a read-only transaction/,
	'read only');

# ---- the trigger: see what is written ----

sql('shop', 'owner', q{
	CREATE TABLE seen (n serial, event_name text, event_id text, call jsonb);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.seen (event_name, event_id, call) VALUES (NEW.event_name, NEW.event_id, NEW.call::jsonb); RETURN NULL; END $$;
	CREATE TRIGGER see AFTER INSERT ON pinterest_capi._call FOR EACH ROW EXECUTE FUNCTION see();
	CREATE TYPE state AS ENUM ('open', 'paid');
	CREATE TABLE lines (order_id integer, sku text);
	CREATE TABLE orders (id integer PRIMARY KEY, email text, total money, code char(12), address inet, at timestamptz, state state, tags text[]);
	GRANT INSERT, UPDATE, DELETE, SELECT ON orders TO other;
	INSERT INTO lines VALUES (1, 'a'), (1, 'b');
	CREATE TRIGGER t AFTER INSERT OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Order Placed', 'email=email', 'value=total',
		'currency:=EUR', 'order_id=code', 'event_id=code', 'visitor_id=email', 'ip=address', 'event_time=at', 'content_category=state', 'product_ids=tags',
		'contents=(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(''id'', l.sku)) FROM public.lines AS l WHERE l.order_id = $1.id)')}
);
sql('shop', 'owner',
	q{UPDATE pinterest_capi.source_setting SET send_client_ip = true});
is( sql('shop',
		'other',
		q{INSERT INTO orders VALUES (1, ' A@Example.com', 12.50, 'o1', '10.0.0.1/24', '2026-01-01 00:00+00', 'paid', '{x,y}')}
	),
	'',
	'who writes needs no right');
is( sql('shop', 'owner', q{SELECT event_id, call - 'version' FROM seen}),
	'o1|{"marks": {"from_data": true}, "visitor": "'
	  . sha256_hex(' A@Example.com')
	  . '", "user_data": {"ip": "10.0.0.1", "email": {"hash": "'
	  . sha256_hex('a@example.com')
	  . '"}}, "properties": {"value": 12.50, "contents": [{"id": "a"}, {"id": "b"}], "currency": "EUR", "order_id": "o1", "product_ids": ["x", "y"], "content_category": "paid"}}',
	'a row becomes a call');
is(sql('shop', 'owner', 'SELECT count(*) FROM pinterest_capi._call'),
	'0', 'that stays nowhere');

# nothing about a mapping fails the statement
my %wrong = (
	a => [
		q{'A', 'emial=email', 'event_id=id'},
		'mapping: emial',
		qr/There is no such key/
	],
	b => [
		q{'B', 'value=(1/($1.id - $1.id))', 'event_id=id'},
		'mapping: value',
		qr/raised an error with SQLSTATE 22012/
	],
	c => [
		q{'C', 'value=nope', 'event_id=id'},
		'mapping: value',
		qr/has no column "nope"/
	],
	d => [
		q{'D', 'value=(SELECT sku FROM lines)', 'event_id=id'},
		'mapping: value',
		qr/relation "lines" does not exist/
	],
	e =>
	  [ q{'E', 'value=id', 'value=id'}, 'mapping: value', qr/mapped twice/ ],
	f => [
		q{'F', 'a b c', 'event_id=id'},
		'mapping: argument 2',
		qr/not of the form/
	],
	g => [ q{'', 'event_id=id'}, 'mapping: event_name', qr/has no name/ ],
	h => [
		q{'H', 'action_source:=print', 'event_id=id'},
		'mapping: action_source',
		qr/action source is unknown/
	],
	i =>
	  [ q{'I', 'event_time=(pg_catalog.pg_sleep(0))', 'event_id=id'}, undef ],
	j => [ q{'J', 'consent=email', 'opt_out=email', 'event_id=id'}, undef ],
	k => [
		q{'K', 'value=(1; DROP TABLE lines)', 'event_id=id'},
		'mapping: value',
		qr/can't be evaluated|raised an error/
	]);
for my $name (sort keys %wrong)
{
	my ($arguments, $reason, $why) = @{ $wrong{$name} };

	sql('shop', 'owner',
		qq{TRUNCATE seen; DROP TRIGGER IF EXISTS w ON orders; DROP TRIGGER IF EXISTS t ON orders;
		CREATE TRIGGER w AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger($arguments)}
	);
	my ($ok, $out, $err) = psql('shop', 'other', '-c',
			'INSERT INTO orders (id, email) VALUES ('
		  . (100 + ord $name)
		  . ", 'x'); INSERT INTO orders (id, email) VALUES ("
		  . (300 + ord $name)
		  . ", 'x')");

	ok($ok, "$arguments: no order fails");
	is( sql('shop',
			'owner',
			q{SELECT count(*) || ' ' || coalesce(min(call #>> '{marks,reject}'), '-') FROM seen}
		),
		'2 ' . ($reason // '-'),
		"$arguments: recorded");
	is(() = $err =~ /WARNING/g, $reason ? 1 : 0, "$arguments: one WARNING");
	like($err, $why, "$arguments: why") if $why;
}
is(sql('shop', 'owner', q{SELECT count(*) FROM lines}),
	'2', 'nothing was dropped');

# triggers that are none
sql('shop', 'owner', q{TRUNCATE seen; DROP TRIGGER w ON orders;
	CREATE TRIGGER w BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E');
	CREATE TRIGGER v AFTER INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION pinterest_capi.track_trigger('E')}
);
is( sql('shop', 'other', 'INSERT INTO orders (id) VALUES (500) RETURNING id'),
	'500',
	'a BEFORE trigger lets the row be');
is( sql('shop',
		'owner',
		q{SELECT string_agg(DISTINCT call #>> '{marks,reject}', ' ') || count(*) FROM seen}
	),
	'not a row-level AFTER trigger2',
	'and is recorded');

# of a table of somebody else, who could have written anything into a mapping
$node->safe_psql(
	'shop', q{
	CREATE SCHEMA theirs AUTHORIZATION other;
	GRANT EXECUTE ON FUNCTION pinterest_capi.track_trigger() TO other});
sql('shop', 'other', q{
	CREATE TABLE theirs.t (id integer, email text);
	CREATE FUNCTION theirs.who() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
	CREATE TRIGGER a AFTER INSERT ON theirs.t FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('A', 'email=email', 'event_id=id');
	CREATE TRIGGER b AFTER INSERT ON theirs.t FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('B', 'content_name=(theirs.who())', 'event_id=id')}
);
sql('shop', 'owner', 'TRUNCATE seen');
sql('shop', 'other', q{INSERT INTO theirs.t VALUES (1, 'a@example.com')});
is( sql('shop',
		'owner',
		q{SELECT string_agg(event_name || ' ' || coalesce(call #>> '{marks,reject}', '-') || ' ' || (call -> 'properties'), ', ' ORDER BY event_name) FROM seen}
	),
	'A - {}, B mapping: content_name {}',
	'columns are read, and no code of theirs runs as the owner');
sql('shop', 'other', q{
	CREATE TYPE theirs.pair AS (a text);
	CREATE FUNCTION theirs.to_json(theirs.pair) RETURNS json LANGUAGE sql AS 'SELECT to_json(current_user::text)';
	CREATE CAST (theirs.pair AS json) WITH FUNCTION theirs.to_json(theirs.pair);
	ALTER TABLE theirs.t ADD p theirs.pair});
sql('shop', 'owner', 'TRUNCATE seen');
is( sql('shop', 'other',
		q{INSERT INTO theirs.t VALUES (2, 'a@example.com', ROW('x'))}),
	'',
	'nor a cast of theirs');
is( sql('shop',
		'owner',
		q{SELECT event_name || ' ' || (call #>> '{marks,reject}') FROM seen WHERE event_name = 'A'}
	),
	'A mapping: row',
	'which is recorded');

# When the script's table was dropped, orders are still written.
$node->safe_psql('shop', 'DROP TABLE pinterest_capi._call CASCADE');
is( sql('shop', 'other', 'INSERT INTO orders (id) VALUES (501) RETURNING id'),
	'501',
	'an order without the table');

done_testing();
