# A release is the archive that `git archive` makes of the tree: META.json at its
# top, where PGXN wants it, without the files that only the repository needs.
# It builds, installs and creates the extension.  The next version begins in it
# as CONTRIBUTING.md says, and takes its databases over by an update.
#
# Tests run in a copy of the tree, which has no repository: git gets one for the
# test, of the files as they are.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Find    ();
use JSON::PP      ();
use PinterestStub qw(:DEFAULT server_copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";

plan skip_all => 'git is not installed'
  if system('command -v git >/dev/null') != 0;
plan skip_all => 'this tree is a release'
  if !-e "$top/.gitattributes";

my $tmp = PostgreSQL::Test::Utils::tempdir();
my ($version) =
  slurp_file("$top/pinterest_capi.control") =~ /^default_version = '(.*)'$/m;
my $name = "pinterest_capi-$version";

# ---- the archive ----

sub git
{
	my ($out) =
	  run_command([ 'git', "--git-dir=$tmp/git", "--work-tree=$top", @_ ]);

	return $out;
}

run_command([ 'git', 'init', '--quiet', '--bare', "$tmp/git" ]);
git('-C', $top, 'add', '--all', '.');
my $tree = git('write-tree');
like($tree, qr/^[0-9a-f]{40,}$/, 'the files are in a repository');
git('archive', "--prefix=$name/", '-o', "$tmp/$name.tar", $tree);
system_or_bail('tar', '-C', $tmp, '-xf', "$tmp/$name.tar");

my $release = "$tmp/$name";
my %archived;
File::Find::find(
	sub {
		$archived{ $File::Find::name =~ s{^\Q$release\E/}{}r } = 1
		  if -f $_ || -l $_;
	},
	$release);
is_deeply(
	[
		grep { !$archived{$_} } split /\n/,
		git('ls-tree', '-r', '--name-only', $tree)
	],
	[
		qw(.ci/run .gitattributes .github/workflows/ci.yml .gitignore test/fuzz/corpus/.gitattributes)
	],
	'nothing is left out but what only the repository needs');
is(JSON::PP::decode_json(slurp_file("$release/META.json"))->{version},
	$version, "$name/META.json has this version");

# ---- it builds, installs, and creates the extension ----

my ($root, $install_path, %directory) = server_copy();
my $scripts = "$root$directory{sharedir}/extension";

# Build and install what the archive has, in the place of what the tree has.
sub install
{
	my ($what) = @_;
	my @make = (
		'make', '-s', '-j', '2', '-C', $release, 'COPT=-O0',
		"PG_CONFIG=$directory{bindir}/pg_config");

	unlink "$root$directory{pkglibdir}/pinterest_capi.so",
	  glob "$scripts/pinterest_capi*";
	is(system_log(@make), 0, "$what builds");
	is(system_log(@make, 'install', "DESTDIR=$root"), 0, "$what installs");
	return sort map { m{([^/]+)$} } glob "$scripts/pinterest_capi*";
}

is_deeply(
	[ install('the archive') ],
	[ "pinterest_capi--$version.sql", 'pinterest_capi.control' ],
	'with one script');

my $node =
  PostgreSQL::Test::Cluster->new('release', install_path => $install_path);
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->start;

$node->safe_psql('postgres', 'CREATE EXTENSION pinterest_capi');
is( $node->safe_psql(
		'postgres', q{
		SELECT x.extversion, s.version FROM pg_extension AS x, pinterest_capi._server_state() AS s
		WHERE x.extname = 'pinterest_capi'}
	),
	"$version|$version",
	'and creates this version, with a library of the same');

# what PostgreSQL itself shows of the library, from 18 on
if ($node->pg_version >= 18)
{
	is( $node->safe_psql(
			'postgres', q{
			LOAD 'pinterest_capi';
			SELECT module_name, version FROM pg_get_loaded_modules() WHERE file_name LIKE 'pinterest_capi%'}
		),
		"pinterest_capi|$version",
		'and its library tells the server its version');
}

# ---- the next version; its library is the release's, so that little is compiled ----

my $update = "pinterest_capi--$version--next.sql";
my $function =
  q{CREATE FUNCTION pinterest_capi.answer() RETURNS integer LANGUAGE sql AS 'SELECT 42';};

sub change
{
	my ($file, $from, $to) = @_;
	my $text = slurp_file("$release/$file");

	$text =~ s/^\Q$from\E$/$to/m or die "$file: no $from";
	unlink "$release/$file"      or die "$file: $!";
	append_to_file("$release/$file", $text);
	return;
}

change(
	'pinterest_capi.control',
	"default_version = '$version'",
	"default_version = 'next'");
change('Makefile', 'DATA =', "DATA = pinterest_capi--$version.sql $update");
append_to_file("$release/src/sql/functions.sql", "$function\n");
append_to_file("$release/$update", "$function\n");
is_deeply(
	[ install('the next version') ],
	[
		sort "pinterest_capi--$version.sql", $update,
		'pinterest_capi--next.sql', 'pinterest_capi.control'
	],
	'with the script of the release, an update script and its own');
my $path = $node->safe_psql('postgres',
	q{SELECT path FROM pg_extension_update_paths('pinterest_capi') WHERE target = 'next'}
);
is($path, "$version--next", 'the server finds the way from the release');
$node->safe_psql('postgres', 'ALTER EXTENSION pinterest_capi UPDATE');
$node->safe_psql('template1', 'CREATE EXTENSION pinterest_capi');

for my $database (qw(postgres template1))
{
	is( $node->safe_psql(
			$database,
			q{SELECT extversion, pinterest_capi.answer() FROM pg_extension WHERE extname = 'pinterest_capi'}
		),
		'next|42',
		"$database has the next version, with what is new in it");
}

$node->stop;
done_testing();
