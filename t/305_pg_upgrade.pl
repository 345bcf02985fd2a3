# pg_upgrade from an older version of PostgreSQL, by copying and by linking: no
# request starts during it, and the new server sends each waiting event once.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Environment;
use PinterestStub qw(:DEFAULT set_conf clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pg_upgrade) = needs('pg_upgrade');

# ---- an older server that has the extension ----

my $probe = PostgreSQL::Test::Cluster->new('probe');
my ($version) = $probe->config_data('--version') =~ /(\d+)/;
my $bindir = $probe->config_data('--bindir');
my $older;

for my $config (glob $bindir =~ s{/$version/.*}{/*/bin/pg_config}r)
{
	my ($number) = `$config --version` =~ /(\d+)/;
	my $library = `$config --pkglibdir` =~ s/\s+\z//r;

	$older = $config =~ s{/bin/pg_config$}{}r
	  if $number
	  && $number < $version
	  && -e "$library/pinterest_capi.so"
	  && -x ($config =~ s/pg_config$/postgres/r);
}
plan skip_all => 'no older server with the extension here' unless $older;
my ($from, $to) =
  map { `$_/postgres --version` =~ /([\d.]+)/ } "$older/bin", $bindir;
note "result: PostgreSQL $from to $to";

my $preload = "shared_preload_libraries = 'pinterest_capi'\n";

for my $mode (qw(copy link))
{
	my $stub = PinterestStub->new;
	my $old = setup_node(
		"old_$mode", $stub,
		conf => $preload,
		install_path => $older);

	make_shop($old);
	$old->safe_psql('postgres',
		q{SELECT pinterest_capi.identify('visitor-' || i, jsonb_build_object('em', 'visitor' || i || '@example.com')) FROM generate_series(1, 100) AS i}
	);

	# events that were sent, one that waits for its retry, and many that wait;
	# and requests that are in flight when the server stops
	start_orders(address($old));
	orders_flow($stub, 40, "$mode: orders come in");
	$stub->script({ times => 1, status => 503 }, { times => 0, lag => 500 });
	orders_flow($stub, 40, 'some are sent again');
	$old->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
	$old->reload;
	ok( $old->poll_query_until(
			'postgres',
			q{SELECT count(*) > 60 FROM pinterest_capi.dispatch_status WHERE status = 'queued'}
		),
		'many wait');
	stop_orders();
	$old->stop;
	my $requests = $stub->count->{requests};

	# ---- the upgrade ----

	my $new = PostgreSQL::Test::Cluster->new("new_$mode");
	$new->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$new->append_conf('postgresql.conf', <<"CONF");
${preload}log_statement = none
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
CONF
	chdir PostgreSQL::Test::Utils::tempdir() or die $!;
	for my $check (['--check'], [])
	{
		ok( run_tool(
				$pg_upgrade, '--no-sync', "--$mode",
				'-d' => $old->data_dir,
				'-D' => $new->data_dir,
				'-b' => "$older/bin",
				'-B' => $bindir,
				'-s' => $new->host,
				'-p' => $old->port,
				'-P' => $new->port,
				@$check),
			"pg_upgrade --$mode @$check");
	}
	is($stub->count->{requests}, $requests, 'no request during it');

	# ---- the new server ----

	$stub->script();
	$new->start;
	start_orders(address($new));
	orders_flow($stub, 80,
		'the new server sends what waited, and new orders');
	is( $new->safe_psql(
			'postgres',
			q{SELECT status FROM pinterest_capi.preview('checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'visitor-7')}
		),
		'queued',
		'it knows the visitors');
	all_is_well($stub, $new);
	clean_log($_) for $old, $new;
	$new->stop;
	$stub->stop;
}
done_testing();
