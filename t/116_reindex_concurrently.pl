# During REINDEX CONCURRENTLY no session fails that tracks the same event, or
# identifies the same new visitor, as another session at the same time; by SQL
# neither.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { CLIENTS => 8, ROUNDS => 40 };

my $stub = PinterestStub->new;
my $node = setup_node('reindex', $stub,
	conf => "fsync = off\npinterest_capi.dispatch = off\n");

# groups of clients get the same number at about the same time
sql('CREATE SEQUENCE numbers CACHE 1');
my $script = PostgreSQL::Test::Utils::tempdir() . '/both.sql';
append_to_file($script, <<'SQL');
SELECT nextval('numbers') / 4 AS n \gset
SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'e-' || :n);
SELECT nextval('numbers') / 4 AS n \gset
SELECT pinterest_capi.identify('v-' || :n, '{"em": "a@example.com"}');
SQL

for my $by ('without a statement', 'by SQL')
{
	sql('ALTER TABLE pinterest_capi._event ADD COLUMN shop integer DEFAULT 7')
	  if $by eq 'by SQL';
	my ($out, $err) = ('', '');
	my $bench = IPC::Run::start(
		[
			'pgbench', '-n', '-c', CLIENTS, '-T', 60, '-f', $script,
			$node->connstr('postgres') . ' application_name=bench'
		],
		'>',
		\$out,
		'2>',
		\$err);

	ok( $node->poll_query_until(
			'postgres',
			"SELECT count(*) >= @{[CLIENTS]} FROM pg_stat_activity WHERE application_name = 'bench'"
		),
		"$by: clients are there");
	for (1 .. ROUNDS)
	{
		sql("REINDEX INDEX CONCURRENTLY pinterest_capi.$_")
		  for qw(_event_dedup _visitor_pkey);
	}
	is( sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bench'"
		),
		CLIENTS,
		"$by: none of the clients had an error");
	$bench->kill_kill;
	is(sql(q{SELECT count(*) > 100 FROM pinterest_capi._event}),
		't', "$by: they tracked");
	is( sql(q{SELECT count(*) - count(DISTINCT event_id) FROM pinterest_capi._event}
		),
		0,
		"$by: an event is one row");
}
unlike(slurp_file($node->logfile), qr{ERROR:}, 'nor does the log have one');
clean_log($node);
done_testing();
