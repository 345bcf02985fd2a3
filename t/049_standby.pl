# A standby sends nothing, shows which events wait and refuses calls that
# write; once promoted, it sends.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql track all_sent clean_log workers);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('primary', $stub,
	conf =>
	  "shared_preload_libraries = 'pinterest_capi'\nwal_level = replica\nmax_wal_senders = 3\npinterest_capi.dispatch = off\n"
);
my $standby = PostgreSQL::Test::Cluster->new('standby');

ok( $node->poll_query_until(
		'postgres',
		q{SELECT message ~ 'dispatch is off' FROM pinterest_capi.destination_status}
	),
	'the primary holds back');
track($node, 'on-primary');
$node->backup('backup');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->adjust_conf('postgresql.conf', 'pinterest_capi.dispatch', 'on');
$standby->start;
track($node, 'replicated');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is( $standby->safe_psql(
		'postgres',
		q{SELECT string_agg(event_id || ' ' || status, ', ' ORDER BY id) FROM pinterest_capi.dispatch_status WHERE status = 'queued'}
	),
	'on-primary queued, replicated queued',
	'a standby shows the waiting events');
like(
	$standby->safe_psql(
		'postgres', 'SELECT message FROM pinterest_capi.destination_status'),
	qr/this server is a standby: nothing is sent from here/,
	'and that it sends nothing');
like(
	$standby->safe_psql(
		'postgres',
		q{SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = 'worker'}
	),
	qr/^ok: This server is a standby/,
	'doctor() says so too');
like($standby->safe_psql('postgres', 'SELECT pinterest_capi.report_html()'),
	qr/<\/html>$/, 'the report can be made there');

for my $call (
	[ 'track', track_sql('on-standby') ],
	[ 'identify', q{SELECT pinterest_capi.identify('v')} ],
	[
		'capture_click',
		q{SELECT pinterest_capi.capture_click('v', 'https://x.example/?epik=abc')}
	],
	[ 'forget', q{SELECT pinterest_capi.forget('v')} ],
	[ 'cancel', q{SELECT pinterest_capi.cancel('replicated')} ],
	[ 'purge', q{SELECT pinterest_capi.purge('0')} ],
	[ 'replay', q{SELECT pinterest_capi.replay('default')} ],
	[ 'pause_destination', q{SELECT pinterest_capi.pause_destination()} ],
	[
		'configure_destination',
		q{SELECT pinterest_capi.configure_destination('1', 'pina_x')}
	],
	[ 'allow_event', q{SELECT pinterest_capi.allow_event('x')} ])
{
	my (undef, undef, $err) =
	  $standby->psql('postgres', "\\set VERBOSITY verbose\n$call->[1]");

	like(
		$err,
		qr/ERROR:  25006: cannot execute \Q$call->[0]\E\(\) in a read-only transaction/,
		"$call->[0]: the server's read-only error");
}
my ($code, $flushed, $flush_error) =
  $standby->psql('postgres', q{SELECT pinterest_capi.flush('0')});
is($flushed, 'f', 'flush: something waits') or diag($flush_error);
is( $standby->safe_psql(
		'postgres',
		q{SELECT status FROM pinterest_capi.preview('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}')}
	),
	'queued',
	'preview works');

# None of these calls has started a worker.
is(workers($standby), '0', 'no worker there');
is( $standby->safe_psql(
		'postgres', 'SELECT count(*) FROM pinterest_capi.worker_status'),
	'0',
	'nor one that is said to run');
is($stub->count->{requests}, 0, 'nothing was sent');

$node->stop;
$standby->promote;
$stub->arrives('on-primary',
	'after promotion the waiting events are sent, without another event');
$stub->arrives('replicated', 'all of it');
track($standby, 'promoted');
$stub->arrives('promoted', 'and new ones');
all_sent($standby, 'all is settled');
is($stub->count->{duplicates}, 0, 'none twice');
clean_log($standby);
$standby->stop;
$stub->stop;
done_testing();
