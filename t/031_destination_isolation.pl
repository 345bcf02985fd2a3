# Destinations don't wait for each other: one that hangs, is paused, fails, or
# whose rows are locked delays no other destination.
#
# Runs by itself: it compares times.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Compare;
use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new(accounts => [ 601 .. 603 ]);
my $node = setup_node('neighbours', $stub,
	conf => 'pinterest_capi.request_timeout = 300s');

add_destination($node, $stub, "d$_", $_) for 601 .. 603;

sub track
{
	my ($destination, $name, $n) = @_;

	sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}',
			jsonb_build_object('em', 'c' || n || '\@example.com'), event_id => '$name-' || n, destination => '$destination'))
		FROM generate_series(1, $n) AS n});
	return;
}

sub all_sent
{
	my ($name, $n, $what) = @_;

	ok( $node->poll_query_until(
			'postgres', qq{
			SELECT count(*) = $n FROM pinterest_capi._outcome AS o JOIN pinterest_capi._event AS e USING (id)
			WHERE e.event_id LIKE '$name-%' AND o.status = 'sent'}),
		$what);
	return;
}

# ---- 10,000 events, with and without a destination beside that hangs for ever ----

# from the first request's arrival to the last answer, by the stub's clock
my $round = 0;

sub drain
{
	my $name = 'drain' . ++$round;

	sql('SELECT pinterest_capi.pause_destination()');
	track('default', $name, 10_000);
	my $last = $stub->count->{requests};
	sql('SELECT pinterest_capi.resume_destination()');
	all_sent($name, 10_000, "$name: 10,000 events are sent");

	my @mine =
	  grep { $_->{number} > $last && $_->{account} eq PinterestStub::ACCOUNT }
	  $stub->requests;
	my ($begin, $end) = ($mine[0]{arrived_ms}, $mine[-1]{answered_ms});
	return $end - $begin;
}

sub drain_alone
{
	# The stub gets slower with the events that it remembers.
	$stub->reset;
	return drain();
}

sub drain_beside
{
	my $name = 'hangs' . ($round + 1);

	$stub->reset;
	$stub->script({ account => '601', times => 0, hang => JSON::PP::true });

	# more requests than it may have in flight, so that it would use every
	# opportunity
	sql(q{UPDATE pinterest_capi.destination SET batch_size = 1 WHERE destination = 'd601'}
	);
	track('d601', $name, 1000);
	ok($stub->wait_count(hanging => 4),
		'the other one hangs, with 1000 events behind');
	my $took = drain();

	is($stub->count->{hanging}, 4, 'still');
	$stub->reset;
	sql(q{UPDATE pinterest_capi.destination SET batch_size = DEFAULT WHERE destination = 'd601'}
	);
	all_sent($name, 1000, 'released, all events are sent');
	return $took;
}
at_most_times(
	1.2, '10,000 events beside one that hangs against alone',
	one => \&drain_beside,
	other => \&drain_alone,
	fewest => 5,
	unit => 'ms');

# ---- paused, failing, waiting ----

$stub->reset;
sql("SELECT pinterest_capi.pause_destination('d601')");
$stub->script(
	{
		account => '602',
		times => 0,
		status => 503,
		headers => { 'Retry-After' => 600 }
	},
	{
		account => '603',
		times => 0,
		status => 429,
		headers => { 'Retry-After' => 600 }
	});
track("d$_", "stuck$_", 100) for 601 .. 603;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 2 FROM pinterest_capi._destination_state WHERE backoff_until > now() + interval '9 minutes'}
	),
	'one is paused, one fails, one is asked to wait');
track('default', 'fine', 2500);
all_sent('fine', 2500, 'the fourth one sends');
is($stub->count->{requests}, 2 + 3, 'and the others got no other request');
sql("SELECT pinterest_capi.cancel(event_id) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'stuck%'"
);
sql("SELECT pinterest_capi.resume_destination('d$_')") for 601 .. 603;

# ---- locked rows ----

# an answer that can't be settled
$stub->reset;
$stub->script({ account => '601', times => 4, hang => JSON::PP::true });
sql(q{UPDATE pinterest_capi.destination SET batch_size = 1 WHERE destination = 'd601'}
);
track('d601', 'locked', 4);
ok($stub->wait_count(hanging => 4), 'four requests hang');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN');
$locker->query_safe("SELECT pinterest_capi.pause_destination('d601')");
my $offset = -s $node->logfile;
$stub->release;
ok( $node->wait_for_log(qr/canceling statement due to lock timeout/, $offset),
	'a transaction that has paused it and stays open: the answers can\'t be settled'
);
track('default', 'meanwhile', 2500);
all_sent('meanwhile', 2500, 'another destination sends meanwhile');
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'locked-%' AND status = 'sent'}
	),
	'0',
	'which is still open');
$locker->query_safe('ROLLBACK');
all_sent('locked', 4, 'rolled back: the answers are written down');
is(scalar(grep { $_->{event}{event_id} =~ /^locked-/ } $stub->received),
	4, 'and nothing went twice');

# rows that the worker wants to lease or to cancel
$stub->reset;
sql(q{
	UPDATE pinterest_capi.destination SET max_event_age = '1 minute' WHERE destination = 'd602';
	SELECT pinterest_capi.pause_destination('d602')});
track('d602', 'aged', 3);
sql(q{UPDATE pinterest_capi._event SET event_time = event_time - interval '1 hour' WHERE event_id LIKE 'aged-%'}
);
$locker->query_safe('BEGIN');
is($locker->query_safe("SELECT pinterest_capi.cancel('aged-2')"), '1',
	'an event that has expired is being cancelled, in a transaction that stays open'
);
sql("SELECT pinterest_capi.resume_destination('d602')");
ok( $node->poll_query_until(
		'postgres', q{
		SELECT string_agg(status, ' ' ORDER BY event_id) = 'expired queued expired' FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'aged-%'}
	),
	'the worker drops the others');
track('default', 'besides', 2500);
all_sent('besides', 2500, 'another destination sends meanwhile');
$locker->query_safe('COMMIT');
$locker->quit;
ok( $node->poll_query_until(
		'postgres', q{
		SELECT string_agg(status, ' ' ORDER BY event_id) = 'expired cancelled expired' FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'aged-%'}
	),
	'committed: each has its outcome');
sql(q{UPDATE pinterest_capi.destination SET max_event_age = DEFAULT WHERE destination = 'd602'}
);
track('d602', 'back', 10);
all_sent('back', 10, 'and that destination sends again');

$node->stop;
$stub->stop;
done_testing();
