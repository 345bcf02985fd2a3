# Calls for one event or visitor in one statement work, though the statement's
# snapshot is older than the first call's rows, or than what others committed
# since the statement began.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('statement', $stub);
my $token = PinterestStub::TOKEN;

# Return a statement's result, or its error.
sub said
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql(
		'postgres', $sql,
		stdout => \$out,
		stderr => \$err,
		on_error_stop => 0);
	return $out . $err;
}

like(
	said(
		"SELECT pinterest_capi.configure_destination('1', '$token', '2', 'new'), pinterest_capi.verify_destination('new')"
	),
	qr/changed in this transaction/,
	'a destination that the same statement made is not verified');

# Another session makes the row while the statement runs.
my $late = $node->background_psql('postgres', on_error_stop => 0);
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(1)');
$late->query_until(qr/asked/,
	"\\echo asked\nSELECT pg_advisory_lock(1)::text, pinterest_capi.verify_destination('late');\n"
);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'}
	),
	'a statement has its snapshot and waits');
sql("SELECT pinterest_capi.configure_destination('1', '$token', '2', 'late')"
);
$holder->query_safe('SELECT pg_advisory_unlock(1)');
$holder->quit;
like($late->query('SELECT 1'),
	qr/^(?!.*closed).*1$/s,
	'a destination that somebody else made meanwhile: no crash');
$late->quit;

# every pair of functions, in one statement and the other way round
my @calls = (
	"configure_destination('1', '$token', '2', 'x%s')",
	"drop_destination('x%s')",
	"allow_event('e%s', NULL, 'x%s')",
	"disallow_event('e%s', 'x%s')",
	"pause_destination('x%s')",
	"resume_destination('x%s')",
	"verify_destination('x%s')",
	"replay('x%s', 'sent')",
	"replay('x%s', 'cancelled', new_event_id => true)",
	"cancel('i%s')",
	"cancel('i%s', 'x%s')",
	"purge('0')",
	"forget('v%s')",
	"identify('v%s', '{\"em\": \"a\@example.com\"}')",
	"capture_click('v%s', 'https://shop.example/?epik=dj0yJnU9x')",
	"track('e%s', '{\"value\": 1}', '{\"em\": \"a\@example.com\"}', 'v%s', 'i%s', destination => 'x%s')",
	"track('e%s', event_id => 'i%s')",
	"preview('e%s', '{}', '{}', 'v%s')",
	"flush('0')",
	"grant_access('pg_monitor', 'operate')",
	"revoke_access('pg_monitor', 'operate')");
my ($n, $script) = (0, "SET statement_timeout = '10s';\n");

for my $first (@calls)
{
	for my $second (@calls)
	{
		my $no = ++$n % 7;    # some meet what others left

		$script .=
		  'SELECT '
		  . join(', ', map { 'pinterest_capi.' . s/%s/$no/gr } $first,
			$second)
		  . ";\n";
	}
}
my ($out, $err) = ('', '');
my $rc = $node->psql(
	'postgres', "\\set VERBOSITY verbose\n$script",
	stdout => \$out,
	stderr => \$err,
	on_error_stop => 0);
is($rc, 0, "$n pairs: the session lives");
unlike($err, qr/XX\d{3}|server closed/, 'and no internal error');
unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|server process .* was terminated/,
	'no such word in the log');
$node->stop;
$stub->stop;
done_testing();
