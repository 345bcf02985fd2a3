# Whatever JSON stands in properties and user_data: the payload is valid by
# Pinterest's description, only calls that can't be meant fail, preview returns
# what track queues, and no raw identifier is stored.
#
# PINTEREST_CAPI_TEST_SEED=N	repeats a run, whose seed is in its output
# PINTEREST_CAPI_TEST_CALLS=N	calls, 10000 unless given
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use EventSchema;
use File::Temp ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RandomCalls;
use Test::More;
use Time::HiRes ();

plan skip_all => 'ajv is not installed' unless have_validator();

my $seed = $ENV{PINTEREST_CAPI_TEST_SEED} || 1 + int(rand(2**31 - 1));
my $calls = $ENV{PINTEREST_CAPI_TEST_CALLS} || 10_000;
srand($seed);
note("PINTEREST_CAPI_TEST_SEED=$seed");

my $tracked = 0;
my $file = File::Temp->new(
	DIR => PostgreSQL::Test::Utils::tempdir(),
	SUFFIX => '.sql');
binmode $file, ':utf8';
for my $n (1 .. $calls)
{
	if (chance(0.9))
	{
		my $arguments = track_arguments($n);

		$tracked++;
		print $file
		  "INSERT INTO previewed SELECT $n, p.* FROM pinterest_capi.preview($arguments) AS p;\n",
		  "INSERT INTO tracked SELECT $n, pinterest_capi.track($arguments);\n";
	}
	elsif (chance(0.6))
	{
		print $file 'SELECT pinterest_capi.identify('
		  . identify_arguments() . ");\n";
	}
	else
	{
		print $file 'SELECT pinterest_capi.capture_click('
		  . capture_click_arguments() . ");\n";
	}
}
close $file;
chmod 0644, "$file";

my $node = PostgreSQL::Test::Cluster->new('random');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);

# Nothing is sent, since there is no token; all messages are logged, all WAL
# is kept.
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
log_min_messages = debug1
log_error_verbosity = verbose
wal_keep_size = 4GB
checkpoint_timeout = 1h
max_wal_size = 4GB
autovacuum = off
CONF
$node->start;

# compressed values can't be searched
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	ALTER TABLE pinterest_capi._event ALTER payload SET STORAGE EXTERNAL, ALTER warnings SET STORAGE EXTERNAL;
	ALTER TABLE pinterest_capi._visitor ALTER user_data SET STORAGE EXTERNAL, ALTER click_id SET STORAGE EXTERNAL;
	CREATE TABLE previewed (n integer, destination text, status text, reason text, sent_as text, payload jsonb, warnings text[]);
	ALTER TABLE previewed ALTER payload SET STORAGE EXTERNAL;
	CREATE TABLE tracked (n integer, event_id text);
	INSERT INTO pinterest_capi.destination (destination, send_client_ip, send_user_agent, page_url_detail, opt_out_action) VALUES
		('default', true, true, 'path', 'forward'), ('second', false, false, 'domain', 'suppress'), ('third', true, false, 'none', 'forward');
	SELECT pinterest_capi.allow_event(event_name, properties => '{*}') FROM pinterest_capi.standard_event;
	SELECT pinterest_capi.allow_event('Quiz', 'Lead', 'second');
	SELECT pinterest_capi.allow_event('checkout', destination => 'second');
	SELECT pinterest_capi.allow_event(e, properties => '{content_name,device_info,app_info.app_name,item_name}', destination => 'third')
		FROM unnest('{Quiz,search,page_visit,app_open,addtocart}'::text[]) AS e;
	INSERT INTO pinterest_capi.consent_rule VALUES
		('odd', 'third', 'stop', '$.properties.value > 10 || $.user.em starts with "x"'),
		('said no', NULL, 'stop', '$.consent.marketing == false')});

# ---- run ----

my ($out, $err) = ('', '');
my $begun = Time::HiRes::time();
{
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
}
my $spent = Time::HiRes::time() - $begun;
my %errors;
$errors{$1}++ while $err =~ /ERROR: +(\w+)/g;
is(join(' ', sort keys %errors),
	'22023', 'no error but those of calls that can\'t be meant');
is(scalar(grep { !/ERROR: +22023$|WARNING: / } split /\n/, $err),
	0, 'and psql lost no connection');

my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM tracked');
cmp_ok($rows, '>', 0.7 * $tracked, "most calls are taken: $rows of $tracked");
my $statuses = $node->safe_psql(
	'postgres', q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
	FROM (SELECT status, count(*) AS n FROM pinterest_capi.dispatch_status GROUP BY status) AS s}
);
like(
	$statuses,
	qr/expired \d+, queued \d+, rejected \d+, suppressed \d+/,
	'events of all kinds of fate');
