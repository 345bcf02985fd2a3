# A source's hashes are the extension's, of random identifiers and of each
# character of Unicode 13, on each version of PostgreSQL.
#
# PINTEREST_CAPI_TEST_SEED=N	repeats a run, whose seed is in its output
# PINTEREST_CAPI_TEST_VALUES=N	random identifiers, 2000 unless given
use strict;
use warnings;
no warnings 'nonchar';

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RandomCalls;
use SourceServers;
use Test::More;

my $seed = $ENV{PINTEREST_CAPI_TEST_SEED} || 1 + int(rand(2**31 - 1));
my $values = $ENV{PINTEREST_CAPI_TEST_VALUES} || 2000;
srand($seed);
note("PINTEREST_CAPI_TEST_SEED=$seed");

# ---- random identifiers ----

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

my $hashes =
  q{SELECT n, encode(convert_to(concat_ws('|', coalesce(pinterest_capi.normalize_identifier(kind, value), '-'), coalesce(pinterest_capi.hash_identifier(kind, value), '-'),
	coalesce(pinterest_capi.normalize_identifier(kind, value, country), '-'), coalesce(pinterest_capi.hash_identifier(kind, value, country), '-')), 'UTF8'), 'hex') FROM given ORDER BY n};

# every character of Unicode 13 by itself, but for controls and surrogates
my $all =
  q{SELECT md5(string_agg(coalesce(pinterest_capi.hash_identifier(kind, 'a' || chr(c) || 'B'), '-'), ',' ORDER BY kind, c))
	FROM unnest('{ln,zp,ct}'::text[]) AS kind, (SELECT generate_series(32, 12287) UNION SELECT generate_series(42560, 43999) UNION SELECT generate_series(63744, 65535)
		UNION SELECT generate_series(66304, 72959) UNION SELECT generate_series(119808, 120831) UNION SELECT generate_series(124928, 125439)) AS u (c)
	WHERE pinterest_capi.hash_identifier('ln', 'a' || chr(c)) IS NOT NULL AND c IN (SELECT c FROM known)};
my @known = grep { chr($_) =~ /\p{In=13.0}/ } 32 .. 0x2FFF, 0xA640 .. 0xABDF,
  0xF900 .. 0xFFFF, 0x10300 .. 0x11CFF, 0x1D400 .. 0x1D7FF,
  0x1E800 .. 0x1E9FF;

# ---- what the extension makes of them ----

sub give
{
	my ($node, $database) = @_;

	local $ENV{PGCLIENTENCODING} = 'UTF8';
	$node->safe_psql(
		$database, q{
		CREATE TABLE given (n integer PRIMARY KEY, kind text, value text, country text);
		CREATE TABLE known AS SELECT unnest(ARRAY[}
		  . join(',', @known) . ']) AS c');
	$node->safe_psql($database, "\\copy given FROM '$file'");
	return;
}

my $server =
  PinterestStub::new_node('server', conf => "log_statement = none\n");
$server->safe_psql('postgres', 'CREATE EXTENSION pinterest_capi');
give($server, 'postgres');
my @theirs = split /\n/, $server->safe_psql('postgres', $hashes);
my $all_theirs = $server->safe_psql('postgres', $all);

# ---- what each source makes of them ----

sub hashes
{
	my ($source) = @_;
	my $node =
	  new_source($source, "source_$source->{major}", "autovacuum = off\n");

	$node->safe_psql('postgres',
		'CREATE ROLE owner LOGIN; CREATE DATABASE shop OWNER owner');
	ok((load_script($node, 'shop', 'owner'))[0], 'the script runs');
	give($node, 'shop');

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


	is( $node->safe_psql('shop', $all),
		$all_theirs,
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

			# 19 has no other strings than the standard's
			(   $source->{major} < 19
				? 'SET standard_conforming_strings = off; '
				: '')
			  . q{SET search_path = ''; SELECT pinterest_capi.normalize_identifier('ct', 'St. Louis')}
		),
		'stlouis',
		'whatever the session has set');

	$node->stop;
	return;
}

for my $source (source_servers())
{
	subtest "PostgreSQL $source->{version}" =>
	  sub { hashes($source); done_testing() };
}
done_testing();
