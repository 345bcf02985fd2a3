# Whatever a role types, nothing crashes, no internal error appears and no
# right is gained.  A role without rights and one of each level make random
# calls of every function, of triggers and of statements on the extension's
# tables; Debian's sqlsmith makes some more as these roles.
#
# PINTEREST_CAPI_HOSTILE_SECONDS=N	for each of both, 600 in a long run; 8 unless given
# PINTEREST_CAPI_HOSTILE_SEED=N		repeats what a run did
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{PINTEREST_CAPI_HOSTILE_SECONDS} // 8;
my $seed = $ENV{PINTEREST_CAPI_HOSTILE_SEED} // time() ^ $$;
my @levels = qw(track monitor operate configure);
my @roles = ('nobody_special', map { "may_$_" } @levels);

srand($seed);
note("result: seed $seed");

my $stub = PinterestStub->new;
my $node = setup_node('hostile', $stub, conf => <<'CONF');
log_error_verbosity = verbose
log_line_prefix = '%m [%p] %u '
statement_timeout = 5s
pinterest_capi.request_timeout = 2s
CONF

sql("CREATE ROLE $_ LOGIN; CREATE SCHEMA $_ AUTHORIZATION $_") for @roles;
sql("SELECT pinterest_capi.grant_access('may_$_', '$_')")      for @levels;
sql(<<'SQL');
CREATE TYPE public.pair AS (a int, b text);
CREATE DOMAIN public.word AS text CHECK (value <> 'no');
CREATE TYPE public.mood AS ENUM ('sad', 'ok');
GRANT USAGE ON TYPE public.pair, public.word, public.mood TO PUBLIC;
SQL

# Return the rights, which no call may change.
sub rights
{
	return sql(<<'SQL');
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication FROM pg_roles ORDER BY 1;
SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members ORDER BY 1, 2;
SELECT oid::regclass, relowner::regrole, relacl FROM pg_class WHERE relnamespace = 'pinterest_capi'::regnamespace ORDER BY 1;
SELECT oid::regprocedure, proowner::regrole, proacl, prosecdef FROM pg_proc WHERE pronamespace = 'pinterest_capi'::regnamespace ORDER BY 1;
SELECT nspacl FROM pg_namespace WHERE nspname = 'pinterest_capi';
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'pinterest_capi.%' ORDER BY 1, 2;
SELECT name, setting FROM pg_settings WHERE name LIKE 'pinterest_capi.%' ORDER BY 1;
SELECT datname, datacl, datdba FROM pg_database ORDER BY 1;
SQL
}
my $before = rights();

# ---- random values ----

