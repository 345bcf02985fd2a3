# A developer's loop compiles no more than needed: make compiles what depends
# on the changed files, test/run --keep no more than that, make check-unit
# needs no server, and test/graph finds an arrow that points up and a circle.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time utime);

my $tmp = PostgreSQL::Test::Utils::tempdir();
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';

# options of a make that runs this test
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};

# The objects compiled here are not run.
$ENV{COPT} = '-O0';

# Return a command's exit status and all its output.
sub run_in
{
	my ($folder, @command) = @_;
	my $out = '';

	IPC::Run::run(
		[
			'sh', '-c', 'cd "$1" && shift && exec "$@"',
			'sh', $folder, @command
		],
		'<' => \undef,
		'>&' => \$out);
	return ($? >> 8, $out);
}

# Copy the tree without its build products, also those of earlier tests.
sub copy_tree
{
	my ($to) = @_;

	mkdir $to or die "$to: $!";
	system_or_bail('sh', '-c',
		'top=$1 src=$2; . "$top/test/lib.sh"; copy_tree',
		'sh', "$FindBin::RealBin/..", $to);
	return;
}

sub touch
{
	my $now = time();
	utime $now, $now, $_[0] or die "$_[0]: $!";
	return;
}

# ---- which files are compiled ----

my @objects =
  qw(src/queue/worker_slots.o src/admin/verify_request.o src/worker/verify_send.o);

for my $way (

	# as where the server itself was built with --enable-depend
	[ 'in the tree' => sub { ($_[0], 'autodepend=yes') } ],
	[
		'outside of the tree' => sub {
			my $build = "$_[0].build";
			mkdir $build;
			($build, '-f', "$_[0]/Makefile", "VPATH=$_[0]");
		}
	])
{
	my ($name, $where) = @$way;
	my $tree = "$tmp/" . ($name =~ s/\W/_/gr);

	copy_tree($tree);
	my ($build, @arguments) = $where->($tree);
	my @make = ('make', '-s', "PG_CONFIG=$pg_config", @arguments);
	my $compiled = sub {
		my ($status, $out) =
		  run_in($build, (grep { $_ ne '-s' } @make), '-n', @objects);

		return join ' ', sort $out =~ /-o (src\S+\.o)/g;
	};

	my ($status, $out) = run_in($build, @make, @objects);
	is($status, 0, "$name: objects are built") or diag($out);
	is($compiled->(), '', "$name: and not again");
	touch("$tree/src/queue/worker_slots.h");
	is($compiled->(), 'src/queue/worker_slots.o',
		"$name: a header: what includes it");
	run_in($build, @make, @objects);
	touch("$tree/src/admin/verify_request.c");
	is($compiled->(), 'src/admin/verify_request.o',
		"$name: a source: its object, and no other");
	touch("$tree/src/worker/sender.h");
	is( $compiled->(),
		'src/admin/verify_request.o src/worker/verify_send.o',
		"$name: another header: what includes that");
	unlink "$tree/src/queue/worker_slots.h";
	($status, $out) = run_in($build, @make, '-n', @objects);
	is($status, 0, "$name: a header that is deleted is no error of make's")
	  or diag($out);
	run_in($build, @make, 'clean');
	my ($found, $left) = run_in(
		$build, 'find', '.', '-name', '*.o', '-o',
		'-name', '*.d', '-type', 'f');
	is($left, '', "$name: make clean removes objects and lists of headers");
}

# ---- unit tests ----

my $tree = "$tmp/in_the_tree";
my ($status, $out) = run_in($tree, 'make', 'check-unit', 'CC=no-compiler');
isnt($status, 0, 'check-unit without a compiler fails');
like($out, qr/^check-unit: missing: no-compiler \(Debian: gcc\)$/m,
	'and says so');
($status, $out) = run_in($tree, 'make', 'check-unit', 'CPPFLAGS=-nostdinc');
isnt($status, 0, 'without headers it fails');
like($out, qr/^check-unit: missing: \Q$_\E$/m, "and names $_")
  for 'curl/curl.h (Debian: libcurl4-openssl-dev)',
  'openssl/evp.h (Debian: libssl-dev)',
  'utf8proc.h (Debian: libutf8proc-dev)';
($status, $out) = run_in($tree, 'make', 'check-unit', 'PG_CONFIG=/no/server');
is($status, 0, 'without a server it passes') or diag($out);
cmp_ok(scalar(() = $out =~ /^ok \d/mg), '>', 500, 'with its tests');

# ---- a kept build ----

copy_tree("$tmp/kept_tree");
$tree = "$tmp/kept_tree";
my ($libdir) =
  PostgreSQL::Test::Utils::run_command([ $pg_config, '--pkglibdir' ]);
my $installed = "$libdir/pinterest_capi.so";
my $before = (stat $installed)[9];
local $ENV{PINTEREST_CAPI_KEEP} = "$tmp/kept";

