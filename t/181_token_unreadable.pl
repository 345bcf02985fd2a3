# No role reads the access token: not in a table, a view or statistics, not in
# pg_stat_activity, pg_stat_statements or an error, and not in the server's log
# at any level.  Only the server's own log of statements shows it, and the ways
# around that work.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql track as refused);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $statements =
  -e PostgreSQL::Test::Cluster->new('probe')->config_data('--pkglibdir')
  . '/pg_stat_statements.so';
my $node = setup_node('token', $stub,
	conf => $statements
	? "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = all"
	: '');
my $superuser = getpwuid($>);
my $files = PostgreSQL::Test::Utils::tempdir();
my $token = PinterestStub::TOKEN;
my $token_file = "$files/token";
append_to_file($token_file, "$token\n");
chmod 0600, $token_file;

sql('CREATE EXTENSION pg_stat_statements') if $statements;
sql(<<'SQL');
CREATE ROLE mallory LOGIN;
CREATE ROLE tracker LOGIN;
CREATE ROLE operator LOGIN;
CREATE ROLE configurer LOGIN;
CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
SELECT pinterest_capi.grant_access('tracker', 'track');
SELECT pinterest_capi.grant_access('operator', 'operate');
SELECT pinterest_capi.grant_access('configurer', 'configure');
SQL
track($node, 'an-event');

# ---- tables, views, statistics ----

my $configure =
  "SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '$token', '@{[PinterestStub::ACCOUNT]}')";
sql($configure);
for my $role (qw(mallory tracker operator configurer monitor))
{
	refused($role, $_, 'permission denied')
	  for 'SELECT * FROM pinterest_capi._secret',
	  'TABLE pinterest_capi._worker',
	  'COPY pinterest_capi._secret TO STDOUT',
	  'SELECT x::text FROM pinterest_capi._secret AS x',
	  'CREATE TEMP TABLE copy AS SELECT * FROM pinterest_capi._secret',
	  'SELECT * FROM pinterest_capi._readiness',
	  'BEGIN; LOCK TABLE pinterest_capi._secret IN ACCESS SHARE MODE';
	my ($stats) = as($role,
		q{SELECT * FROM pg_stats WHERE schemaname = 'pinterest_capi' AND tablename = '_secret'}
	);
	is($stats, '', "$role: nor in the statistics");
}
my ($read, $read_error) =
  as('reader', 'SELECT * FROM pinterest_capi._secret');
is($read, '', 'a member of pg_read_all_data reads no token');
(undef, $read_error) = as('reader',
	'SET row_security = off; SELECT * FROM pinterest_capi._secret');
like($read_error, qr/row-level security/, 'nor with row_security off');
my ($events) = as('reader', 'SELECT count(*) > 0 FROM pinterest_capi._event');
is($events, 't', 'all other data it reads');
for my $role ('tracker', 'operator', 'configurer', 'monitor', 'reader',
	$superuser)
{
	my ($out) = as(
		$role,
		join "\n",
		map { "SELECT x::text FROM pinterest_capi.$_ AS x;" }
		  qw(dispatch_status destination_status worker_status event_activity event_quality compliance_report destination allowed_event consent_rule)
	);

	unlike($out, qr/pina_/, "$role: no view or table shows it");
}

# pg_stat_activity while it runs, and afterwards
my $session = $node->background_psql('postgres');
$session->query_safe("SET client_min_messages = warning; BEGIN; $configure");
unlike(
	sql('SELECT string_agg(query, E\'\n\') FROM pg_stat_activity WHERE pid <> pg_backend_pid()'
	),
	qr/pina_/,
	'pg_stat_activity shows another statement');
$session->query_safe('ROLLBACK');
$session->quit;

