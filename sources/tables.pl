#!/usr/bin/perl
# tables.pl
#	  The tables of pinterest_capi_source.sql, from those of the C code and of Unicode.
#
# tables.pl FILE		writes them between the lines that mark them
# tables.pl --check FILE	fails where the file has others
#
# Characters are those of Unicode 13, the version of PostgreSQL 13: later
# versions of Unicode leave them as they are, so any Perl from 5.32 on makes
# the same tables.  What is written is ASCII: the script is run in databases of
# any encoding.
use strict;
use warnings;
use v5.32;

use FindBin;
use Unicode::UCD ();

my $unicode = '13.0';
my $core = "$FindBin::RealBin/../src/core";
my $check = @ARGV && $ARGV[0] eq '--check' ? shift : undef;
my ($file) = @ARGV or die "usage: tables.pl [--check] FILE\n";

sub slurp
{
	my ($name) = @_;

	open my $fh, '<:encoding(UTF-8)', $name or die "$name: $!\n";
	local $/;
	return <$fh>;
}

# ---- Unicode ----

# beyond ASCII, surrogates aside
my @present = grep { chr($_) =~ /\p{In=$unicode}/ } 0x80 .. 0xD7FF,
  0xE000 .. 0x10FFFF;

sub ranges
{
	my @ranges;

	for my $c (@_)
	{
		if   (@ranges && $c == $ranges[-1][1] + 1) { $ranges[-1][1] = $c }
		else { push @ranges, [ $c, $c ] }
	}
	return @ranges;
}

sub escaped
{
	return $_[0] < 0x10000 ? sprintf '\u%04X', $_[0] : sprintf '\U%08X',
	  $_[0];
}

# what stands in the brackets of a regular expression
sub class
{
	return join '', map {
		escaped($_->[0]) . ($_->[1] > $_->[0] ? '-' . escaped($_->[1]) : '')
	} ranges(@_);
}

sub of_category
{
	my ($pattern) = @_;

	return grep { chr($_) =~ $pattern } @present;
}

# FIRST-LAST/STEP+DISTANCE in hex: characters, every STEPth, whose lower case is so far off
sub lower_runs
{
	my ($list, $map, $format, $default) =
	  Unicode::UCD::prop_invmap('Simple_Lowercase_Mapping');
	my @runs;

	for my $c (@present)
	{
		my $i = Unicode::UCD::search_invlist($list, $c);
		my $to = $map->[$i];

		next if $to eq $default;
		$to += $c - $list->[$i];
		next if $to == $c;
		my $distance = $to - $c;
		my $run = $runs[-1];

		if (   $run
			&& $run->{distance} == $distance
			&& (  $run->{first} == $run->{last}
				? $c - $run->{last} <= 2
				: $c - $run->{last} == $run->{step}))
		{
			$run->{step} = $c - $run->{last};
			$run->{last} = $c;
		}
		else
		{
			push @runs,
			  { first => $c, last => $c, step => 1, distance => $distance };
		}
	}
	return join ' ', map {
		sprintf '%x-%x/%d%s%x', @$_{qw(first last step)},
		  $_->{distance} < 0 ? '-' : '+',
		  abs $_->{distance}
	} @runs;
}

# zero of each run of decimal digits
sub digit_zeros
{
	my @zeros;

	for my $range (ranges(of_category(qr/\p{Nd}/)))
	{
		for (my $c = $range->[0]; $c < $range->[1]; $c += 10)
		{
			push @zeros, sprintf '%x', $c;
		}
	}
	return join ' ', @zeros;
}

# ---- the C code's ----

# CODE|CALLING CODE|TRUNK|INTERNATIONAL|FIRST|LENGTHS|MOBILE, as phone_region.h explains them
sub phone_regions
{
	my $c = slurp("$core/phone_region.c");
	my @regions;

	while ($c =~
		/^\t\{"(\w\w)", "(\d+)", "([^"]*)", "([^"]*)", "(\d+)", ([^}]+?), (0|(?:[LR]\([^)]*\)(?: \| )?)+)\}/mg
	  )
	{
		push @regions, join '|', $1, $2, $3, $4, $5, lengths($6), lengths($7);
	}
	my $n = () = $c =~ /^\t\{"/mg;
	die "phone_region.c: " . @regions . " of $n regions read\n"
	  unless $n > 200 && $n == @regions;
	return @regions;
}

