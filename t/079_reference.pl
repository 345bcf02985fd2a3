# docs/reference.md names every function with its parameters and defaults,
# every view, table and column, every setting, status, reason, SQLSTATE and
# level of the catalog and the source, and nothing that doesn't exist.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";
my $reference = slurp_file("$top/docs/reference.md");
my $node = PostgreSQL::Test::Cluster->new('reference');

$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pinterest_capi');

sub rows
{
	return map { [ split /\x1f/, $_, -1 ] } split /\n/,
	  $node->safe_psql('postgres', $_[0], extra_params => [ '-F', "\x1f" ]);
}
sub words { return $_[0] =~ /`([^`\n]+)`/g }

# Return the text under the heading, of any level, that has this word, with
# its subsections.
sub section
{
	my ($word) = @_;
	my ($text, $level);

	for my $line (split /\n/, $reference)
	{
		if (my ($marks, $heading) = $line =~ /^(#+) (.*)/)
		{
			last if defined $level && length $marks <= $level;
			if (!defined $level
				&& $heading =~ /(?:^|[\s,])\Q$word\E(?:$|[\s,])/)
			{
				$level = length $marks;
				$text = '';
			}
			next;
		}
		$text .= "$line\n" if defined $level;
	}
	return $text;
}

# Return the rows of the first table in a text, as cells, without its head.
sub table
{
	my ($text) = @_;
	my @rows = map { [ split /\s*\|\s*/, s/^\|\s*//r =~ s/\s*\|$//r, -1 ] }
	  $text =~ /^(\|.*)$/mg;

	return @rows[ 2 .. $#rows ];
}

sub missing
{
	my ($these, $those) = @_;
	my %in = map { $_ => 1 } @$those;
	return join ' ', sort grep { !$in{$_} } @$these;
}

# ---- functions ----

my $flat = $reference =~ s/\s+/ /gr;
my @functions = rows(
	q{SELECT p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
	FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE p.pronamespace = 'pinterest_capi'::regnamespace AND p.proname !~ '^_' ORDER BY 1}
);
my ($track) = map { $_->[2] } grep { $_->[0] eq 'track' } @functions;

for my $function (@functions)
{
	my ($name, undef, $arguments, $result) = @$function;
	my @out = map { s/^OUT //r =~ s/timestamp with time zone/timestamptz/r }
	  grep { /^OUT / } split /, /, $arguments;

	@out = split /, /, $1 =~ s/timestamp with time zone/timestamptz/gr
	  if $result =~ /^TABLE\((.*)\)$/;
	$arguments = join ', ', grep { !/^OUT / } split /, /, $arguments;
	if ($result eq 'trigger')
	{
		like($flat, qr/\b$name\(/, "$name");
	}
	elsif ($name ne 'track' && $arguments eq $track)
	{
		like(
			$flat,
			qr/`$name\(`as `track``\)`/,
			"$name: the parameters of track");
	}
	else
	{
		# the reference's spelling: defaults without casts, the type's short
		# name
		my $signature =
		  "$name($arguments)" =~ s/'00:00:(\d\d)'::interval/'$1 seconds'/gr =~
		  s/::[a-z][\w ]*(?:\[\])?(?=[,)])//gr =~
		  s/timestamp with time zone/timestamptz/gr;
		my $returns =
		  @out
		  ? ''
		  : " RETURNS $result" =~ s/timestamp with time zone/timestamptz/r;

		cmp_ok(index($flat =~ s/\( /(/gr, "$signature$returns"),
			'>=', 0, "$signature$returns");
	}
	if (@out)
	{
		my $columns = join ', ', @out;
		my $types_apart = join ', ', map { /^(\w+)/ } @out;

		ok( index($flat, $columns) >= 0 || missing([ map { /^(\w+)/ } @out ],
				[ map { split /\W+/ } words(section($name) // $reference) ])
			  eq '',
			"$name: its columns: $types_apart");
	}
}
my %function = map { $_->[0] => 1 } @functions;
is( join(' ',
		sort grep { !$function{$_} }
		  $flat =~ /`?\b(\w+)\([^()`]*\) RETURNS/g),
	'',
	'no signature of a function that is not there');

# ---- views and tables ----

my %columns;
push @{ $columns{ $_->[0] } }, $_->[1] for rows(
	q{SELECT c.relname, a.attname
	FROM pg_class AS c JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind IN ('r', 'v') AND c.relname !~ '^_' ORDER BY c.relname, a.attnum}
);
my %known = map { $_ => 1 } keys %function, keys %columns,
  map { @$_ } values %columns;

for my $relation (sort keys %columns)
{
	# under its own heading, or in the paragraphs that name it
	my $text = section($relation) // join "\n",
	  grep { /`$relation`/ } split /\n\n/, $reference;
	my %there = map { $_ => 1 } map { split /[^\w.]+/ } words($text);
	is(join(' ', grep { !$there{$_} } @{ $columns{$relation} }),
		'', "$relation: each column is described");

	next if !defined section($relation);
	my @described =
	  $text =~ /^\| column \|/m ? map { words($_->[0]) } table($text) : ();
	is(missing(\@described, $columns{$relation}),
		'', "$relation: no column is described that it lacks")
	  if @described;
}

# ---- statuses and reasons ----

my ($comment) = $node->safe_psql(
	'postgres',
	q{SELECT col_description('pinterest_capi.dispatch_status'::regclass,
	(SELECT attnum FROM pg_attribute WHERE attrelid = 'pinterest_capi.dispatch_status'::regclass AND attname = 'status'))}
);
my @statuses = table(section('Statuses'));
is(join(' ', sort map { words($_->[0]) } @statuses),
	join(' ', sort $comment =~ /\b(?!or\b|final\b)(\w+)/g), 'statuses');

my $source = join '',
  map { slurp_file($_) }
  glob(
	"$top/src/*/*.c $top/src/*/*.h $top/pinterest_capi.c $top/pinterest_capi--*.sql"
  );
my @reasons = grep { !/^payload$/ } map { words($_->[2]) } @statuses;
cmp_ok(scalar(@reasons), '>', 15, 'reasons are listed');
for my $reason (@reasons)
{
	# cut before the part that varies
	my $fixed = $reason =~ s/(?::? \.\.\.| NAME|: KEY)$//r;

	next if $known{$reason};
	ok($source =~ /["'] ?\Q$fixed\E\b/,
		"the source knows the reason $reason");
}
my %reason = map { s/ NAME$//r => 1 } @reasons;
my @given = (
	$source =~ /\bdecide\(\w+, "\w+",\s*"([^"%]+)"/g,
	$source =~ /\bdrop\(\w+, [^;]*?, PCAPI_\w+, "([^"]+)"/g,
	$source =~ /\breason = "([^"%]+)"/g,
	$source =~ /\breject = "([^"]+)"/g,
	$source =~ /\bbad_event_time = "([^"]+)"/g);
cmp_ok(scalar(@given), '>=', 3, 'reasons that the source gives were found');
is(join(', ', sort grep { !$reason{$_} } @given),
	'', 'each that the source gives is listed');

# ---- settings ----

my %settings = map { $_->[0] => $_ } rows(
	q{SELECT name, vartype, unit, boot_val, min_val, max_val FROM pg_settings
	WHERE name LIKE 'pinterest\_capi.%'});
my %described =
  map { (words($_->[0]))[0] => $_->[1] } table(section('Settings'));
is(missing([ keys %settings ], [ keys %described ]),
	'', 'each setting is described');
is(missing([ keys %described ], [ keys %settings ]),
	'', 'and each that is described is there');
for my $name (sort keys %settings)
{
	my (undef, $type, $unit, $default, $min, $max) = @{ $settings{$name} };
	my $expected =
	  $type eq 'bool'
	  ? "boolean, $default"
	  : $type eq 'integer'
	  ? ($unit eq 's' ? 'seconds' : $unit eq '' ? 'integer' : $unit)
	  . ", $default, $min to $max"
	  : qr/^(?:interval )?text, \Q@{[$default eq '' ? 'empty' : $default]}\E$/;

	if (ref $expected)
	{
		like($described{$name} // '', $expected, "$name: type, default");
	}
	else { is($described{$name}, $expected, "$name: type, default, range") }
}

# ---- SQLSTATEs ----

my $include = `$ENV{PG_CONFIG} --includedir-server`;
chomp $include;
my %sqlstate;
my $errcodes = slurp_file("$include/utils/errcodes.h");
while ($errcodes =~ /^#define (ERRCODE_\w+) MAKE_SQLSTATE\(([^)]*)\)/mg)
{
	my ($name, $letters) = ($1, $2);

	$sqlstate{$name} = join '', $letters =~ /'(.)'/g;
}
my %listed =
  map { $_ => 1 } map { words($_->[0]) || $_->[0] } table(section('Errors'));
my %valid = map { $_ => 1 } values %sqlstate;
is(missing([ keys %listed ], [ keys %valid ]),
	'', 'each SQLSTATE in the list is one of the server');

# No caller handles a bug or a lack of memory.
my @raised = grep { !/INTERNAL_ERROR|OUT_OF_MEMORY/ }
  $source =~ /\berrcode\((ERRCODE_\w+)\)/g;
cmp_ok(scalar(@raised), '>', 5,
	'SQLSTATEs that the source raises were found');
is(missing([ map { $sqlstate{$_} // $_ } @raised ], [ keys %listed ]),
	'', 'each that is raised is listed');

# ---- levels ----

my %level = map { (words($_->[0]))[0] => $_->[1] } table(section('Access'));
my %includes = (
	track => [],
	monitor => [],
	operate => ['monitor'],
	configure => [qw(track monitor operate)]);
is(join(' ', sort keys %level), join(' ', sort keys %includes), 'levels');
for my $level (sort keys %includes)
{
	my @listed = map { words($level{$_}) } $level, @{ $includes{$level} };
	my @may = map { $_->[0] } rows(
		qq{CREATE ROLE of_$level; SELECT pinterest_capi.grant_access('of_$level', '$level');
		SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'pinterest_capi'::regnamespace AND p.proname !~ '^_'
			AND has_function_privilege('of_$level', p.oid, 'EXECUTE') AND NOT has_function_privilege('pg_read_all_stats', p.oid, 'EXECUTE')}
	);
	my @reads = map { $_->[0] } rows(
		qq{SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'pinterest_capi'::regnamespace
		AND c.relname !~ '^_' AND c.relkind = 'r' AND has_table_privilege('of_$level', c.oid, 'INSERT')}
	);

	is(missing([ grep { $_ ne '' } @may, @reads ], \@listed),
		'', "$level: what it may is listed");
	is(missing([ grep { $function{$_} } @listed ], \@may),
		'', "$level: and it may what is listed");
}

# ---- names anywhere in the reference ----

my @of_sources = slurp_file("$top/sources/pinterest_capi_source.sql") =~
  /^CREATE TABLE IF NOT EXISTS pinterest_capi\.([a-z]\w*)/mg;
my %name = map { $_ => 1 } keys %function, keys %columns, @of_sources,
  map { s/^pinterest_capi\.//r } keys %settings;
for my $document (map { s{^\Q$top\E/}{}r } glob("$top/*.md $top/docs/*.md"))
{
	my @unknown = grep { !$name{$_} && !/^_/ }
	  slurp_file("$top/$document") =~ /\bpinterest_capi\.([a-z]\w*)/g;

	# files of this name
	is(join(' ', grep { !/^(?:c|h|control|so|sql)$/ } @unknown),
		'', "$document: names nothing that isn't there");
}

done_testing();
