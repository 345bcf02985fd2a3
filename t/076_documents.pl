# Every block of SQL in the README and in docs/ runs, in the order of its
# document, in a database of that document's own, and shows what it says it
# shows; every link between the documents leads somewhere; the README is short.
#
# The blocks are pasted into psql as a person does it: at a terminal, in
# brackets (ESC [ 200 ~), so that psql sees a block as one line.
#
# A ```sql block that must not run says so in its first line: -- not run: REASON.
# A ```text block right after one is what psql prints for its last statement.
# Whatever api_url a document sets, the events go to the stub: a trigger sees to it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";

# the tokens in the documents
my %stubs = map { $_ => PinterestStub->new(token => $_) }
  qw(pina_demo_token pina_your_conversion_access_token);
my $node = PostgreSQL::Test::Cluster->new('documents');

# Each document begins with an empty database, or with the state after the
# README's quick start.
my %empty = map { $_ => 1 } qw(README.md docs/reference.md);
my $configured = q{
	CREATE EXTENSION pinterest_capi;
	SELECT pinterest_capi.configure_destination('2617998078212', 'pina_your_conversion_access_token', '549755885175');
	SELECT pinterest_capi.allow_event('Order Placed', send_as => 'Checkout');
};

sub documents
{
	return map { s{^\Q$top\E/}{}r } sort glob("$top/*.md $top/docs/*.md");
}

# Return a document's blocks: language, text, line.
sub blocks
{
	my ($text) = @_;
	my (@blocks, $block);
	my $line = 0;

	for (split /\n/, $text)
	{
		$line++;
		if (!$block && /^```(\w*)/)
		{
			$block = { language => $1, text => '', line => $line };
			push @blocks, $block;
		}
		elsif ($block && /^```$/)
		{
			$block->{end} = $line;
			undef $block;
		}
		elsif ($block)
		{
			$block->{text} .= "$_\n";
		}
	}
	return @blocks;
}

# a table as psql prints it, whatever the width of its columns
sub cells
{
	my ($table) = @_;

	return join "\n",
	  map { s/-+/-/gr } map { s/ +/ /gr } map { s/ *([|+]) */$1/gr }
	  map { s/^\s+|\s+$//gr } grep { /\S/ } split /\n/, $table;
}

my $ca = "$PostgreSQL::Test::Utils::tmp_check/authorities.pem";
append_to_file($ca, slurp_file($_->ca_file)) for values %stubs;
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"log_statement = none\npinterest_capi.ca_file = '$ca'\nmax_worker_processes = 20\n"
);
$node->start;

# An event trigger sets api_url after CREATE EXTENSION, also in databases made
# from this one.
my ($demo, $own) = map { $stubs{$_}->url }
  qw(pina_demo_token pina_your_conversion_access_token);
$node->safe_psql('template1', <<"SQL");
CREATE FUNCTION public.redirect() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	NEW.api_url := CASE WHEN NEW.api_url LIKE 'http:%' THEN '$demo' ELSE '$own' END;
	RETURN NEW;
END \$\$;
CREATE FUNCTION public.redirect_destinations() RETURNS event_trigger LANGUAGE plpgsql AS \$\$
BEGIN
	CREATE OR REPLACE TRIGGER zz_redirect BEFORE INSERT OR UPDATE ON pinterest_capi.destination
		FOR EACH ROW EXECUTE FUNCTION public.redirect();
END \$\$;
CREATE EVENT TRIGGER redirect_destinations ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
	EXECUTE FUNCTION public.redirect_destinations();
SQL

# ---- a person at a terminal ----

# Start psql in a database, at a pseudo-terminal; its output goes to a file.
sub open_psql
{
	my ($database) = @_;
	my %psql = (
		typed => '',
		screen => '',
		errors => '',
		n => 0,
		file => "$PostgreSQL::Test::Utils::tmp_check/shown.$database");
	local %ENV = (
		%ENV,
		TERM => 'xterm',
		PSQL_HISTORY => '/dev/null',
		PSQL_PAGER => '');

	$psql{timer} =
	  IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	$psql{run} = IPC::Run::start(
		[
			'psql', '-X',
			'-P', 'pager=off',
			'-o', $psql{file},
			'-d', $node->connstr($database)
		],
		'<pty<' => \$psql{typed},
		'>pty>' => \$psql{screen},
		'2>' => \$psql{errors},
		$psql{timer});
	$psql{run}->pump until $psql{screen} =~ /=# /;
	return \%psql;
}

