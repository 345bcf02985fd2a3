# During REINDEX CONCURRENTLY no session fails that configures, allows or
# forgets the same as another session at the same time.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { CLIENTS => 8, ROUNDS => 25 };

my $stub = PinterestStub->new;
my $node = setup_node('settings', $stub,
	conf => "fsync = off\npinterest_capi.dispatch = off\n");

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

# groups of clients get the same number at about the same time
sql('CREATE SEQUENCE numbers CACHE 1');
my %calls = (
	allowed_event => q{SELECT pinterest_capi.allow_event('e-' || :n)},
	destination =>
	  q{SELECT pinterest_capi.configure_destination('1', 'pina_x', '2', 'd-' || :n)},
	_suppression => q{SELECT pinterest_capi.forget('v-' || :n)});

for my $table (sort keys %calls)
{
	my $script = PostgreSQL::Test::Utils::tempdir() . '/call.sql';
	append_to_file($script,
		"SELECT nextval('numbers') / 4 AS n \\gset\n$calls{$table};\n");
	my ($out, $err) = ('', '');
	my $bench = IPC::Run::start(
		[
			'pgbench',
			'-n',
			'-c',
			CLIENTS,
			'-T',
			60,
			'-f',
			$script,
			$node->connstr('postgres')
			  . " application_name=bench options='-c client_min_messages=error'"
		],
		'>',
		\$out,
		'2>',
		\$err);

	ok( $node->poll_query_until(
			'postgres',
			"SELECT count(*) >= @{[CLIENTS]} FROM pg_stat_activity WHERE application_name = 'bench'"
		),
		"$table: clients are there");
	my @indexes = split /\n/,
	  sql(
		"SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'pinterest_capi.$table'::regclass AND indisunique"
	  );
	for (1 .. ROUNDS)
	{
		sql("REINDEX INDEX CONCURRENTLY $_") for @indexes;
	}
	is( sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bench'"
		),
		CLIENTS,
		"$table: none of the clients had an error");
	$bench->kill_kill;
	ok( $node->poll_query_until(
			'postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'bench'"
		),
		"$table: they are deleted");
	cmp_ok(sql("SELECT count(*) FROM pinterest_capi.$table"),
		'>', 20, "$table: they wrote");
}
unlike(
	slurp_file($node->logfile),
	qr{ERROR:  duplicate key},
	'nor does the log have one');
clean_log($node);
done_testing();
