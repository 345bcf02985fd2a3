# Every file and every name of the code that a document names exists, and every
# file that a comment of the code names.
#
# A path is searched for from the top of the tree and from src/, a file's name
# alone anywhere.  What is written in capitals (t/NAME.pl) stands for a name.
use strict;
use warnings;

use FindBin;
use Test::More;

my $top = "$FindBin::RealBin/..";
my @folders =
  qw(bench debian demo docs expected monitoring specs sql src t test);

# a release's archive has none
push @folders, '.github' if -d "$top/.github";

# other trees, placeholders, files that a run writes
my $beyond =
  qr{^(?:src/(?:backend|include|bin|bgw|test)/|t/NAME|bench/results\.json$)};

sub slurp
{
	my ($file) = @_;

	open my $in, '<:utf8', $file or die "$file: $!\n";
	local $/;
	return scalar <$in>;
}

sub is_there
{
	my ($path) = @_;

	return scalar grep { -e } glob("$top/$path $top/src/$path");
}

my @files = map { glob "$top/$_" }
  qw(*.c src/*.h src/*/*.[ch] sql/*.sql specs/*.spec src/sql/*.sql t/*.p[lm] test/* test/*/*);
my %is_file = map { m{([^/]+)$} ? ($1 => 1) : () } @files;
my %is_name;
for my $source (grep { m{\.[ch]$} } @files)
{
	$is_name{$_} = 1 for slurp($source) =~ /\b(\w+)\b/g;
}
cmp_ok(scalar(keys %is_name), '>', 1000, 'the code was read');

my $folders = join '|', map { quotemeta } @folders;
my $n = 0;
for my $document (sort map { glob "$top/$_" } qw(*.md docs/*.md bench/*.md))
{
	my $text = slurp($document);
	my $short = $document =~ s{^\Q$top\E/}{}r;
	my (%path, %file, %name);

	# a path; not the end of a longer one, nor an address
	$path{$1} = 1
	  while $text =~ m{(?<![\w./:~<-])(?:\./)?((?:$folders)/[\w*./-]*[\w*])}g;
	$path{$1} = 1
	  while $text =~
	  m{`((?:core|common|queue|track|admin|fanin|worker)/\w+(?:\.[ch])?)`}g;
	$file{$1} = 1 while $text =~ m{(?<![\w./-])(\w+\.(?:[ch]|spec|p[lm]))\b}g;
	$name{$1} = 1 while $text =~ m{`((?:pcapi|Pcapi|PCAPI_)\w+)(?:\(\))?`}g;
	my @lacking = grep { !/$beyond/ && !is_there($_) } sort keys %path;
	is(join(' ', @lacking), '', "$short: the paths that it names are there");
	@lacking = grep { !$is_file{$_} } sort keys %file;
	is(join(' ', @lacking), '', "$short: the files that it names are there");
	@lacking = grep { !$is_name{$_} } sort keys %name;
	is(join(' ', @lacking),
		'',
		"$short: the functions, types and macros that it names are there");
	$n += keys(%path) + keys(%file) + keys(%name);
}
cmp_ok($n, '>', 150, 'the documents name enough of them');

# ---- comments; a file of the server's own stands with its folder ----

$n = 0;
for my $source (
	glob "$top/*.c $top/src/*.h $top/src/*/*.[ch] $top/src/sql/*.sql")
{
	my $text = slurp($source);
	my $short = $source =~ s{^\Q$top\E/}{}r;
	my %lacking;

	for my $comment ($text =~ m{/\*.*?\*/|^\s*--[^\n]*}msg)
	{
		while ($comment =~
			m{(?<![\w./:*-])((?:[\w.-]+/)*[\w-]+\.(?:[ch]|sql|spec|p[lm])|src/\w+)\b}g
		  )
		{
			my $file = $1;
			my $found = $file =~ m{/} ? is_there($file) : $is_file{$file};

			$n++;
			$lacking{$file} = 1
			  if !$found
			  && $file !~
			  m{^(?:commands|postmaster|backend|utils)/|^lockfuncs\.c$};
		}
	}
	is(join(' ', sort keys %lacking),
		'', "$short: the files that its comments name are there")
	  if %lacking;
}
cmp_ok($n, '>', 150, 'comments name enough files');

# the diagram of a batch has the states of the code, and no others
my ($diagram) =
  slurp("$top/docs/design.md") =~ /^### A batch\n.*?^```\n(.*?)^```/ms;
my %drawn = map { $_ => 1 } $diagram =~ /\b([A-Z][A-Z_]+)\b/g;
my %state = map { $_ => 1 }
  slurp("$top/src/worker/batch.h") =~ /^\tPCAPI_BATCH_(\w+)/mg;
is( join(' ', sort keys %drawn),
	join(' ', sort keys %state),
	"docs/design.md: a batch's states");

done_testing();
