# REINDEX CONCURRENTLY fails nobody who tracks the same event, or a click of the
# same new visitor, as somebody else at the same time; by SQL neither.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { CLIENTS => 4, ROUNDS => 5 };

my $stub = PinterestStub->new;
my $node = setup_node('reindex', $stub, conf => "fsync = off\npinterest_capi.dispatch = off\n");

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

# groups of clients get the same number at about the same time
sub script
{
	my ($name, $sql) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$name.sql";

	append_to_file($file, "SELECT nextval('numbers') / 4 AS n \\gset\n$sql;\n");
	return $file;
}

sql('CREATE SEQUENCE numbers CACHE 1');
my @scripts = (
	script('track', q{SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'e-' || :n)}),
	script('click', q{SELECT pinterest_capi.capture_click('v-' || :n, cookie => 'dj0yJnU9' || :n)}));

for my $by ('without a statement', 'by SQL')
{
	sql('ALTER TABLE pinterest_capi._event ADD COLUMN shop integer DEFAULT 7') if $by eq 'by SQL';
	my ($out, $err) = ('', '');
	my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', CLIENTS, '-T', 60, (map { ('-f', $_) } @scripts), $node->connstr('postgres') ], '>', \$out, '2>', \$err);

	ok($node->poll_query_until('postgres', "SELECT count(*) >= @{[CLIENTS]} FROM pg_stat_activity WHERE application_name = 'pgbench'"), "$by: clients are there");
	for (1 .. ROUNDS)
	{
		sql("REINDEX INDEX CONCURRENTLY pinterest_capi.$_") for qw(_event_dedup _visitor_pkey);
	}
	is(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"), CLIENTS, "$by: none of the clients had an error");
	$bench->kill_kill;
	is(sql(q{SELECT count(*) > 100 FROM pinterest_capi._event}), 't', "$by: they tracked");
	is(sql(q{SELECT count(*) - count(DISTINCT event_id) FROM pinterest_capi._event}), 0, "$by: an event is one row");
}
unlike(slurp_file($node->logfile), qr/ERROR|FATAL/, 'nor does the log have one');
clean_log($node);
done_testing();
