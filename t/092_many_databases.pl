# With more databases than worker slots, an idle worker gives up its slot when
# another database waits for one, and only then.
#
# 50 databases, max_worker_processes = 8, of which the server itself takes one.
# Once without preloading, once with.
#
# PINTEREST_CAPI_SCALE_DATABASES=N	50 unless given
# PINTEREST_CAPI_SCALE_BUSY=yes		also that a busy worker makes room, which takes half a minute
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $databases = $ENV{PINTEREST_CAPI_SCALE_DATABASES} // 50;
my $events = 20;
my $patience = 60 + 2 * $databases;

my $stub = PinterestStub->new;
my $node = setup_node('many', $stub,
	conf => "max_worker_processes = 8\nautovacuum = off");
my @database = map { sprintf 'shop_%02d', $_ } 1 .. $databases;

# wal_level is not logical either
SKIP:
{
	skip 'logical decoding needs no setting any more', 2
	  if $node->pg_version >= 19;

	my ($status, $out, $err) =
	  $node->psql('postgres', 'SELECT pinterest_capi.publish()');

	isnt($status, 0, 'publish() without wal_level = logical');
	like($err, qr/wal_level is too low/, 'says what it needs');
}

# The copies have the template's token, as any physical copy.  They remember
# no server, so each takes this one for its own.
$node->safe_psql('postgres', 'CREATE DATABASE shop');
configure($node, $stub, 'shop');
$node->safe_psql(
	'shop', q{
	CREATE PROCEDURE many(prefix text, n int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1..n LOOP
			PERFORM pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}',
				event_id => current_database() || prefix || i);
		END LOOP;
	END $$;
	DELETE FROM pinterest_capi._sending_server});
my $begin = time();
$node->safe_psql(
	'postgres', q{
	ALTER DATABASE shop ALLOW_CONNECTIONS false;
	SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'}
);
$node->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'shop'});
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE shop")
  for @database;
note sprintf 'made %d databases in %.1f s', $databases, time() - $begin;

sub track_in
{
	my ($database, $prefix, $n) = @_;

	$node->safe_psql($database, "CALL many('$prefix', $n)");
	return;
}

sub workers
{
	return map { [ split /\|/ ] } split /\n/, $node->safe_psql(
		'postgres', q{
		SELECT pid, datname FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker' AND datname IS NOT NULL ORDER BY pid}
	);
}

sub files
{
	return
	  grep { m{/pinterest_capi\.} } glob($node->data_dir . '/pg_stat_tmp/*');
}

# all events of a round arrive, each once
sub drained
{
	my ($prefix, $name) = @_;
	my $start = time();
	my %seen;

	ok($stub->wait_count(processed => $databases * $events, $patience),
		"$name: all databases drain");
	$seen{ $_->{event}{event_id} }++
	  for grep { $_->{verdict} eq 'processed' } $stub->received;
	my @missing = grep {
		my $d = $_;
		grep { !$seen{"$d$prefix$_"} } 1 .. $events
	} @database;
	is("@missing", '', "$name: none lacks an event");
	is($stub->count->{duplicates}, 0, "$name: none twice");
	return time() - $start;
}

# ---- without preload ----

# With enough slots no worker exits, and no database waits.
track_in($database[$_], '-first-', 1) for 0 .. 2;
ok($stub->wait_count(processed => 3), 'few databases: sent');
my %before = map { $_->[1] => $_->[0] } workers();
is(scalar(files()), 0, 'no database waits for a slot');

# Let time pass: three polls of the first database's worker.
my $turns = sub {
	$node->safe_psql($database[0],
		'SELECT last_cycle_at FROM pinterest_capi.worker_status');
};
for (1 .. 3)
{
	my $last = $turns->();
	poll(sub { $turns->() ne $last });
}
my %after = map { $_->[1] => $_->[0] } workers();
is($after{$_}, $before{$_}, "$_ keeps its worker while no database waits")
  for @database[ 0 .. 2 ];

$stub->reset;
$begin = time();
track_in($_, '-cold-', $events) for @database;
cmp_ok(scalar(workers()), '<=', 7, 'no more workers than slots');
my $cold = drained('-cold-', 'not preloaded');
$cold = time() - $begin;

# a retry that is due when its database has no slot
$stub->reset;
$stub->script({ status => 503, times => 1 });
track_in($database[0], '-again-', 1);
ok($stub->wait_count(requests => 1), 'refused for now');
track_in($_, '-push-', 1) for @database[ 1 .. 12 ];
ok( $stub->wait_count(processed => 13, $patience),
	'the retry is made, though others had the slots');
is( $node->safe_psql(
		$database[0],
		q{SELECT status, attempts FROM pinterest_capi.dispatch_status WHERE event_id LIKE '%-again-1'}
	),
	'sent|2',
	'and is sent');

# Databases that always have events to send give slots to the others.
SKIP:
{
	skip 'PINTEREST_CAPI_SCALE_BUSY is not set', 4
	  unless $ENV{PINTEREST_CAPI_SCALE_BUSY};

	$stub->reset;
	for my $database (@database[ 0 .. 7 ])
	{
		$node->safe_psql($database,
			'UPDATE pinterest_capi.destination SET max_requests_per_minute = 120, batch_size = 1'
		);
		track_in($database, '-busy-', 150);
	}
	ok(poll(sub { $stub->count->{processed} > 40 }),
		'six are busy, two wait');
	track_in($database[8], '-late-', 1);
	ok( poll(
			sub {
				grep { $_->{verdict} eq 'processed' }
				  $stub->received("$database[8]-late-1");
			},
			60),
		'another one gets the slot');
	cmp_ok($stub->count->{processed}, '<', 8 * 150, 'before those are done');
	ok($stub->wait_count(distinct => 8 * 150 + 1, 400),
		'all are sent in the end');
	$node->safe_psql($_,
		'UPDATE pinterest_capi.destination SET max_requests_per_minute = DEFAULT, batch_size = DEFAULT'
	) for @database[ 0 .. 7 ];
}

# a database that is dropped while it waits
$stub->reset;
$stub->script({ hang => 1, times => 7 });
track_in($database[$_], '-hang-', 1) for 13 .. 19;
ok( $stub->wait_count(hanging => 6, $patience),
	'all slots are taken by requests that hang');
track_in($database[20], '-dropped-', 1);
my ($oid) = $node->safe_psql('postgres',
	"SELECT oid FROM pg_database WHERE datname = '$database[20]'");
ok( poll(
		sub {
			grep { /\.$oid$/ } files();
		}),
	'one more waits');
$node->safe_psql('postgres', "DROP DATABASE $database[20]");
$stub->release;
$stub->script();
ok( poll(
		sub {
			!grep { /\.$oid\b/ } files();
		},
		$patience),
	'dropped, it is taken off the list');
ok($stub->wait_count(processed => 7, $patience), 'the others go on');
$node->safe_psql('postgres', "CREATE DATABASE $database[20] TEMPLATE shop");

# ---- preloaded, with a backlog in all of them at the start ----

$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'");
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$node->reload;
track_in($_, '-warm-', $events) for @database;
$node->stop;
$stub->reset;
$node->adjust_conf('postgresql.conf', 'pinterest_capi.dispatch', 'on');
$begin = time();
$node->start;
my $warm = drained('-warm-', 'preloaded');
$warm = time() - $begin;
cmp_ok(scalar(workers()), '<=', 6, 'no more workers than slots');

note sprintf
  "result: %d databases, 8 worker processes: drained in %.1f s without preload, %.1f s with",
  $databases, $cold, $warm;

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