sub lengths
{
	my ($text) = @_;
	my $set = 0;

	for my $part (split / \| /, $text)
	{
		next if $part eq "0";
		if    ($part =~ /^L\((\d+)\)$/) { $set |= 1 << $1 }
		elsif ($part =~ /^R\((\d+), (\d+)\)$/)
		{
			$set |= (2 << $2) - (1 << $1);
		}
		else { die "phone_region.c: $part\n" }
	}
	return $set;
}

sub json_escaped
{
	my ($s) = @_;

	$s =~
	  s/([^\x00-\x7f])/sprintf ord $1 < 0x10000 ? '\u%04x' : die("beyond the BMP\n"), ord $1/ge;
	return $s;
}

# CODE NAME NAME ...
sub names_in
{
	my ($array, $number, $fields) = @_;
	my $c = slurp("$core/place_names.c");
	my $h = slurp("$core/place_names.h");
	my @names;

	my ($table) = $c =~ /\b$array\[\w+\] = \{\n(.*?)\n\};/s
	  or die "place_names.c: no $array\n";
	my ($n) = $h =~ /#define $number\s+(\d+)/
	  or die "place_names.h: no $number\n";
	$table =~ s/"\s*\n\s*"//g;
	while ($table =~ /\{((?:"[^"]*"(?:,\s*)?){$fields})\}/g)
	{
		push @names, join ' ', grep { length } $1 =~ /"([^"]*)"/g;
	}
	die "place_names.c: " . @names . " of $n in $array read\n"
	  unless @names == $n;
	return map { json_escaped($_) } @names;
}

sub misspelled
{
	my $c = slurp("$core/normalize_email.c");
	my ($table) = $c =~ /\bmisspelled\[\] = \{(.*?)\};/s
	  or die "normalize_email.c: no table\n";

	return $table =~ /"([^"]+)"/g;
}

# the file of src that has the text
sub source_with
{
	my ($text) = @_;

	for my $name (glob "$FindBin::RealBin/../src/*/*.c")
	{
		my $c = slurp($name);

		return $c if index($c, $text) >= 0;
	}
	die "no file of src has $text\n";
}

