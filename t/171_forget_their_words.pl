# Pinterest's messages about a person's events may quote them: forget clears
# the message wherever it was stored, and keeps messages about others' events.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('words', $stub);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub answered
{
	my ($id, $email, $verdict) = @_;

	$stub->script(
		{
			status => 200,
			body => {
				num_events_received => 1,
				num_events_processed => $verdict->{status} eq 'processed'
				? 1
				: 0,
				events => [$verdict]
			}
		});
	sql(qq{SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "USD"}', '{"em": "$email"}', event_id => '$id', event_time => now() - interval '2 hours')}
	);
	becomes(
		$node, $id, 'status',
		$verdict->{status} eq 'processed' ? 'sent' : 'failed',
		"$id: answered");
	return;
}

answered(
	'other',
	'y@example.com',
	{
		status => 'processed',
		error_message => '',
		warning_message => 'postcode 54321 is unusual'
	});
answered(
	'warned',
	'x@example.com',
	{
		status => 'processed',
		error_message => '',
		warning_message => 'postcode 12345 is unusual'
	});
like(
	sql_status($node, 'warned', 'warnings'),
	qr/12345.*counts it as offline/,
	'warned: its warnings are theirs and ours');
answered(
	'failed',
	'x@example.com',
	{
		status => 'failed',
		error_message => 'postcode 12345 is wrong',
		warning_message => ''
	});
is( sql('SELECT last_error FROM pinterest_capi.destination_status'),
	'postcode 12345 is wrong',
	'the destination tells the last error');

is( sql(q{SELECT pinterest_capi.forget(user_data => '{"em": "x@example.com"}')}
	),
	2,
	'two events are forgotten');
is( sql_status($node, 'warned', 'warnings'),
	'{"sent more than an hour after its time, so Pinterest counts it as offline"}',
	'warned: our message stays, theirs is cleared');
is(sql_status($node, 'failed', 'status, error IS NULL, warnings IS NULL'),
	'failed|t|t', 'failed: their error is cleared');
like(sql_status($node, 'other', 'warnings'),
	qr/54321/, 'messages about others stay');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._erasure'),
	'the worker has searched again');
is( sql('SELECT last_error IS NULL, last_error_at IS NOT NULL FROM pinterest_capi.destination_status'
	),
	't|t',
	'the last error has no words any more');
is( sql(q{SELECT count(*) FROM pinterest_capi._outcome AS o WHERE o::text LIKE '%12345%'}
	),
	0,
	'no outcome has them');

# A pause's reason concerns no event, and an operator needs it.
$stub->script(
	{
		status => 401,
		body => { code => 2, message => 'Authentication failed.' }
	});
sql(track_sql('paused'));
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status = 'paused' FROM pinterest_capi.destination_status}),
	'a destination is paused');
is(sql(q{SELECT pinterest_capi.forget('nobody')}), 0,
	'a person is forgotten');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._erasure'),
	'the worker has searched');
like(sql('SELECT last_error FROM pinterest_capi.destination_status'),
	qr/^HTTP 401/, 'a pause still tells why');
done_testing();
