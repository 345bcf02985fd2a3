# The ways of docs/security.md to set a token leave it neither in the server's
# log, however much is logged, nor in pg_stat_activity, pg_stat_statements or
# auto_explain's plans.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $libdir =
  PostgreSQL::Test::Cluster->new('probe')->config_data('--pkglibdir');
my @extra = grep { -e "$libdir/$_.so" } qw(pg_stat_statements auto_explain);
my $statements = grep { $_ eq 'pg_stat_statements' } @extra;
my $node = setup_node('token_log', $stub,
	conf => 'shared_preload_libraries = \'' . join(',', @extra) . "'\n");
my ($tag, $token, $account) =
  (PinterestStub::TAG, PinterestStub::TOKEN, PinterestStub::ACCOUNT);
my $files = PostgreSQL::Test::Utils::tempdir();

# a constant of a parse tree is written as a list of bytes
my $bytes = join ' ', map { ord } split //, substr($token, 0, 12);

sql('CREATE EXTENSION pg_stat_statements') if $statements;
sql(<<'SQL');
CREATE ROLE configurer LOGIN;
CREATE ROLE filer LOGIN IN ROLE pg_read_server_files;
SELECT pinterest_capi.grant_access('configurer', 'configure');
SELECT pinterest_capi.grant_access('filer', 'configure');
SQL

# all logging of statements that the server has, but for debug5, which
# 181_token_unreadable.pl tests
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = all
log_min_duration_statement = 0
log_duration = on
log_error_verbosity = verbose
log_min_messages = debug1
log_min_error_statement = debug5
log_lock_waits = on
debug_print_parse = on
debug_print_rewritten = on
debug_print_plan = on
CONF
$node->append_conf('postgresql.conf', "pg_stat_statements.track = all\n")
  if $statements;
$node->append_conf('postgresql.conf',
	<<'CONF') if grep { $_ eq 'auto_explain' } @extra;
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
CONF
$node->reload;
ok( $node->poll_query_until(
		'postgres', q{SELECT current_setting('log_statement') = 'all'}),
	'everything is logged');

sub seen
{
	my ($from) = @_;
	my $log = slurp_file($node->logfile, $from);
	my $shown = sql(
		q{SELECT coalesce(string_agg(query, E'\n'), '') FROM pg_stat_activity WHERE pid <> pg_backend_pid()}
	  )
	  . (
		$statements
		? sql(
			q{SELECT coalesce(string_agg(query, E'\n'), '') FROM pg_stat_statements}
		  )
		: '');

	return (
		scalar($log   =~ /pina_/),
		scalar($log   =~ /\b$bytes\b/),
		scalar($shown =~ /pina_/));
}

# A session that sets the token and is still there, so that its last statement
# can be seen.
sub way
{
	my ($name, $role, $how) = @_;
	my $from = -s $node->logfile;
	my ($in, $out, $err) = ('', '', '');

	sql('SELECT pg_stat_statements_reset()') if $statements;
	sql('DELETE FROM pinterest_capi._secret');
	my $session = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr('postgres') . " user=$role"
		],
		'<' => \$in,
		'>' => \$out,
		'2>' => \$err,
		IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
	$in .= "$how\n\\echo done\n";
	$session->pump until $out =~ /^done$/m || !$session->pumpable;
	like($out, qr/configured and ready/, "$name: the token is set")
	  or diag($err);
	is_deeply(
		[ map { $_ ? 1 : 0 } seen($from) ],
		[ 0, 0, 0 ],
		"$name: and neither in the log, nor as bytes in it, nor in the statistics"
	);
	$session->finish;
	track($node, "by-$name" =~ s/\W+/-/gr);
	ok(poll(sub { $stub->received("by-$name" =~ s/\W+/-/gr) }),
		"$name: it is the right one");
	return;
}

my $configure =
  "SELECT pinterest_capi.configure_destination('$tag', '$token', '$account');";
my $superuser = sql('SELECT current_user');

# This shows that the log would have the token.
my $from = -s $node->logfile;
sql($configure);
my ($text, $list, $shown) = seen($from);
ok($text, 'a literal is in the log');
ok($list, 'also as bytes');
ok(!$shown, 'but not in the statistics');

way('superuser, nothing logged', $superuser, <<"SQL");
BEGIN;
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL debug_print_parse = off;
SET LOCAL debug_print_rewritten = off;
SET LOCAL debug_print_plan = off;
@{[ (grep { $_ eq 'auto_explain' } @extra) ? 'SET LOCAL auto_explain.log_min_duration = -1;' : '' ]}
$configure
COMMIT;
SQL

# Any role: COPY sends data, which no statement contains.
way('temporary table', 'configurer', <<"SQL");
BEGIN;
CREATE TEMPORARY TABLE new_token (token text) ON COMMIT DROP;
\\copy new_token FROM PSTDIN
$token
\\.
SELECT pinterest_capi.configure_destination('$tag', (SELECT token FROM new_token), '$account');
COMMIT;
SQL

append_to_file("$files/token", "$token\n");
chmod 0600, "$files/token";
way('a file',
	'filer',
	"SELECT pinterest_capi.configure_destination('$tag', 'file:$files/token', '$account');"
);

# a parameter: logged in full unless a superuser has said otherwise for the role
sub bound
{
	append_to_file("$files/bound.sql",
		"SELECT pinterest_capi.configure_destination(:tag, :token, :account);\n"
	) unless -e "$files/bound.sql";
	command_ok(
		[
			'pgbench', '-n', '-t', '1', '-M', 'extended', '-f',
			"$files/bound.sql", '-D', "tag=$tag",
			'-D', "token=$token", '-D', "account=$account",
			$node->connstr('postgres') . ' user=configurer'
		],
		$_[0]);
	return;
}

sql('SELECT pg_stat_statements_reset()') if $statements;
$from = -s $node->logfile;
bound('as a parameter');
ok((seen($from))[0], 'is in the log by default');

# plans show values too
sql("ALTER ROLE configurer SET $_")
  for 'log_parameter_max_length = 0', 'debug_print_plan = off',
  (grep { $_ eq 'auto_explain' } @extra)
  ? 'auto_explain.log_verbose = off'
  : (),

  # 16 and later: with a setting of its own for parameters
  (grep { $_ eq 'auto_explain' } @extra)
  && $node->pg_version >= 16
  ? 'auto_explain.log_parameter_max_length = 0'
  : ();
$from = -s $node->logfile;
bound(
	'as a parameter, log_parameter_max_length = 0 and no plans for the role');
is_deeply([ map { $_ ? 1 : 0 } seen($from) ], [ 0, 0, 0 ], 'is nowhere');

# a role that isn't superuser can't switch logging off by itself
my (undef, undef, $err) = $node->psql(
	'postgres',
	'SET log_statement = none',
	connstr => $node->connstr('postgres') . ' user=configurer');
like(
	$err,
	qr/permission denied to set parameter "log_statement"/,
	'only a superuser says what is logged');

unlike(
	slurp_file($node->logfile),
	qr/ PANIC: |TRAP:|server process .* was terminated/,
	'no such word in the log');
$node->stop;
$stub->stop;
done_testing();