# errors: a statement that fails in the function, or is caught with its context
my $log_from = -s $node->logfile;
for my $bad (
	"'@{[PinterestStub::TAG]}', 'pina_bad token'",
	"'x', '$token'",
	"'1', '$token', 'x'",
	"'1', '$token', '2', ''",
	"NULL, '$token'")
{
	my (undef, $err) = as('configurer',
		"\\set VERBOSITY verbose\nSELECT pinterest_capi.configure_destination($bad)"
	);
	my ($message) = $err =~ /(ERROR:.*?)(?:\nLINE |\z)/s;

	unlike($message, qr/pina_/, "an error quotes no token: $bad");
}
my ($caught) = as(
	'configurer', q{DO $$ DECLARE m text; d text; h text; BEGIN
	PERFORM pinterest_capi.configure_destination('x', 'pina_in_a_block');
	EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	CREATE TEMP TABLE said AS SELECT m || d || h AS words; END $$; SELECT words FROM said}
);
like($caught, qr/Tag ID is not a number/, 'an error that is caught');
unlike((split /\n/, $caught)[0], qr/pina_/, 'says nothing of it either');
my ($cancelled) = as('configurer',
	"SET statement_timeout = 1; SELECT pg_sleep(0.1), pinterest_capi.configure_destination('1', 'pina_sleeping')"
);
unlike(
	slurp_file($node->logfile, $log_from) =~
	  s/STATEMENT:  SELECT pg_sleep.*//r,
	qr/pina_/,
	'the log of those errors holds none');

SKIP:
{
	skip 'no pg_stat_statements here', 2 unless $statements;
	like(
		sql('SELECT string_agg(query, E\'\n\') FROM pg_stat_statements'),
		qr/configure_destination\(\$1, \$2, \$3/,
		'pg_stat_statements has the call');
	unlike(
		sql(q{SELECT string_agg(query, E'\n') FROM pg_stat_statements WHERE query NOT LIKE 'DO %'}
		),
		qr/pina_/,
		'with parameters in place of the values');
}

# ---- what the server itself logs, and how to set a token that isn't logged ----

sub logged
{
	my ($name, $logged, $action) = @_;
	my $from = -s $node->logfile;
	my $text;

	$action->();
	$text = slurp_file($node->logfile, $from);
	like($text, qr/configure_destination/,
		"$name: the log has the statement");
	if   ($logged) { like($text, qr/pina_/, "$name: with the token") }
	else           { unlike($text, qr/pina_/, "$name: without a token") }
	return;
}

sub bound
{
	my ($options) = @_;
	my $script = "$files/bound.sql";

	append_to_file($script,
		"SELECT pinterest_capi.configure_destination(:tag, :token, :account);\n"
	) unless -e $script;
	local $ENV{PGOPTIONS} = $options;
	command_ok(
		[
			'pgbench',
			'-n',
			'-t',
			'1',
			'-M',
			'extended',
			'-f',
			$script,
			'-D',
			"tag=@{[PinterestStub::TAG]}",
			'-D',
			"token=$token",
			'-D',
			"account=@{[PinterestStub::ACCOUNT]}",
			$node->connstr('postgres')
		],
		"as a parameter $options");
	return;
}

# as wordy as it gets, but for whole statements: none
$node->append_conf('postgresql.conf',
	"log_min_messages = debug5\nlog_error_verbosity = verbose");
$node->reload;
ok( $node->poll_query_until(
		'postgres', q{SELECT current_setting('log_min_messages') = 'debug5'}),
	'debug5');
$log_from = -s $node->logfile;
sql($configure);
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "f@example.com"}', event_id => 'at-debug5')}
);
ok(poll(sub { $stub->received('at-debug5') }), 'sent at debug5');
like(slurp_file($node->logfile, $log_from), qr/DEBUG:/, 'debug5 is there');
unlike(slurp_file($node->logfile, $log_from),
	qr/pina_/, 'debug5: neither session nor worker logs the token');

# what the server does by itself with log_statement; nothing in an extension can prevent that
$node->append_conf('postgresql.conf',
	"log_min_messages = warning\nlog_statement = all");
$node->reload;
ok( $node->poll_query_until(
		'postgres', q{SELECT current_setting('log_statement') = 'all'}),
	'log_statement = all');
logged('a literal', 1, sub { sql($configure) });
logged('a parameter', 1, sub { bound('') });

# the three ways around it
logged(
	'a literal, log_statement = none in the session',
	0,
	sub {
		sql("SET log_statement = none; SET log_min_duration_statement = -1; -- configure_destination\n"
			  =~ s/ --.*//r . $configure);
		sql('SELECT 1 AS "configure_destination"');
	});
logged('a parameter, log_parameter_max_length = 0',
	0, sub { bound('-c log_parameter_max_length=0') });
logged(
	'file:', 0,
	sub {
		sql("SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', 'file:$token_file', '@{[PinterestStub::ACCOUNT]}')"
		);
	});
$node->append_conf('postgresql.conf', 'log_statement = none');
$node->reload;

unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|server process .* was terminated/,
	'no such word in the log');
$node->stop;
$stub->stop;
done_testing();
