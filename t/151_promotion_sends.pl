# A standby that is promoted sends at once, without an operator.  A recovery to
# a point in time is a copy, however it ends.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $primary = PostgreSQL::Test::Cluster->new('primary');

$primary->init(
	allows_streaming => 1,
	has_archiving => 1,
	extra => [ '-E', 'UTF8', '--no-locale' ]);
$primary->append_conf(
	'postgresql.conf', join "\n",
	'log_statement = none',
	"pinterest_capi.ca_file = '" . $stub->ca_file . "'", '');
$primary->start;
configure($primary, $stub, 'postgres');
$primary->backup('base');

sub restored
{
	my ($name, %how) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $conf = delete $how{conf};

	$node->init_from_backup($primary, 'base', %how);
	$node->append_conf('postgresql.conf', $conf) if $conf;
	$node->start;
	return $node;
}

sub is_held
{
	my ($node, $id, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	track($node, $id);
	ok( $node->poll_query_until(
			'postgres',
			q{SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE state = 'held'}
		),
		"$name: held");
	like(
		sql_status($node, $id, 'status, reason'),
		qr/^queued\|.*this looks like a copy of the server on host/,
		"$name: and says why");
	return;
}

# ---- streaming standbys ----

my $preloaded = restored(
	'preloaded',
	has_streaming => 1,
	conf => "shared_preload_libraries = 'pinterest_capi'\n");
my $plain = restored('plain', has_streaming => 1);
track($primary, 'of-the-primary');
$stub->arrives('of-the-primary', 'the primary sends');
$primary->safe_psql('postgres',
	q{SELECT pinterest_capi.pause_destination('default')});
track($primary, 'left-behind');
$primary->safe_psql('postgres',
	q{SELECT pg_create_restore_point('the_point')});
$primary->safe_psql('postgres',
	q{UPDATE pinterest_capi._destination_state SET paused_at = NULL, paused_reason = NULL}
);
$primary->wait_for_catchup($_) for $preloaded, $plain;
unlike(
	$plain->safe_psql(
		'postgres', q{SELECT message FROM pinterest_capi.destination_status}),
	qr/copy/,
	'a standby is no copy');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->stop;

$preloaded->promote;
$stub->arrives('left-behind',
	'preloaded: a promoted standby sends the waiting events by itself');
like(
	slurp_file($preloaded->logfile),
	qr/this server sends from now on, in place of the one on host "[^"]+": it was promoted/,
	'the log says so');
$preloaded->restart;
track($preloaded, 'restarted');
$stub->arrives('restarted',
	'also after a restart, when no process can see the promotion any more');

$plain->promote;
track($plain, 'first-event');
$stub->arrives('first-event', 'not preloaded: it sends with the first event');
$plain->restart;
track($plain, 'restarted-plain');
$stub->arrives('restarted-plain', 'also after a restart');
unlike(
	slurp_file($_->logfile),
	qr/nothing is sent from this server/,
	$_->name . ' was never held') for $preloaded, $plain;

# ---- recoveries ----

my $end = restored('end', has_restoring => 1, standby => 0);
$end->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
is_held($end, 'of-the-end', 'a recovery to the end of the archive');

my $point = restored(
	'point',
	has_restoring => 1,
	standby => 0,
	conf =>
	  "recovery_target_name = 'the_point'\nrecovery_target_action = 'pause'\nhot_standby = on\n"
);
ok( $point->poll_query_until(
		'postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}),
	'a recovery waits at its target');
$point->safe_psql('postgres', 'SELECT pg_promote()');
is_held($point, 'of-the-point', 'and is promoted there');
is( scalar(
		grep { $_->{event}{event_id} =~ /^of-the-(?:end|point)/ }
		  $stub->received),
	0,
	'nothing of it has been sent');
$point->safe_psql('postgres',
	q{SELECT pinterest_capi.resume_destination('default')});
$stub->arrives('of-the-point', 'until an operator says that it sends');

clean_log($_) for $primary, $preloaded, $plain, $end, $point;
$_->stop for $preloaded, $plain, $end, $point;
$stub->stop;
done_testing();
