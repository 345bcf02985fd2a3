# A person is forgotten also while open transactions have tracked, identified
# or captured something of that person: once they commit, nothing of it is
# sent, and nothing of it stays.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node =
  setup_node('forget', $stub, conf => 'max_prepared_transactions = 2');

sub tracked
{
	my ($id, $email, $more) = @_;

	return
	  sprintf
	  q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "%s"}', event_id => '%s'%s);},
	  $email, $id, $more // '';
}

sub opened
{
	my ($begin, @statements) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe($_) for $begin, @statements;
	return $session;
}

sub over
{
	my ($session, $end) = @_;

	$session->query_safe($end);
	$session->quit;
	return;
}

my $visitors = q{SELECT count(*) FROM pinterest_capi._visitor};
my $fate = q{status, reason, payload IS NULL};

# ---- while an older transaction stays open, so that the worker can't finish its search ----

my $oldest = opened('BEGIN', tracked('oldest', 'x@example.com'));
my $open = opened(
	'BEGIN',
	tracked('open', 'x@example.com', q{, visitor_id => 'browser'}),
	tracked('other', 'y@example.com'));
my $repeatable = opened(
	'BEGIN ISOLATION LEVEL REPEATABLE READ',
	tracked('repeatable', 'x@example.com'));
sql(    'BEGIN;'
	  . tracked('prepared', 'x@example.com')
	  . q{PREPARE TRANSACTION 'p'});
is( sql(q{SELECT pinterest_capi.forget('browser', '{"em": "x@example.com"}')}
	),
	'0',
	'forget sees nothing of the open transactions');
over($open, 'COMMIT');
$stub->arrives('other', 'another person\'s event is sent');
becomes($node, 'open', $fate, 'suppressed|forgotten|t',
	'one of the person does not');
over($repeatable, 'COMMIT');
becomes($node, 'repeatable', $fate, 'suppressed|forgotten|t',
	'nor one of a transaction that sees one snapshot');
sql(q{COMMIT PREPARED 'p'});
becomes($node, 'prepared', $fate, 'suppressed|forgotten|t',
	'nor one of a prepared transaction');
is(sql('SELECT count(*) FROM pinterest_capi._erasure'),
	'1', 'the worker knows that another one is still open');
is( sql(q{SELECT count(*) FROM pinterest_capi._event WHERE visitor IS NOT NULL}
	),
	'0',
	'the visitor is emptied too');
over($oldest, 'COMMIT');
becomes($node, 'oldest', $fate, 'suppressed|forgotten|t',
	'that one is no exception');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._erasure'),
	'then the worker is done with it');
is(scalar($stub->received($_)), 0, "$_ was in no request")
  for qw(open repeatable prepared oldest);
is(sql_status($node, 'other', 'status, payload IS NOT NULL'),
	'sent|t', 'the other person\'s event is unchanged');

# ---- rows that sending doesn't reach: visitors, and events that are final or wait for long ----

sql('SELECT pinterest_capi.pause_destination()');
$open = opened(
	'BEGIN',
	q{SELECT pinterest_capi.identify('new', '{"em": "z@example.com"}')},
	q{SELECT pinterest_capi.identify('known', '{"em": "k@example.com"}')},
	q{SELECT pinterest_capi.capture_click('clicked', cookie => '_epik=dj0click')},
	tracked('waits', 'z@example.com'),
	tracked(
		'expired', 'z@example.com',
		q{, event_time => now() - interval '30 days'}),
	tracked('stays', 'k@example.com'));
is( sql(q{SELECT pinterest_capi.forget('clicked', '{"em": "z@example.com"}')}
	),
	'0',
	'forget sees nothing of it');
over($open, 'COMMIT');
becomes($node, 'waits', $fate, 'suppressed|forgotten|t',
	'one that waits is ended');
becomes($node, 'expired', 'status, payload IS NULL',
	'expired|t', 'one that is final is emptied');
ok( $node->poll_query_until('postgres', "SELECT ($visitors) = 1"),
	'the person\'s visitors are deleted, the other person\'s is kept');
is(sql_status($node, 'stays', 'status, payload IS NOT NULL'),
	'queued|t', 'whose event waits');
is( sql(q{SELECT payload -> 'user_data' ? 'em' FROM pinterest_capi.preview('Checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'known')}
	),
	't',
	'and who is known');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._erasure'),
	'the worker is done with it');

# ---- a rolled back forget ----

sql('SELECT pinterest_capi.resume_destination()');
$open = opened('BEGIN',
	q{SELECT pinterest_capi.forget(user_data => '{"em": "back@example.com"}')}
);
over($open, 'ROLLBACK');
sql(tracked('back', 'back@example.com'));
$stub->arrives('back', 'after a forget that was rolled back events are sent');

# ---- many events of many people, several forgotten at once ----

sql('SELECT pinterest_capi.pause_destination()');
$open = opened(
	'BEGIN',
	q{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}',
	jsonb_build_object('em', 'm' || n || '@example.com'), event_id => 'm-' || n)) FROM generate_series(1, 5000) AS n}
);
sql(join '',
	map {
		qq{SELECT pinterest_capi.forget(user_data => '{"em": "m$_\@example.com"}');}
	} 1,
	2500,
	5000);
over($open, 'COMMIT');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._erasure'),
	'many events: the worker searches all');
is( sql(q{SELECT string_agg(event_id, ' ' ORDER BY id) FROM pinterest_capi._event WHERE payload IS NULL AND event_id LIKE 'm-%'}
	),
	'm-1 m-2500 m-5000',
	'and empties those');

$node->stop;
$stub->stop;
done_testing();