note(sprintf 'result: %d calls in %.1f s, seed %d: %s; refused %d',
	$calls, $spent, $seed, $statuses, $errors{'22023'} // 0);

# ---- preview and track ----

is($node->safe_psql('postgres', 'SELECT count(DISTINCT n) FROM previewed'),
	$rows, 'preview accepts the calls that track accepts');
is( $node->safe_psql(
		'postgres', q{
	SELECT count(*) FROM previewed AS p JOIN tracked AS t USING (n)
		FULL JOIN pinterest_capi.dispatch_status AS d ON d.event_id = t.event_id AND d.destination IS NOT DISTINCT FROM p.destination
	WHERE (p.sent_as, p.warnings) IS DISTINCT FROM (d.sent_as, d.warnings)
		OR (p.status, p.reason, p.payload) IS DISTINCT FROM (d.status, CASE WHEN d.status <> 'queued' THEN d.reason END,
			CASE WHEN d.status = 'queued' THEN d.payload END)}),
	0,
	'and returns for each the result of track');

# ---- the schema ----

# In hexadecimal digits, because psql leaves out some of the characters that
# Unicode reserves, such as U+10FFFE.
my $payloads = join "\n", map { pack 'H*', $_ } split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT encode(convert_to(payload, 'UTF8'), 'hex') FROM pinterest_capi._event WHERE payload IS NOT NULL ORDER BY id}
);
my @warned = split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT coalesce(warnings @> ARRAY['user_data: Pinterest asks for em, hashed_maids, or client IP address and user agent'], false)
	FROM pinterest_capi._event WHERE payload IS NOT NULL ORDER BY id});
my @verdicts = verdicts("$payloads\n");
cmp_ok(
	scalar(@verdicts), '>',
	0.4 * $calls,
	scalar(@verdicts) . ' payloads are validated');
is(scalar(@verdicts), scalar(@warned), 'each of them');

my (@refused, @lapses, @disagree, @unwarned);
for my $i (0 .. $#verdicts)
{
	my $v = $verdicts[$i];

	push @refused, $v->{shape} if defined $v->{shape};

	# The stub's check of an address is less strict than Pinterest's.
	push @lapses, grep { !/e-mail/ } @{ $v->{lapses} };
	push @disagree,
	  "$i: " . ($v->{schema} // 'taken') . ' / ' . ($v->{stub} // 'taken')
	  if defined $v->{schema} xor defined $v->{stub};

	# An event without the fields that Pinterest asks for is sent all the
	# same, and its row says so.
	push @unwarned, $i if defined $v->{schema} xor $warned[$i] eq 't';
}
is_deeply(\@refused, [], 'the schema refuses none');
is_deeply(\@unwarned, [],
	'but for those without the fields that Pinterest asks for, whose rows say so'
);
is_deeply(\@disagree, [], 'the stub judges each alike');
is_deeply(\@lapses, [], 'and nothing careless is in them');

# ---- nothing private at rest ----

cmp_ok(
	$node->safe_psql(
		'postgres',
		q{SELECT pinterest_capi.forget('jabberwock-1', '{"em": "quokka.1@qvexil.example"}')}
	),
	'>', 1,
	'a person is forgotten');
my $around = join '|', map { quotemeta } @traces;
my $pattern = join ', ', map { literal("%$_%") } @traces;
for my $table (
	split /\n/,
	$node->safe_psql(
		'postgres', q{
		SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('pinterest_capi'::regnamespace, 'public'::regnamespace)}
	))
{
	my $hits = $node->safe_psql('postgres',
		"SELECT substring(t::text FROM \$r\$(?i).{0,80}(?:$around).{0,40}\$r\$) FROM $table AS t WHERE t::text ILIKE ANY (ARRAY[$pattern]) LIMIT 5"
	);

	is($hits, '', "no raw identifier in $table");
}
cmp_ok(
	$node->safe_psql(
		'postgres', 'SELECT count(*) FROM pinterest_capi._visitor'),
	'>', 10,
	'visitors are there');
cmp_ok(
	$node->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pinterest_capi._event WHERE payload LIKE '%"em":[%'}
	),
	'>',
	0.1 * $calls,
	'and hashed addresses');

$node->safe_psql('postgres',
	q{SELECT pinterest_capi.track('canary'); CHECKPOINT});
$node->stop;

my $list = PostgreSQL::Test::Utils::tempdir() . '/traces';
append_to_file($list, join("\n", @traces) . "\n");

sub files_with
{
	return grep { length } split /\n/, scalar run_grep(@_);
}

sub run_grep
{
	my ($found, $errors) = ('', '');

	local $ENV{LC_ALL} = 'C';
	IPC::Run::run(
		[ 'grep', '-r', '-a', '-l', '-i', '-F', @_ ],
		'>' => \$found,
		'2>' => \$errors);
	return $found;
}
is_deeply([ files_with('-f', $list, $node->data_dir) ],
	[], 'none in the data directory and the WAL');
is_deeply([ files_with('-f', $list, $node->logfile) ], [], 'none in the log');
cmp_ok(scalar(files_with('canary', $node->data_dir . '/base')),
	'>', 0, 'the search finds what is in the tables');
cmp_ok(scalar(files_with('canary', $node->data_dir . '/pg_wal')),
	'>', 0, 'and in the WAL');

done_testing();
