# The same random calls, made through the extension and through sources of several
# versions of PostgreSQL with their dispatcher, become the same rows: status, reason,
# payload, warnings.
#
# The test skips the calls that differ by docs/sources.md: those that name a
# destination that doesn't exist, which a source can't know; phone numbers of
# visitors, whose country a source doesn't know; URLs that no browser would send, which
# libcurl's versions read differently.
# No character is newer than Unicode 13.
#
# PINTEREST_CAPI_TEST_SEED=N	repeats a run, whose seed is in its output
# PINTEREST_CAPI_TEST_CALLS=N	calls, 2000 unless given; 10000 is the full run
use strict;
use warnings;
no warnings 'nonchar';

use FindBin;
use lib $FindBin::RealBin;

use Encode ();
use FaninLoad;
use File::Temp ();
use IPC::Run   ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RandomCalls;
use SourceServers;
use Test::More;

my $seed = $ENV{PINTEREST_CAPI_TEST_SEED} || 1 + int(rand(2**31 - 1));
my $calls = $ENV{PINTEREST_CAPI_TEST_CALLS} || 2000;
srand($seed);
note("PINTEREST_CAPI_TEST_SEED=$seed");

my $file = File::Temp->new(
	DIR => PostgreSQL::Test::Utils::tempdir(),
	SUFFIX => '.sql');
binmode $file, ':utf8';
my (%skipped, $tracked);

# Replace characters that a source removes, escaped ones too.
sub of_unicode_13
{
	my ($arguments) = @_;

	return $arguments =~
	  s/\\u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})/chr(0x10000 + ((hex($1) - 0xD800) << 10) + hex($2) - 0xDC00) =~ m{\P{In=13.0}} ? 'x' : $&/ger
	  =~ s/\\u((?![dD][89a-fA-F])[0-9A-Fa-f]{4})/chr(hex $1) =~ m{\P{In=13.0}} ? 'x' : $&/ger
	  =~ s/\P{In=13.0}/x/gr;
}

# Return why a call is skipped, or nothing.
sub differs
{
	my ($arguments) = @_;

	return 'unknown destination' if $arguments =~ /, 'nowhere'$/;
	return 'phone of a visitor'
	  if $arguments =~ /"ph(?:one(?:_number)?)?":.*'jabberwock/s;
	return 'odd URL'
	  if $arguments =~ m{^'jabberwock-\d+', '(?:[^']*///|[^'/]*:[^'/]*@)};
	return;
}

sub print_call
{
	my ($function, $arguments) = ($_[0], of_unicode_13($_[1]));
	my $why = differs($arguments);

	if ($why) { $skipped{$why}++ }
	else      { print $file "SELECT pinterest_capi.$function($arguments);\n" }
	return !$why;
}

for my $n (1 .. $calls)
{
	if (chance(0.9))
	{
		$tracked++
		  if print_call('track', track_arguments($n));
	}
	elsif (chance(0.6)) { print_call('identify', identify_arguments()) }
	else { print_call('capture_click', capture_click_arguments()) }
}
print $file
  "SELECT pinterest_capi.track('search', event_id => 'the last');\n";
close $file;
chmod 0644, "$file";

my $settings = q{
	INSERT INTO pinterest_capi.destination (destination, send_client_ip, send_user_agent, page_url_detail, opt_out_action) VALUES
		('default', true, true, 'path', 'forward'), ('second', false, false, 'domain', 'suppress'), ('third', true, false, 'none', 'forward');
	SELECT pinterest_capi.allow_event(event_name, properties => '{*}') FROM pinterest_capi.standard_event;
	SELECT pinterest_capi.allow_event('Quiz', 'Lead', 'second');
	SELECT pinterest_capi.allow_event('checkout', destination => 'second');
	SELECT pinterest_capi.allow_event(e, properties => '{content_name,device_info,app_info.app_name,item_name}', destination => 'third')
		FROM unnest('{Quiz,search,page_visit,app_open,addtocart}'::text[]) AS e;
	INSERT INTO pinterest_capi.consent_rule VALUES
		('odd', 'third', 'stop', '$.properties.value > 10'),
		('said no', NULL, 'stop', '$.consent.marketing == false')};

sub extension
{
	my ($name) = @_;

	return PinterestStub::new_node($name,
		conf =>
		  "log_statement = none\nfsync = off\nmax_worker_processes = 16\n");
}