# Paste a block and press Enter; return its output and errors.
sub paste
{
	my ($psql, $text) = @_;
	my $end = 'end of block ' . ++$psql->{n};
	my $before = -s $psql->{file} // 0;
	my $errors;

	$psql->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	$psql->{errors} = '';
	$psql->{typed} = "\e[200~$text\e[201~\n";
	$psql->{run}->pump while length $psql->{typed};

	# A command of its own: psql reads it after the block's statements.
	$psql->{typed} = "\\warn $end\n";
	$psql->{run}->pump until $psql->{errors} =~ /^\Q$end\E$/m;
	$errors = join "\n",
	  grep { !/^(?:\Q$end\E|NOTICE:|DETAIL:|HINT:)/ } split /\n/,
	  $psql->{errors};
	return (substr(slurp_file($psql->{file}), $before), $errors);
}

sub close_psql
{
	my ($psql) = @_;

	$psql->{typed} = "\\q\n";
	$psql->{run}->finish;
}

my $compared = 0;
my @left_out;
for my $document (documents())
{
	my @blocks = blocks(slurp_file("$top/$document"));
	my $database = lc $document =~ s/\W+/_/gr;
	my $n = grep { $_->{language} eq 'sql' } @blocks;

	next if $n == 0;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, $configured) unless $empty{$document};
	my $psql = open_psql($database);
	for my $i (0 .. $#blocks)
	{
		my $block = $blocks[$i];

		next if $block->{language} ne 'sql';
		my $name = "$document, line $block->{line}";
		if ($block->{text} =~ /\A-- not run: (.*\w.*)/)
		{
			# the test that the block names instead of this one must exist
			my ($test) = $1 =~ m{\b(t/\w+\.pl)};

			ok(-e "$top/$test", "$name: left out: $1") if $test;
			push @left_out, $name;
			next;
		}
		unlike($block->{text}, qr/^\s*\\/m,
			"$name: no backslash command, which would swallow the rest of what is pasted"
		);
		my ($out, $err) = paste($psql, $block->{text});
		is($err, '', "$name: runs") or diag($block->{text});
		my $shown = $blocks[ $i + 1 ];
		next
		  unless $shown
		  && $shown->{language} eq 'text'
		  && $shown->{line} <= $block->{end} + 2;
		my ($heads) = cells($shown->{text}) =~ /^(.*)$/m;

		# the last statement's output
		my $at = rindex cells($out), $heads;
		is( $at < 0 ? cells($out) : substr(cells($out), $at),
			cells($shown->{text}),
			"$name: shows what it says");
		$compared++;
	}
	close_psql($psql);
}
cmp_ok($compared, '>=', 10,
	'results that stand in the documents were compared');
cmp_ok(scalar(@left_out), '<', 10, 'few blocks are left out: ' . join '; ',
	@left_out);

# the quick start, to the letter
is( $node->safe_psql(
		'readme_md',
		q{SELECT status FROM pinterest_capi.dispatch_status WHERE event_id = '1001'}
	),
	'sent',
	"the README's order is sent");
is(scalar($stubs{pina_demo_token}->received('1001')), 1, 'and has arrived');

# ---- links ----

# Return the anchor that GitHub makes of a heading.
sub anchors
{
	my ($file) = @_;
	my $text = slurp_file($file) =~ s/^```.*?^```$//msgr;

	return
	  map { my $s = lc $_; $s =~ s/[^\w\s-]//g; $s =~ s/\s/-/g; $s => 1 }
	  $text =~ /^#+ +(.*?)\s*$/mg;
}

for my $document (documents())
{
	my $text = slurp_file("$top/$document") =~ s/^```.*?^```$//msgr;
	my ($folder) = "$top/$document" =~ m{^(.*)/};
	my @broken;

	# a link, outside backquotes
	$text =~ s/`[^`\n]*`/x/g;
	for my $target ($text =~ /\]\(([^()\s]+)\)/g)
	{
		next if $target =~ /^https?:/;
		my ($path, $anchor) = $target =~ /^([^#]*)(?:#(.*))?$/;
		my $file = $path eq '' ? "$top/$document" : "$folder/$path";

		push @broken, $target
		  if !-e $file || (defined $anchor && !{ anchors($file) }->{$anchor});
	}
	is(join(' ', @broken), '', "$document: its links lead somewhere");
}

# ---- length ----

# a reader in a hurry reads all of it
my $lines = () = slurp_file("$top/README.md") =~ /\n/g;
cmp_ok($lines, '<=', 120, 'README.md has at most 120 lines');

done_testing();
