# Type the README at a terminal, as a person does: an interactive shell and an
# interactive psql at a pseudo-terminal, each block pasted in brackets
# (ESC [ 200 ~), Enter behind it.
#
# Usage: perl type_readme.pl README SHOWN COMMAND... -- STEP...
#	COMMAND: opens the ordinary user's login shell in the root
#	STEP:    install (the block with "make install"), quickstart (the block that
#	         opens psql, and the block of SQL), report, or a command to type
#	SHOWN:   a file for all that the terminal shows
#
# It ends with status 1 where a step does not show what it should.
use strict;
use warnings;

use IPC::Run;

my ($readme, $shown, @rest) = @ARGV;
my @command;
while (@rest && $rest[0] ne '--')
{
	push @command, shift @rest;
}
shift @rest;

my %blocks;
{
	open my $in, '<', $readme or die "$readme: $!\n";
	local $/;
	my $text = <$in>;

	push @{ $blocks{$1} }, $2 while $text =~ /^```(\w+)\n(.*?)^```$/msg;
}

sub block
{
	my ($language, $pattern) = @_;
	my ($found) = grep { /$pattern/ } @{ $blocks{$language} };

	return $found
	  // die "the README has no block of $language with $pattern\n";
}

my ($typed, $screen) = ('', '');
my $timer = IPC::Run::timeout(60);
my $run =
  IPC::Run::start(\@command, '<pty<' => \$typed, '>pty>' => \$screen, $timer);
my $prompt = qr/user\@[^\n]*\$ $/;
my $psql_prompt = qr/shop=# $/;
open my $out, '>', $shown or die "$shown: $!\n";
$out->autoflush;

# Return the terminal's text, without escape sequences.
sub plain { return $_[0] =~ s/\e\[[0-9;?]*[A-Za-z]//gr =~ s/\r//gr }

# Type, and wait until the screen ends in a prompt again; return what came.
sub type
{
	my ($text, $until, $seconds) = @_;
	my $from = length $screen;

	$timer->start($seconds // 120);
	$typed = $text =~ /\n./ ? "\e[200~$text\e[201~\n" : $text =~ s/\n?$/\n/r;
	eval {
		$run->pump while length $typed;

		# first the echo of the typed text, then the next prompt
		$run->pump until plain(substr $screen, $from) =~ /\n.*$until/s;
		1;
	} or die plain(substr $screen, $from) . "\nno prompt came back: $@";
	print $out plain(substr $screen, $from);
	return plain(substr $screen, $from);
}

sub expect
{
	my ($what, $text, $pattern) = @_;

	die "$what does not show what it should ($pattern):\n$text\n"
	  unless $text =~ $pattern;
	print "$what: ok\n";
	return;
}

$run->pump until plain($screen) =~ $prompt;

# a new pseudo-terminal has no size, and psql would page everything
type('stty rows 50 columns 150', $prompt);
type('cd ~/pinterest_capi', $prompt);
for my $step (@rest)
{
	my $began = time;

	if ($step eq 'install')
	{
		my $text = type(block('sh', qr/make install/), $prompt, 1200);

		expect('install', type('echo "status $?"', $prompt), qr/^status 0$/m);

		# A root has no init that would start the package's cluster.
		type(
			'sudo pg_ctlcluster $(pg_lsclusters -h | cut -d" " -f1,2) start; sleep 1; pg_lsclusters',
			$prompt);
	}
	elsif ($step eq 'quickstart')
	{
		type(block('sh', qr/psql shop$/m), $psql_prompt);
		my $text = type(block('sql', qr/CREATE EXTENSION/), $psql_prompt);

		expect('the paste', $text,
			qr/^ 1001 +\| Order Placed \| checkout \| sent /m);
		type('\q', $prompt);
		expect('what arrived',
			type('curl http://127.0.0.1:8766/received', $prompt),
			qr/"event_id":"1001"/);
		type('kill %1', $prompt);
	}
	elsif ($step eq 'report')
	{
		type(block('sh', qr/report_html/), $prompt);
		expect(
			'the report',
			type('head -c 15 report.html; echo', $prompt),
			qr/^<!DOCTYPE html>/im);
	}
	else
	{
		my $text = type($step, $prompt, 7200);

		expect($step, type('echo "status $?"', $prompt), qr/^status 0$/m);
		print map { "  $_\n" } grep { /orders sent$|^\d+ passed/ } split /\n/,
		  $text;
	}
	printf "  %d s\n", time - $began;
}
$typed = "exit\n";
$run->finish;