sub run_calls
{
	my ($node) = @_;
	my ($out, $err) = ('', '');

	local $ENV{PGCLIENTENCODING} = 'UTF8';
	IPC::Run::run(
		[
			'psql', '-XAtq',
			'-v', 'VERBOSITY=sqlstate',
			'-d', $node->connstr('postgres'),
			'-f', "$file"
		],
		'>' => \$out,
		'2>' => \$err) or die "psql: $err";
	my $errors = join "\n",
	  map { s/.*?:(\d+): //r . " at $1" } grep { /ERROR: / } split /\n/, $err;
	return ($out, $errors);
}

# Return what the calls of a database have become, a row a line.
sub rows
{
	my ($node, $database) = @_;

	return split /\n/, $node->safe_psql(
		$database, q{
		SELECT encode(convert_to(concat_ws(E'\x01', event_id, destination, event_name, sent_as, status, reason, payload, warnings), 'UTF8'), 'hex')
		FROM (SELECT event_id, destination, event_name, sent_as, status, reason, payload::text, warnings::text,
			row_number() OVER (PARTITION BY event_id, destination ORDER BY id) AS n FROM pinterest_capi.dispatch_status) AS s
		ORDER BY event_id COLLATE "C", destination COLLATE "C", event_name COLLATE "C", status, n}
	);
}

sub text { return Encode::decode('UTF-8', pack 'H*', $_[0]) }

# ---- through the extension ----

my $local = extension('local');
$local->safe_psql('postgres', "CREATE EXTENSION pinterest_capi; $settings");
my ($local_out, $local_errors) = run_calls($local);
my @local = rows($local, 'postgres');
$local->stop;
cmp_ok(
	scalar(grep { text($_) =~ /\x01queued\x01/ } @local),
	'>',
	0.2 * $tracked,
	'many would be sent');
note(
	sprintf 'result: %d calls, seed %d: %d rows; not compared: %s',
	$calls,
	$seed,
	scalar @local,
	join ', ',
	map { "$skipped{$_} $_" } sort keys %skipped);

# ---- through each source, into a database of its own on the dispatcher ----

my $dispatcher = extension('dispatcher');

sub compare
{
	my ($server) = @_;
	my $name = "source_$server->{major}";
	my $source = new_source($server, $name, "fsync = off\n");

	ok( (   load_script(
				$source, 'postgres',
				$source->safe_psql('postgres', 'SELECT current_user')))[0],
		'the script runs');
	$source->safe_psql('postgres',
		'UPDATE pinterest_capi.source_setting SET send_client_ip = true, send_user_agent = true'
	);
	$dispatcher->safe_psql('postgres', "CREATE DATABASE $name");
	$dispatcher->safe_psql($name,
		"CREATE EXTENSION pinterest_capi; $settings");
	$dispatcher->safe_psql(
		$name,
		"SELECT pinterest_capi.subscribe("
		  . quoted_connection($source, 'postgres',
			$source->safe_psql('postgres', 'SELECT current_user'))
		  . ", '$name')");

	my ($source_out, $source_errors) = run_calls($source);

	is($source_errors, $local_errors,
		'the same calls are refused, with the same SQLSTATE');
	is_deeply(
		[ grep { !/^[0-9a-f]{8}-[0-9a-f]{4}-7/ } split /\n/, $source_out ],
		[ grep { !/^[0-9a-f]{8}-[0-9a-f]{4}-7/ } split /\n/, $local_out ],
		'and the others return the same');
	ok( $dispatcher->poll_query_until(
			$name,
			q{SELECT count(*) > 0 FROM pinterest_capi.dispatch_status WHERE event_id = 'the last'}
		),
		'all arrive');
	is( $source->safe_psql(
			'postgres', 'SELECT count(*) FROM pinterest_capi._call'),
		'0',
		'and nothing stays');

	my @source = rows($dispatcher, $name);
	my @different;

	is( scalar @source,
		scalar @local,
		scalar(@local) . ' rows, as many from the source');
	for my $i (0 .. $#local)
	{
		next if $local[$i] eq ($source[$i] // '');
		my ($a, $b) =
		  map { s/[^\x20-\x7e]/sprintf '\\x{%x}', ord $&/ger }
		  text($local[$i]), text($source[$i] // '');

		my $same = 0;
		$same++
		  while $same < length $a
		  && substr($a, $same, 1) eq substr($b, $same, 1);
		push @different,
			substr($a, 0, 20) . ' ... '
		  . substr($a, $same > 40 ? $same - 40 : 0, 160)
		  . "\n\tsource: ... "
		  . substr($b, $same > 40 ? $same - 40 : 0, 160);
	}
	is(scalar @different, 0, 'they are the same')
	  or
	  diag(join "\n", @different[ 0 .. ($#different > 9 ? 9 : $#different) ]);
	$dispatcher->safe_psql($name, "DROP SUBSCRIPTION $name");
	$source->stop;
	return;
}

for my $server (source_servers())
{
	subtest "PostgreSQL $server->{version}" =>
	  sub { compare($server); done_testing() };
}
done_testing();
