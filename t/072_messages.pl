# Every error and warning in the sources says what to do next, in PostgreSQL's
# style of messages.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";

# Messages without a hint: those about which a caller can do nothing, or that
# name a skipped value and why.
my %without_hint = map { ($_ => 1) } (
	'out of memory',
	'%s',
	'more than one row returned by an expression',
	'the row is too large for an expression');

# Return the text of a call up to its closing bracket.
sub call_at
{
	my ($source, $at) = @_;

	substr($source, $at) =~
	  /^(\w+\s*(\((?:[^()"']++|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)'|(?2))*\)))/s
	  or return '';
	return $1;
}

# adjacent string literals are one text
sub literal
{
	my ($text) = @_;

	return join '', map { s/\\"/"/gr } $text =~ /"((?:[^"\\]|\\.)*)"/g;
}

my $calls = 0;
my $made = 0;
for my $file (glob("$top/*.c $top/src/*/*.c $top/src/*/*.h"))
{
	my $source = slurp_file($file);
	my ($name) = $file =~ m{([^/]+)$};

	$source =~ s{/\*.*?\*/}{}gs;

	# a macro between literals, or behind the last one
	$source =~ s/"\s*U?INT64_FORMAT\s*"/%lld/g;
	$source =~ s/"\s*U?INT64_FORMAT(?=\s*[,)])/%lld"/g;
	while ($source =~ /\b(?:ereport|pcapi_error_invalid_parameter)\s*\(/g)
	{
		my $call = call_at($source, $-[0]);
		my ($level) = $call =~ /^ereport\s*\(\s*(\w+)/;
		my ($message, @hints);

		if ($level)
		{
			($message) =
			  $call =~ /errmsg(?:_plural)?\s*\(((?:"(?:[^"\\]|\\.)*"\s*)+)/;
			@hints = $call =~ /errhint\s*\(((?:"(?:[^"\\]|\\.)*"\s*)+)/g;
		}
		else
		{
			($message, @hints) = $call =~ /\(((?:"(?:[^"\\]|\\.)*"\s*)+)/g;
		}
		next unless defined $message;
		$message = literal($message);
		$calls++;
		like(
			$message,
			qr/^(?:[a-z%_]|Tag ID)[^\n]*[^.!\s]$/,
			"$name: $message: begins in lower case and ends without a full stop"
		);
		next if $without_hint{$message} || ($level // '') eq 'LOG';
		ok(@hints > 0, "$name: $message: has a hint");
		for my $hint (map { literal($_) } @hints)
		{
			# a message that another function makes is checked there
			next if $hint eq '%s';
			like(
				$hint,
				qr/^(?:%s )?[A-Z](?:[^\n]*[.)])$|^%s [\w.]+\(\) [^\n]*[.]$/,
				"$name: $hint: is a sentence");
		}
	}
	for my $hint (map { literal($_) }
		$source =~ /(?:\bhint = |\w_HINT[\s\\]+)((?:"(?:[^"\\]|\\.)*"\s*)+)/g)
	{
		$made++;
		like($hint, qr/^[A-Z](?:[^\n]*[.)])$/, "$name: $hint: is a sentence");
	}
}
cmp_ok($made, '>', 3, 'hints that are made elsewhere were read');
cmp_ok($calls, '>', 50, 'the sources were read');

done_testing();
