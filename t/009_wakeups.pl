# The worker's tasks besides sending cost few wakeups, and are done in time.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('housekeeping', $stub,
	conf => "synchronous_commit = off\nautovacuum = off\n");

# Return how often the worker has gone to sleep.
sub naps
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~
	  /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : die 'no such line';
}

# ---- sessions that commit while nothing can be sent ----
sql('SELECT pinterest_capi.verify_destination()');
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$node->reload;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT state = 'dispatch off' FROM pinterest_capi.worker_status}),
	'dispatch is off');
my $pid = sql('SELECT pid FROM pinterest_capi.worker_status');
my $commits = 5000;
my $before = naps($pid);
sql(qq{DO \$\$ BEGIN FOR i IN 1 .. $commits LOOP
		PERFORM pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}', event_id => 'n-' || i);
		COMMIT;
	END LOOP; END\$\$});
my $naps = naps($pid) - $before;
note("result: $commits commits, woken $naps times");
cmp_ok(
	$naps, '<',
	$commits / 5,
	'of many sessions that commit few wake a worker that can do nothing');
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = on');
$node->reload;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT state <> 'dispatch off' FROM pinterest_capi.worker_status}),
	'dispatch is on');
is(sql('SELECT pinterest_capi.flush()'), 't', 'once it can, all is sent');
is($stub->count->{distinct}, $commits, 'each of them');

# ---- retention after the pass that a worker begins with ----
sql(q{UPDATE pinterest_capi._outcome AS o SET finished_at = finished_at - interval '31 days' FROM pinterest_capi._event AS e
	WHERE e.id = o.id AND split_part(e.event_id, '-', 2)::int <= 3000});
sql(q{UPDATE pinterest_capi._outcome AS o SET finished_at = finished_at - interval '8 days' FROM pinterest_capi._event AS e
	WHERE e.id = o.id AND split_part(e.event_id, '-', 2)::int BETWEEN 3001 AND 4500}
);
sql('SELECT pg_reload_conf()');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 2000 AND count(payload) = 500 FROM pinterest_capi._event}
	),
	'after a reload rows past the new retention are deleted');
is(sql('SELECT pid FROM pinterest_capi.worker_status'),
	$pid, 'and it is the same worker');
sql(q{UPDATE pinterest_capi._outcome AS o SET finished_at = finished_at - interval '8 days' FROM pinterest_capi._event AS e
	WHERE e.id = o.id AND split_part(e.event_id, '-', 2)::int BETWEEN 4501 AND 4700}
);

# a reload has no effect on a pass that is under way
ok( poll(
		sub {
			sql('SELECT pg_reload_conf()',
				q{SELECT count(*) = 2000 AND count(payload) = 300 FROM pinterest_capi._event}
			) =~ /^t\nt$/;
		}),
	'the next time it goes on from there');
$node->append_conf('postgresql.conf', q{pinterest_capi.retention = '6 days'});
$node->reload;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 300 AND count(payload) = 300 FROM pinterest_capi._event}
	),
	'a shorter retention applies to rows that the pass has skipped, too');
is(sql('SELECT last_error IS NULL FROM pinterest_capi.worker_status'),
	't', 'no error in between');

done_testing();
