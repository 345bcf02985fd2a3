# An event tracked or replayed after a change of its destination is sent with the
# changed settings, also when the worker has read the old settings a moment before.
#
# A lock stops the worker between its two statements, the one that reads the
# destinations and the one that reads the queue.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('order', $stub, conf => 'deadlock_timeout = 1h');

sub tracks
{
	my ($id) = @_;

	return
	  qq{SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "EUR"}', '{"em": "a\@example.com"}', event_id => '$id')};
}

# Set the settings of $before, then change them and track event $id, or do
# $then, while the worker is between its statements.
sub changes_in_between
{
	my ($id, $before, $change, $then) = @_;
	my $held;

	# The worker waits at most 200 ms for a lock.  A round in which it gave up
	# shows nothing.
	for my $round (1 .. 30)
	{
		my ($log, $session);

		sql("$before; SELECT pinterest_capi.flush()");
		$log = -s $node->logfile;
		$stub->reset;
		$session = $node->background_psql('postgres');
		$session->query_safe(
			'SET client_min_messages = warning; BEGIN; LOCK TABLE pinterest_capi._retry'
		);
		sql('SELECT pinterest_capi._wake()');
		$session->query_safe(
			q{DO $$BEGIN
			FOR i IN 1 .. 2000 LOOP
				EXIT WHEN EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
					WHERE NOT l.granted AND l.relation = 'pinterest_capi._retry'::regclass AND a.backend_type = 'pinterest_capi worker');
				PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
			END LOOP; END$$; }
			  . join('; ', $change, $then // tracks("$id $round"), 'COMMIT'));
		$session->quit;
		$held = slurp_file($node->logfile, $log) !~ /due to lock timeout/;
		$id = "$id $round" if $held && !$then;
		last if $held;
	}
	ok($held, "$id: the worker had read the old settings");
	ok( $node->poll_query_until(
			'postgres',
			"SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = '$id'"
		),
		"$id: it is sent");
	is( sql(q{SELECT last_error IS NULL AND status = 'ready' FROM pinterest_capi.destination_status}
		),
		't',
		"$id: and was tried by no other settings");
	return;
}

my $elsewhere =
  q{UPDATE pinterest_capi.destination SET api_url = 'https://localhost:1/v5'};
my $here =
  "UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'";
my $token = sub {
	"SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '$_[0]', '@{[PinterestStub::ACCOUNT]}')";
};

changes_in_between('url', $elsewhere, $here);
changes_in_between(
	'token',
	$token->('pina_an_old_one'),
	$token->(PinterestStub::TOKEN));

# ---- the same where a poll has failed, and each destination is polled in a transaction of its own ----

# The lock outlasts the worker's time limit, so its next polls are such ones.
sub changes_in_between_one_by_one
{
	my ($id, $before, $change) = @_;
	my $log = -s $node->logfile;
	my $session;

	sql("$before; SELECT pinterest_capi.flush()");
	$session = $node->background_psql('postgres');
	$session->query_safe(
		'SET client_min_messages = warning; BEGIN; LOCK TABLE pinterest_capi._retry'
	);
	sql('SELECT pinterest_capi._wake()');
	ok( poll(
			sub {
				slurp_file($node->logfile, $log) =~
				  /due to lock timeout.*due to lock timeout/s;
			},
			60),
		"$id: polls fail");
	ok( poll(
			sub {
				sql(q{SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
					WHERE NOT l.granted AND l.relation = 'pinterest_capi._retry'::regclass
						AND a.backend_type = 'pinterest_capi worker'}) == 1;
			}),
		"$id: and one waits, with the old settings");
	$session->query_safe(join('; ', $change, tracks($id), 'COMMIT'));
	$session->quit;
	ok( $node->poll_query_until(
			'postgres',
			"SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = '$id'"
		),
		"$id: it is sent");
	return;
}

$stub->reset;
changes_in_between_one_by_one(
	'test mode, one by one',
	'UPDATE pinterest_capi.destination SET test_mode = false',
	'UPDATE pinterest_capi.destination SET test_mode = true');
is(join(' ', map { $_->{path} =~ s/.*events//r } $stub->requests),
	'?test=true', 'one by one: in a test request');
sql('UPDATE pinterest_capi.destination SET test_mode = false');

$stub->reset;
changes_in_between(
	'test mode',
	'UPDATE pinterest_capi.destination SET test_mode = false',
	'UPDATE pinterest_capi.destination SET test_mode = true');
is(join(' ', map { $_->{path} =~ s/.*events//r } $stub->requests),
	'?test=true', 'test mode: in a test request');

# a replayed event is due at once, like a retry
sql('UPDATE pinterest_capi.destination SET test_mode = false',
	tracks('replayed'), 'SELECT pinterest_capi.flush()');
$stub->reset;
changes_in_between(
	'replayed', 'SELECT 1',
	'UPDATE pinterest_capi.destination SET test_mode = true',
	q{SELECT pinterest_capi.replay('default', 'sent')});
is(join(' ', map { $_->{path} =~ s/.*(?=events)//r } $stub->requests),
	'events?test=true', 'replayed: in a test request');

done_testing();