sub one    { return $_[ rand @_ ] }
sub quoted { my ($s) = @_; $s =~ s/'/''/g; return "'$s'" }

my @words = (
	'',
	' ',
	'default',
	'Checkout',
	'checkout',
	'page_visit',
	'Lead',
	'other',
	'EUR',
	'usd',
	'web',
	'offline',
	'app_ios',
	'*',
	'em',
	'ph',
	'external_id',
	'visitor-1',
	'event-1',
	'sent',
	'failed',
	'cancelled',
	'track',
	'configure',
	'postgres',
	'jane@example.com',
	'+49 176 80817263',
	'4111111111111111',
	'DE89370400440532013000',
	'1990-02-30',
	'f',
	'00000',
	'https://shop.example/a?epik=dj0yJnU9x#y',
	'https://user:pw@shop.example:99999/',
	"http://[::1",
	'file:///etc/passwd',
	'_epik=abc; x=y',
	'1',
	'0',
	'-1',
	'1e400',
	'NaN',
	'Infinity',
	'9223372036854775808',
	'0.1e-300',
	"'; DROP SCHEMA pinterest_capi CASCADE; --",
	'$1',
	'%s%n%s',
	"\x{e9}",
	"\x{130}\x{131}",
	"\x{1F600}",
	"\x{feff}x\x{200b}",
	"a\tb\nc\r",
	'\\',
	'"',
	'{"a":1}',
	'$.**',
	'$.consent.ads == true',
	'$.a ? (@ like_regex "(")',
	'$.user.size() > 0',
	'$.event.datetime() > "x"',
	'file:/etc/passwd',
	'pina_' . 'x' x 40,
	'2617998078212',
	'0' x 19,
	'a' x 300,
	'a' x 9000,
	"\x{20ac}" x 500,
	('0123456789abcdef' x 4),
	'z' x 64,
	'00000000-0000-0000-0000-000000000000',
	'127.0.0.1',
	'::ffff:1.2.3.4',
	'{}',
	'{a,NULL}',
	'pg_catalog',
	'pinterest_capi._secret');
my @keys =
  qw(value currency order_id product_id product_ids quantity num_items contents content_ids content_name content_category content_brand
  search_string predicted_ltv opt_out_type opt_out page_url referrer language partner_name np app_id app_info device_info wifi
  advertiser_tracking_enabled customer_type item_brand_id
  email em phone ph gender db ln fn ct st zp country external_id maid hashed_maids ip user_agent click_id epik partner_id
  id item_price item_name app_name device_brand visitor_id event_id event_time action_source destination consent unknown);

sub word { return one(@words) . (rand() < 0.2 ? one(@words) : '') }

sub json
{
	my ($depth) = @_;
	my $kind = rand();

	return one('null', 'true', 'false', '0', '-0', '1.50', '1e400',
		'-1e-400', '12345678901234567890123', '3', '100')
	  if $kind < 0.3;
	if ($kind < 0.6 || $depth > 4)
	{
		my $s = word();

		$s =~ s/(["\\])/\\$1/g;
		$s =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
		return "\"$s\"";
	}
	return '[' . join(',', map { json($depth + 1) } 1 .. rand 4) . ']'
	  if $kind < 0.75;
	return object($depth + 1);
}

sub object
{
	my ($depth) = @_;

	return
		'{'
	  . join(',', map { '"' . one(@keys) . '":' . json($depth) } 1 .. rand 8)
	  . '}';
}

my %make = (
	text => sub { quoted(word()) },
	jsonb => sub { quoted(rand() < 0.8 ? object(0) : json(0)) },
	'timestamp with time zone' => sub {
		one("'infinity'",
			"'-infinity'",
			'now()',
			"now() - interval '1 hour'",
			"now() + interval '2 min'",
			"'4713-01-01 BC'",
			"'294276-12-31 23:59:59.999999 UTC'",
			"'1970-01-01'",
			"now() - interval '8 days'");
	},
	interval => sub {
		one("'0'",
			"'1 second'",
			"'-1 second'",
			"'178000000 years'",
			"'-178000000 years'",
			"'1 mon -30 days'",
			"'infinity'",
			"'00:00:00.000001'",
			"'7 days'");
	},
	boolean => sub { one('true', 'false') },
	numeric => sub { one("'NaN'", "'Infinity'", '0', '-1', '1e100', '0.5') },
	integer => sub { one('0', '1', '-1', '2147483647', '1000', '20') },
	'text[]' => sub {
		one("'{}'",
			"'{NULL}'",
			"'{*}'",
			"'{content_name,search_string}'",
			"'{{a,b},{c,d}}'",
			"'[5:6]={content_name,np}'",
			'ARRAY[' . quoted(word()) . ']::text[]');
	},
	regrole => sub {
		one(map { "'$_'" } @roles,
			'postgres', 'pg_monitor', '0', '4294967295');
	},
	'double precision' => sub { one("'NaN'", "'Infinity'", '1e308', '-0') },);

sub value
{
	my ($type) = @_;

	return 'NULL' if rand() < 0.08;
	return ($make{$type} // $make{text})->() . "::$type";
}

# every function of the extension, meant to be called or not
my @functions = map {
	my ($name, $names, @types) = split /\|/;
	{ name => $name, names => [ split /,/, $names ], types => \@types }
  }
  split /\n/, sql(<<'SQL');
SELECT concat_ws('|', p.proname, array_to_string(p.proargnames[1:p.pronargs], ','),
	nullif((SELECT string_agg(format_type(t, NULL), '|' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)), ''))
FROM pg_proc AS p WHERE p.pronamespace = 'pinterest_capi'::regnamespace ORDER BY p.oid
SQL
cmp_ok(scalar @functions, '>=', 25, 'functions to call');

sub invocation
{
	my $f = one(@functions);
	my @types = @{ $f->{types} };
	my @values = map { value($_) } @types;
	my $given = rand() < 0.6 ? @values : int(rand(@values + 1));
	my @given;

	if (rand() < 0.3 && @{ $f->{names} } == @values)
	{
		@given = map { "$f->{names}[$_] => $values[$_]" }
		  grep { rand() < 0.6 } 0 .. $#values;
	}
	else { @given = @values[ 0 .. $given - 1 ] }
	return "pinterest_capi.$f->{name}(" . join(', ', @given) . ')';
}

sub call
{
	my $kind = rand();

	return 'SELECT * FROM ' . invocation() if $kind < 0.6;

	# two calls in one statement, whose snapshot is older than the first
	# call's rows
	return 'SELECT ' . invocation() . ', ' . invocation() if $kind < 0.75;
	return
		'SELECT (SELECT count(*) FROM (SELECT '
	  . invocation()
	  . ') AS x) FROM generate_series(1, 3)'
	  if $kind < 0.8;

	# in subtransactions, one of which fails
	return
		'DO $do$ BEGIN PERFORM '
	  . invocation()
	  . '; BEGIN PERFORM '
	  . invocation() . '; '
	  . (rand() < 0.5 ? 'PERFORM 1/0; ' : '')
	  . 'EXCEPTION WHEN OTHERS THEN PERFORM '
	  . invocation()
	  . '; END; END $do$'
	  if $kind < 0.9;
	return
		'WITH a AS MATERIALIZED (SELECT '
	  . invocation()
	  . ') SELECT '
	  . invocation()
	  . ' FROM a';
}

my %columns = (
	destination => {
		destination => 'text',
		tag_id => 'text',
		ad_account_id => 'text',
		enabled => 'boolean',
		test_mode => 'boolean',
		page_url_detail => 'text',
		default_checkout_value => 'numeric',
		default_checkout_currency => 'text',
		opt_out_action => 'text',
		max_event_age => 'interval',
		retry_for => 'interval',
		max_requests_per_minute => 'integer',
		batch_size => 'integer',
		api_url => 'text',
		send_client_ip => 'boolean'
	},
	allowed_event => {
		event_name => 'text',
		destination => 'text',
		send_as => 'text',
		properties => 'text[]'
	},
	consent_rule => {
		name => 'text',
		destination => 'text',
		action => 'text',
		predicate => 'jsonpath',
		description => 'text'
	},);

sub statement
{
	my $table = one(sort keys %columns);
	my @names = sort keys %{ $columns{$table} };
	my $name = one(@names);
	my $type = $columns{$table}{$name};
	my $where =
	  rand() < 0.3
	  ? " WHERE $name IS NOT NULL"
	  : " WHERE destination = " . value('text');

	return one(
		"UPDATE pinterest_capi.$table SET $name = " . value($type) . $where,
		"INSERT INTO pinterest_capi.$table ("
		  . join(', ', @names)
		  . ') VALUES ('
		  . join(', ', map { value($columns{$table}{$_}) } @names) . ')',
		"INSERT INTO pinterest_capi.consent_rule VALUES ("
		  . value('text')
		  . ", NULL, "
		  . one("'require'", "'stop'") . ', '
		  . value('jsonpath') . ')',
		"DELETE FROM pinterest_capi.$table WHERE $name = " . value($type),
		"SELECT * FROM pinterest_capi."
		  . one(
			qw(dispatch_status destination_status worker_status event_quality event_activity compliance_report _secret _retry _readiness _worker)
		  )
		  . ' LIMIT 20',
		"SELECT x::text FROM pinterest_capi.$table AS x");
}

# a table with a trigger on it, and rows
my $table_no = 0;

sub trigger
{
	my $table = 'hostile_' . ++$table_no;
	my @types = (
		'int', 'text', 'jsonb', 'json',
		'bytea', 'numeric', 'float8', 'timestamptz',
		'timestamp', 'date', 'interval', 'boolean',
		'text[]', 'int[]', 'inet', 'uuid',
		'point', 'public.pair', 'public.word', 'public.mood',
		'int4range', 'tsvector', 'xml', 'money',
		'bit(3)', 'name', '"char"', 'oid',
		'numeric[]', 'jsonb[]', 'time');
	my @columns = map { one(@types) } 1 .. 6;
	my @map = map {
		my $key = one(@keys);
		rand() < 0.6     ? "$key=c" . (1 + int rand 7)
		  : rand() < 0.5 ? "$key:=" . word()
		  : "$key=("
		  . one(
			'$1.c1', '$1.c2 || $1.c3',
			'1/0', '$1',
			'$1.*', '(SELECT count(*) FROM pinterest_capi._secret)',
			'pg_sleep(0)', 'NULL',
			'$2', ')',
			'current_user', 'array_agg($1.c1)') . ')';
	} 1 .. 1 + rand 6;
	my @rows = map {
		'(' . join(
			', ',
			map {
				rand() < 0.3 ? 'NULL' : quoted(
					one('1', '{1,2}',
						'{"a":[1]}', '2020-01-01',
						'infinity', 'NaN',
						'(1,x)', 'ok',
						'101', '127.0.0.1',
						't', '[1,3)',
						'<a/>', word()))
			} @columns)
		  . ')'
	} 1 .. 12;

	return
	  "CREATE TABLE $table ("
	  . join(', ', map { "c$_ $columns[$_ - 1]" } 1 .. 6) . ')',
	  "CREATE TRIGGER t AFTER "
	  . one(
		'INSERT', 'INSERT OR UPDATE',
		'DELETE', 'INSERT OR UPDATE OR DELETE')
	  . " ON $table FOR EACH "
	  . one('ROW', 'ROW', 'ROW', 'STATEMENT')
	  . ' EXECUTE FUNCTION pinterest_capi.track_trigger('
	  . join(', ',
		map { quoted($_) }
		  (rand() < 0.9 ? one('Checkout', 'Lead', word()) : ()),
		@map)
	  . ')',
	  (map { "INSERT INTO $table VALUES $_" } @rows),
	  "UPDATE $table SET c1 = c1", "ALTER TABLE $table DROP COLUMN c2",
	  "UPDATE $table SET c1 = c1", "DELETE FROM $table", "DROP TABLE $table";
}

sub statements
{
	my @all;

	while (@all < 150)
	{
		my $kind = rand();

		if    ($kind < 0.05) { push @all, trigger() }
		elsif ($kind < 0.2)  { push @all, statement() }
		elsif ($kind < 0.23)
		{
			push @all, 'BEGIN', call(), call(),
			  one('COMMIT', 'ROLLBACK', 'ABORT', 'END');
		}
		elsif ($kind < 0.26)
		{
			push @all,
			  'SET '
			  . one(
				"search_path = ''",
				'DateStyle = german',
				"TimeZone = 'Asia/Kathmandu'",
				'standard_conforming_strings = off',
				"IntervalStyle = iso_8601",
				'default_transaction_read_only = on',
				'default_transaction_isolation = serializable',
				"bytea_output = 'escape'",
				"client_min_messages = debug1"),
			  call(), 'RESET ALL';
		}
		else { push @all, call() }
	}
	return join '', map { "$_;\n" } @all;
}

# ---- random calls ----

# Run statements as a role; return psql's output.
sub as
{
	my ($role, $text) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=0', '-v',
			'VERBOSITY=verbose', '-d',
			$node->connstr('postgres') . " user=$role client_encoding=UTF8"
		],
		'<' => \$text,
		'>' => \$out,
		'2>' => \$err,
		IPC::Run::timeout(600));
	return ($out, $err, $? >> 8);
}

my %codes;
my (%good, %bad);
my ($runs, $calls) = (0, 0);
my $token = PinterestStub::TOKEN;
my $until = time() + $seconds;

while (time() < $until || $runs < @roles)
{
	my $role = $roles[ $runs++ % @roles ];
	my $text = statements();
	utf8::encode($text);
	my ($out, $err, $rc) = as($role, "SET statement_timeout = '5s';\n$text");
	my @errors =
	  $err =~ /^(?:psql:\S+ )?(?:ERROR|FATAL|PANIC):  ([0-9A-Z]{5}): /mg;

	$calls += () = $text =~ /;\n/g;
	$codes{$role}{$_}++ for @errors;

	# An internal error is a bug, never the caller's mistake.
	for my $line (
		$err =~ /^.*(?:XX\d{3}|P0000): .*$/mg,
		$err =~ /^.*server closed the connection.*$/mg,
		$err =~ /^.*(?:FATAL|PANIC): .*$/mg)
	{
		$bad{$line}++;
	}
	$bad{"psql of $role ended with $rc"}++ if $rc != 0;
	$bad{"$role saw a token"}++ if "$out$err" =~ /\Q$token\E/;
	$bad{"$role read a file"}++ if $out =~ /root:x:0/;
}
note(
		"result: $calls statements by "
	  . scalar(@roles)
	  . ' roles in '
	  . $runs
	  . ' runs; errors: '
	  . join(
		', ',
		map {
			my $r = $_;
			"$r "
			  . eval { my $n = 0; $n += $_ for values %{ $codes{$r} }; $n }
		} @roles));
is(join("\n", map { "$bad{$_} x $_" } sort keys %bad),
	'', 'no internal error, no crash, no token');
cmp_ok($codes{nobody_special}{42501} // 0,
	'>', 20, 'who has no rights is told so');
cmp_ok($codes{may_configure}{22023} // 0,
	'>', 5, 'calls that cannot be meant are refused');

# ---- sqlsmith ----

SKIP:
{
	skip 'no sqlsmith here', 4
	  unless system('sqlsmith --version >/dev/null 2>&1') == 0;

	my $from = -s $node->logfile;
	my $until = time() + $seconds;
	my $each = $seconds > 60 ? 200 : 60;
	my $queries = 0;
	my $round = 0;
	my $died = '';
	my @failed;

	while (time() < $until || $round < @roles)
	{
		my $role = $roles[ $round++ % @roles ];
		my ($out, $err) = ('', '');

		# it stops by itself after so many
		IPC::Run::run(
			[
				'sqlsmith',
				'--target=' . $node->connstr('postgres') . " user=$role",
				"--max-queries=$each",
				"--seed=" . int(rand(2**31)),
				'--verbose'
			],
			'<' => \undef,
			'>' => \$out,
			'2>' => \$err,
			IPC::Run::timeout(900));
		push @failed, "$role: status $?: " . substr($err, -300) if $? != 0;
		$queries += $1 if $err =~ /^queries: (\d+)$/m;
		$died .= "$role: $err\n"
		  if $err =~ /server closed|terminating connection because of crash/;
	}
	is(join("\n", @failed), '', 'sqlsmith ends well, for each role');
	is($queries, $each * $round, 'each time after all of its queries');
	is($died, '', 'it met no crash');

	# Only internal errors from the extension's files count, not the server's
	# own.
	my $log = slurp_file($node->logfile, $from);
	my $sources = join '|',
	  map { s{.*/}{}r } glob("$FindBin::RealBin/../src/*/*.c");
	my @ours;
	while ($log =~
		/ERROR:  XX\d{3}: (.*)\n((?:.*\n){0,4}?.*LOCATION:  \w+, (\S+):\d+)/g)
	{
		my ($what, $more, $file) = ($1, $2, $3);

		push @ours, "$what ($file)"
		  if $file =~ /^(?:.*\/)?(?:$sources)$/
		  || $more =~ /pinterest_capi\._/;
	}
	is(join("\n", @ours), '', 'nor an internal error of ours');
	note("result: $queries queries of sqlsmith");
}

# ---- nothing gained ----

is(rights(), $before,
	'rights, owners, triggers and settings are as they were');
is( sql(q{SELECT count(*) FROM pinterest_capi.destination WHERE api_url NOT IN ('https://api.pinterest.com/v5', '}
		  . $stub->url . q{')}),
	'0',
	'no role pointed a destination elsewhere');
for my $role (@roles)
{
	my (undef, $err) = as($role, 'SELECT * FROM pinterest_capi._secret;');

	like($err, qr/42501/, "$role reads no secrets");
}
like(
	sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'afterwards')}
	),
	qr/^afterwards$/,
	'it still works');
unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|server process .* was terminated/,
	'no such word in the log');
unlike(slurp_file($node->logfile), qr/\Q$token\E/, 'and no token');
$node->stop;
$stub->stop;
done_testing();
