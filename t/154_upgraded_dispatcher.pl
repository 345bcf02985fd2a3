# pg_upgrade (before 17) and dumps restore a dispatcher's subscription without
# its tables.  Such a subscription can't be enabled, so no event is handed over
# that would be lost; subscribing again brings all events.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_many clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $conf =
  "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nshared_preload_libraries = 'pinterest_capi'\n";
my $dispatcher = setup_node('dispatcher', $stub, conf => $conf);
my $bindir = $dispatcher->config_data('--bindir');

plan skip_all => 'no pg_upgrade here' unless -x "$bindir/pg_upgrade";

my $shop = PostgreSQL::Test::Cluster->new('shop');
$shop->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$shop->append_conf('postgresql.conf', $conf . "log_statement = none\n");
$shop->start;
$shop->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('checkout');
	SELECT pinterest_capi.publish()});
my $connection = $shop->connstr('postgres') =~ s/'/''/gr;

sub doctor
{
	my ($node, $check) = @_;

	return $node->safe_psql('postgres',
		qq{SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = '$check'}
	);
}

# ---- a dispatcher that allows nothing by itself ----

$dispatcher->safe_psql('postgres',
	q{SELECT pinterest_capi.disallow_event('checkout')});
like(
	doctor($dispatcher, 'allowed events'),
	qr/^error: No event is allowed/,
	'before it is a dispatcher: no event is allowed');
$dispatcher->safe_psql('postgres',
	"SELECT pinterest_capi.subscribe('$connection', 'shop')");
track_many($shop, 'before', 5);
ok($stub->wait_count(processed => 5), 'it sends the shop\'s events');
is( $dispatcher->safe_psql(
		'postgres',
		q{SELECT "check", status, advice FROM pinterest_capi.doctor() WHERE status = 'error'}
	),
	'',
	'doctor finds no error in it');
like(
	doctor($dispatcher, 'subscription'),
	qr/^ok: .*shop takes the events of another server/,
	'it has checked the subscription');
$dispatcher->safe_psql('postgres', 'ALTER SUBSCRIPTION shop DISABLE');
like(
	doctor($dispatcher, 'subscription'),
	qr/^error: .*disabled.*ALTER SUBSCRIPTION shop ENABLE/,
	'a disabled subscription');
$dispatcher->safe_psql('postgres', 'ALTER SUBSCRIPTION shop ENABLE');

# ---- upgraded ----

$dispatcher->stop;
my $new = PostgreSQL::Test::Cluster->new('upgraded');
$new->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$new->append_conf('postgresql.conf',
		$conf
	  . "log_statement = none\npinterest_capi.ca_file = '"
	  . $stub->ca_file
	  . "'\n");
chdir PostgreSQL::Test::Utils::tempdir() or die $!;
command_ok(
	[
		'pg_upgrade', '--no-sync',
		'--link', '-d',
		$dispatcher->data_dir, '-D',
		$new->data_dir, '-b',
		$bindir, '-B',
		$bindir, '-s',
		$new->host, '-p',
		$dispatcher->port, '-P',
		$new->port
	],
	'pg_upgrade');
track_many($shop, 'during', 5);
$new->start;

SKIP:
{
	skip 'the tables come along', 10
	  if $new->safe_psql('postgres',
		'SELECT count(*) FROM pg_subscription_rel') > 0;

	ok( $new->poll_query_until(
			'postgres', 'SELECT subslotname IS NULL FROM pg_subscription'),
		'the subscription is taken from its slot');
	like(
		slurp_file($new->logfile),
		qr/LOG:  subscription "shop" does not list the table of events/,
		'the log says so');
	my $slot = $shop->safe_psql('postgres',
		'SELECT slot_name FROM pg_replication_slots');
	like(
		slurp_file($new->logfile),
		qr/HINT:  Drop it, and its slot .*pg_drop_replication_slot\('$slot'\)/,
		'and what becomes of the slot');
	my $advice = doctor($new, 'subscription');
	like(
		$advice,
		qr/^error: .*Never enable it.*subscribe\('CONNECTION', 'shop'\).*publish\(since/,
		'doctor says what to do');
	my ($status, $out, $err) =
	  $new->psql('postgres', 'ALTER SUBSCRIPTION shop ENABLE');
	like(
		$err,
		qr/cannot enable subscription that does not have a slot name/,
		'it can\'t be enabled');
	track_many($shop, 'after', 5);
	is($shop->safe_psql('postgres', q{SELECT pinterest_capi.flush('2 s')}),
		'f', 'the shop waits');
	is( $shop->safe_psql(
			'postgres',
			q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id ~ '^(during|after)' AND reason = 'waits for the dispatcher'}
		),
		'10',
		'it does not take them for handed over');

	# as the documents say
	my ($drop) = $advice =~
	  /on the other server.*?(SELECT pg_drop_replication_slot\([^;]*;)/;
	$new->safe_psql('postgres', 'DROP SUBSCRIPTION shop');
	ok($drop, 'doctor has the statement that drops the slot')
	  and $shop->safe_psql('postgres', $drop);
	is( $shop->safe_psql(
			'postgres', 'SELECT count(*) FROM pg_replication_slots'),
		'0',
		'which drops it');
	$new->safe_psql('postgres',
		"SELECT pinterest_capi.subscribe('$connection', 'shop')");
	$shop->safe_psql('postgres',
		q{SELECT pinterest_capi.publish(since => now() - interval '1 hour')});
	ok( $stub->wait_count(distinct => 15),
		'after subscribing again all arrive');
}
is($shop->safe_psql('postgres', q{SELECT pinterest_capi.flush()}),
	't', 'the shop has handed over all');
is($stub->count->{duplicates}, 0, 'each was sent once');
like(doctor($new, 'subscription'), qr/^ok/, 'doctor is content');

clean_log($_) for $shop, $new;
$_->stop for $new, $shop;
$stub->stop;
done_testing();