# what a key of user_data is, and which values one of properties takes
sub keys_of_calls
{
	my %keys = map { $_ => 'call' }
	  qw(visitor_id event_id event_time action_source destination consent);
	my %kinds =
	  (client_ip_address => 'ip', client_user_agent => 'user_agent');
	my ($table) =
	  source_with('[PCAPI_EM] = HASHED(') =~
	  /\bpcapi_user_data_fields\[\w+\] =\n\{\n(.*?)\n\};/s
	  or die "no table of keys\n";

	while ($table =~
		/^\t\[PCAPI_\w+\] = (?:HASHED\("(\w+)", ([^)]*)\)|\{"(\w+)", \{([^}]*)\})/mg
	  )
	{
		my ($name, $aliases) = ($1 // $3, $2 // $4);

		$keys{$_} = 'user ' . ($kinds{$name} // $name)
		  for $name, $aliases =~ /"(\w+)"/g;
	}
	($table) =
	  source_with('[PCAPI_PROP_PAGE_URL] = ') =~
	  /\bproperties\[\] =\n\{\n(.*?)\n\};/s
	  or die "no table of properties\n";
	while ($table =~
		/^\t\[PCAPI_PROP_\w+\] = (?:EVENT\(|CUSTOM\(|\{)"(\w+)", (?:"\w+", |NULL, )?PCAPI_(?:P|TYPE)_(\w+)/mg
	  )
	{
		my ($key, $type) = ($1, $2);

		$keys{$key} = 'property '
		  . ($type =~ /^(?:DECIMAL|INTEGER)$/ ? 'number' : 'text');
	}
	die 'only ' . keys(%keys) . " keys read\n"
	  unless keys(%keys) == 6 + 32 + 36;
	return map { qq{"$_": "$keys{$_}"} } sort keys %keys;
}

# NAME(PARAMETERS) RESULT of each internal function of the script, as the catalog has it
sub internal_functions
{
	my $sql = slurp($file);
	my %type = ('timestamptz' => 'timestamp with time zone');
	my @functions;

	while ($sql =~
		/^\s*CREATE OR REPLACE FUNCTION pinterest_capi\.(_\w+)\(([^()]*)\) RETURNS ([\w\[\]]+)$/mg
	  )
	{
		my ($name, $parameters, $result) = ($1, $2, $3);

		push @functions, "$name(" . $parameters =~ s/\s+/ /gr . ") $result";
	}
	s/\b(\w+)\b/$type{$1} \/\/ $1/ge for @functions;
	my $n = () = $sql =~ /^\s*CREATE OR REPLACE FUNCTION pinterest_capi\._/mg;
	die 'script: ' . @functions . " of $n internal functions read\n"
	  unless $n == @functions;
	return join ';', sort @functions;
}

# ---- writing ----

# a string literal over several lines, which SQL takes for one
sub literal
{
	my ($text, $separator) = @_;
	my @lines = ('');

	for my $piece (split /(?<=\Q$separator\E)/, $text)
	{
		push @lines, ''
		  if length($lines[-1]) + length($piece) > 110 && length $lines[-1];
		$lines[-1] .= $piece;
	}
	return join "\n\t\t", map { s/'/''/gr =~ s/^|$/'/gr } @lines;
}

# no longer line than others have, wherever that is possible
sub class_literal
{
	my ($class) = @_;
	my @lines = ('');

	for
	  my $piece ($class =~ /(\\(?:u\w{4}|U\w{8})(?:-\\(?:u\w{4}|U\w{8}))?)/g)
	{
		push @lines, '' if length($lines[-1]) + length($piece) > 110;
		$lines[-1] .= $piece;
	}
	return join "\n\t\t", map { "'$_'" } @lines;
}

my %tables = (
	letters => sub { class_literal(class(of_category(qr/\p{L}/))) },
	punctuation => sub { class_literal(class(of_category(qr/\p{P}/))) },
	marks => sub { class_literal(class(of_category(qr/\p{M}/))) },
	format => sub { class_literal(class(of_category(qr/\p{Cf}/))) },
	present => sub { class_literal(class(@present)) },
	lower => sub { literal(lower_runs(), ' ') },
	digits => sub { literal(digit_zeros(), ' ') },
	phone_regions =>
	  sub { literal(';' . join(';', phone_regions()) . ';', ';') },
	countries => sub {
		literal(
			join(';', names_in('pcapi_country_names', 'PCAPI_COUNTRIES', 3)),
			' ');
	},
	us_states => sub {
		literal(join(';', names_in('pcapi_us_states', 'PCAPI_US_STATES', 2)),
			' ');
	},
	ca_provinces => sub {
		literal(
			join(
				';', names_in('pcapi_ca_provinces', 'PCAPI_CA_PROVINCES', 2)),
			' ');
	},
	internal_functions => sub { literal(internal_functions(), ';') },
	keys => sub { literal('{' . join(', ', keys_of_calls()) . '}', ', ') },
	misspelled => sub {
		join ', ', map { "'$_'" } misspelled();
	},);

my $old = slurp($file);
my $new = $old;
my %seen;

$new =~ s{(/\* table (\w+) \*/).*?(/\* end of table \*/)}
	{ $seen{$2}++; my $t = $tables{$2} or die "$file: no table $2\n"; "$1\n\t\t" . $t->() . "\n\t\t$3" }gse;
for my $name (sort keys %tables)
{
	die "$file: no place for the table $name\n" unless $seen{$name};
}
die
  "$file: its tables are not those of the C code: run sources/tables.pl $file\n"
  if $check && $new ne $old;
if (!$check && $new ne $old)
{
	open my $fh, '>:encoding(UTF-8)', $file or die "$file: $!\n";
	print $fh $new;
	close $fh or die "$file: $!\n";
}
