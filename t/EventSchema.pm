# EventSchema.pm
#	  Asks test/schema/validate.js what Pinterest's description of an event has
#	  against events, and for the description's examples.
package EventSchema;

use strict;
use warnings;

use Exporter qw(import);
use FindBin;
use IPC::Run ();
use JSON::PP ();

our @EXPORT = qw(have_validator examples verdicts);

my $program = "$FindBin::RealBin/../test/schema/validate.js";

# npm's packages are missing where there is no network
sub have_validator
{
	return IPC::Run::run(
		[ 'node', '-e', 'require("ajv"); require("ajv-formats")' ],
		'<' => \undef,
		'>&' => \my $ignored);
}

sub _lines
{
	my ($input, @options) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[ 'node', $program, @options ],
		'<' => \$input,
		'>' => \$out,
		'2>' => \$err) or die "$program: $err";
	return map { JSON::PP::decode_json($_) } split /\n/, $out;
}

sub examples { return _lines('', '--examples') }

# Check events, given as JSON text in UTF-8, one a line; return for each a
# hash of schema, shape, stub and lapses.
sub verdicts { return _lines($_[0]) }

1;