# An object's time of change tells whether it was compiled again.
sub built
{
	return
	  map { s{.*/src/}{src/}r => (stat $_)[9] }
	  glob "$tmp/kept/*/src/src/*/*.o";
}

($status, $out) = run_in($tree, './test/run', '--keep', 'unit');
is($status, 0, 'test/run --keep: a first time') or diag($out);
my %first = built();
cmp_ok(scalar(keys %first), '>', 50, 'its objects are kept');
my ($copy) = glob "$tmp/kept/*/server$installed";
ok($copy, 'the extension is installed into the copy of the server');
is((stat $installed)[9], $before, 'and not into the server');

# A file deleted in the tree is deleted in the kept build, too.
touch("$tree/src/admin/html.c");
unlink "$tree/SECURITY.md" or die "SECURITY.md: $!";
($status, $out) = run_in($tree, './test/run', '--keep', 'unit');
is($status, 0, 'a second time') or diag($out);
my %second = built();
is_deeply([ grep { $first{$_} != $second{$_} } sort keys %second ],
	['src/admin/html.o'], 'one file has changed: one is compiled');
is_deeply(
	[
		map  { s{.*/}{}r }
		grep { -e } glob "$tmp/kept/*/src/{SECURITY,README}.md"
	],
	['README.md'],
	'a file that was deleted is deleted in the copy');

# ---- the graph ----

# Make a tree of these files; return the output of test/graph.
sub graph
{
	my ($name, %files) = @_;

	mkdir "$tmp/$name";
	for my $file (keys %files)
	{
		system_or_bail('mkdir', '-p',
			"$tmp/$name/" . ($file =~ s{/?[^/]*$}{}r));
		append_to_file("$tmp/$name/$file", $files{$file});
	}
	my ($code, $said) =
	  run_in("$FindBin::RealBin/..", './test/graph', "$tmp/$name");
	return $said =~ s/\n\z//r;
}

my %sound = (
	'src/core/a.h' => "extern int a(void);\n",
	'src/core/a.c' => "#include \"core/a.h\"\nint a(void) { return 1; }\n",
	'src/queue/b.h' => "#include \"core/a.h\"\nextern int b(void);\n",
	'src/queue/b.c' =>
	  "#include \"queue/b.h\"\nint b(void) { return a(); }\n",
	'src/track/c.c' =>
	  "#include \"queue/b.h\"\nint c(void) { return a() + b(); }\n",
	'src/worker/d.c' =>
	  "#include \"queue/b.h\"\nint d(void) { return b(); }\n");
is(graph('sound', %sound),
	'', 'graph: nothing to say of arrows that point down');
is( graph(
		'include', %sound,
		'src/core/e.c' => "#include \"queue/b.h\"\nint e;\n"),
	'up: src/core/e.c -> src/queue/b.h (includes)',
	'an include that points up');
is( graph(
		'call',
		%sound,
		'src/queue/e.c' =>
		  "extern int c(void);\nint e(void) { return c(); }\n"),
	'up: src/queue/e.c -> src/track/c.c (uses c)',
	'a call that points up');
is( graph(
		'beside',
		%sound,
		'src/worker/e.c' =>
		  "extern int c(void);\nint e(void) { return c(); }\n"),
	'up: src/worker/e.c -> src/track/c.c (uses c)',
	'one beside');
is( graph(
		'variable', %sound,
		'src/core/e.c' => "extern int f;\nint e(void) { return f; }\n",
		'src/queue/f.c' => "int f = 1;\n"),
	'up: src/core/e.c -> src/queue/f.c (uses f)',
	'a variable');
like(
	graph(
		'circle', %sound,
		'src/queue/e.c' =>
		  "extern int f(void);\nint e(void) { return f(); }\n",
		'src/queue/f.c' =>
		  "extern int e(void);\nint f(void) { return e(); }\n"),
	qr{^circle: src/queue/e.c src/queue/f.c$}m,
	'a circle of calls');
like(
	graph(
		'headers', %sound,
		'src/core/e.h' =>
		  "#ifndef E\n#define E\n#include \"core/f.h\"\n#endif\n",
		'src/core/f.h' =>
		  "#ifndef F\n#define F\n#include \"core/e.h\"\n#endif\n"),
	qr{^circle: src/core/e.h src/core/f.h$}m,
	'a circle of headers');
is( graph('stray', %sound, 'src/more/e.c' => "int e;\n"),
	'src/more/e.c: stands in no folder of the rules',
	'a folder without rules');
is( graph('foreign', %sound, 'src/queue/e.h' => "extern int b(void);\n"),
	'src/queue/e.h declares b, which src/queue/b.c defines',
	"a header that declares another file's function");
is( graph('names', %sound, 'src/worker/b.c' => "int e;\n"),
	'one name for two files: src/queue/b.c src/worker/b.c',
	'two files of one name');

done_testing();
