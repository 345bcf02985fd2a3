# After the server's clock is set back, and after a restart that corrects a
# clock that was ahead, no event waits longer than it was meant to.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql track fake_clock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'the wall clock can be replaced on Linux alone'
  if $^O ne 'linux';

my $stub = PinterestStub->new;
my ($set_clock, %clock) = fake_clock($stub->{dir});

my $node = PostgreSQL::Test::Cluster->new('clock');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', <<"CONF");
log_statement = none
shared_preload_libraries = 'pinterest_capi'
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
pinterest_capi.request_timeout = 3s
CONF

# The server has the test's clock, the test itself has the real one.
sub start
{
	local @ENV{ keys %clock } = values %clock;

	$node->start;
	return;
}
start();
configure($node, $stub, 'postgres');

sub server_ahead
{
	return sql('SELECT extract(epoch FROM clock_timestamp())') - time();
}

# the test server's certificate is good for two days
use constant { HOUR => 3600, AHEAD => 36 * 3600 };

# ---- the clock is set back while the worker runs ----

$set_clock->(AHEAD);
cmp_ok(abs(server_ahead() - AHEAD),
	'<', 5, 'a clock that is a day and a half ahead');
track($node, 'ahead');
becomes($node, 'ahead', 'status', 'sent', 'events are sent nevertheless');

# A transaction has drawn its event's id, later ones commit first, and then
# the clock is set back.
my $late = $node->background_psql('postgres');
$late->query_safe('BEGIN');
$late->query_safe(
	q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'late')}
);
track($node, 'overtakes');
becomes($node, 'overtakes', 'status', 'sent',
	'an event overtakes another one');

# A request hangs, an event waits for its retry, and a whole destination
# waits.
$stub->script({ status => 503, headers => { 'Retry-After' => 5 } });
track($node, 'retry');
becomes($node, 'retry', 'status', 'retrying',
	'an event is to be retried in some seconds');
my $begin = time();
$set_clock->(0);
cmp_ok(abs(server_ahead()), '<', 5, 'the clock is set right');
$late->query_safe('COMMIT');
$late->quit;
becomes($node, 'retry', 'status, attempts', 'sent|2', 'the retry is made');
cmp_ok(time() - $begin, '<', 60, 'in some seconds, not in a day');
my @requests = $stub->requests;
my ($refused) = grep { $_->{status} == 503 } @requests;
cmp_ok(
	(grep { $_->{number} > $refused->{number} } @requests)[0]{arrived_ms} -
	  $refused->{answered_ms},
	'>=', 4900, 'and no sooner than it was asked for');
becomes($node, 'late', 'status', 'sent',
	'an event committed behind the cursor is found');
track($node, 'after');
becomes($node, 'after', 'status, attempts', 'sent|1', 'new events are sent');

# an hour back in the middle of a request
$set_clock->(HOUR);
$stub->reset;
$stub->script({ hang => JSON::PP::true });
track($node, 'hanging');
ok($stub->wait_count(hanging => 1), 'a request hangs');
$begin = time();
$set_clock->(0);
ok(poll(sub { sql_status($node, 'hanging', 'attempts') >= 1 }),
	'its time is up');
cmp_ok(time() - $begin,
	'<', 60, 'after request_timeout, whatever the clock says');
becomes($node, 'hanging', 'status, attempts',
	'sent|2', 'and it is sent again');

# ---- the clock is right after a restart ----

$set_clock->(AHEAD);
$stub->reset;
$stub->script({ status => 503, headers => { 'Retry-After' => 2 } });
track($node, 'restarted');
becomes($node, 'restarted', 'status', 'retrying',
	'an event is to be retried, by a clock that is a day and a half ahead');
$stub->down;
track($node, 'behind-it');
$node->stop('fast');
$set_clock->(0);
start();
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'the server starts with the right clock');
$stub->up;
becomes($node, $_, 'status', 'sent', "$_: sent within seconds, not in a day")
  for qw(restarted behind-it);
is( sql(q{SELECT status, backoff_until IS NULL FROM pinterest_capi._readiness WHERE destination = 'default'}
	),
	'ready|t',
	'the destination is ready');

# An event that is meant to wait for long goes on waiting: its time is not
# changed.
$stub->reset;
$stub->script({ status => 500, headers => { 'Retry-After' => 6 * HOUR } });
track($node, 'in-six-hours');
becomes($node, 'in-six-hours', 'status', 'retrying',
	'an event is to be retried in six hours');
my $due = sql_status($node, 'in-six-hours', 'next_attempt_at');
my $worker = sql('SELECT pid FROM pinterest_capi.worker_status');
sql("SELECT pg_terminate_backend($worker)");
ok( poll(
		sub {
			my $pid = sql('SELECT pid FROM pinterest_capi.worker_status');
			$pid ne '' && $pid ne $worker;
		}),
	'a new worker');

# A worker's first pass over final rows and future times comes at once; this
# row is old enough to be deleted by it.
sql(q{UPDATE pinterest_capi._outcome SET finished_at = finished_at - interval '1 year' WHERE id = (SELECT id FROM pinterest_capi._event WHERE event_id = 'ahead')}
);
sql('SELECT pg_terminate_backend(pid) FROM pinterest_capi.worker_status');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 0 FROM pinterest_capi._event WHERE event_id = 'ahead'}
	),
	'has made its first pass');
is(sql_status($node, 'in-six-hours', 'next_attempt_at'),
	$due, 'and left the event\'s time as it is');

$node->stop;
$stub->stop;
done_testing();
