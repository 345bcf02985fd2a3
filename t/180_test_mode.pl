# An event that was sent in test mode, which Pinterest checks and discards, is
# told apart from one that was sent for real, and one statement sends it for
# real.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('test_mode', $stub);

sub track
{
	my ($id, $source) = @_;

	sql(qq{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
		event_id => '$id', action_source => '@{[$source // 'web']}')});
	return;
}

sub test_mode
{
	sql("UPDATE pinterest_capi.destination SET test_mode = $_[0]");
	return;
}

sub status { return sql_status($node, $_[0], 'status, test_mode') }

# Return the requests that were sent in test mode.
sub tested
{
	return scalar grep { $_->{path} =~ /\?test=true$/ } $stub->requests;
}

track('before');
becomes($node, 'before', 'status, test_mode', 'sent|f', 'sent for real');
is(tested(), 0, 'without ?test=true');

test_mode('true');
like(
	sql('SELECT message FROM pinterest_capi.destination_status'),
	qr/\btest mode: Pinterest checks events and discards them/,
	'the destination says that it is in test mode');
track($_) for 'tested-1', 'tested-2', 'refused';
becomes($node, $_, 'status, test_mode',
	'sent|t', "$_: sent in test mode, and its row says so")
  for 'tested-1', 'tested-2';
cmp_ok(tested(), '>=', 1, 'with ?test=true');

# an event that Pinterest refuses in test mode, and one that was never sent
$stub->script(
	{ status => 400, body => { code => 1, message => 'Invalid.' } });
track('bad');
becomes($node, 'bad', 'status, test_mode',
	'failed|t', 'refused in test mode: failed, and its row says so too');
sql(q{SELECT pinterest_capi.pause_destination()});
track('cancelled');
sql(q{SELECT pinterest_capi.cancel('cancelled')});
is(status('cancelled'), 'cancelled|f',
	'an event never sent was not sent in test mode');
sql(q{SELECT pinterest_capi.resume_destination()});

# An event that was tried before and is then sent in test mode is settled by a
# statement.
test_mode('false');
$stub->script({ status => 503, headers => { 'Retry-After' => 3600 } });
track('second-try');
becomes($node, 'second-try', 'status, test_mode',
	'retrying|f', 'an attempt that failed');
test_mode('true');
sql(q{UPDATE pinterest_capi._retry SET due_at = now(); SELECT pinterest_capi.resume_destination()}
);
becomes($node, 'second-try', 'status, attempts, test_mode',
	'sent|2|t', 'its second one went in test mode');

# for real
test_mode('false');
unlike(sql('SELECT message FROM pinterest_capi.destination_status'),
	qr/test mode/, 'the destination is not in test mode any more');
is(status('tested-1'), 'sent|t', 'a tested event stays tested');
my ($code, $out, $err) = $node->psql('postgres',
	q{SELECT pinterest_capi.replay('default', status => 'sent', dry_run => true)}
);
is($out, '4', 'a dry run counts those that were only tested');
like($err, qr/NOTICE:  only events that were sent in test mode are taken/,
	'and says so');
$stub->reset;
is(sql(q{SELECT pinterest_capi.replay('default', status => 'sent')}),
	'4', 'they are replayed');
becomes($node, $_, 'status, test_mode', 'sent|f', "$_: sent for real")
  for 'tested-1', 'tested-2', 'refused', 'second-try';
is(tested(), 0, 'without ?test=true');
is(scalar($stub->received('before')),
	0, 'an event that Pinterest has is not sent again');
is(scalar($stub->received('tested-1')),
	1, 'the tested events have arrived once for real');

# the report
unlike(
	sql('SELECT pinterest_capi.report_html()'),
	qr/in test mode, which Pinterest discards/,
	'the report speaks of no test mode where there is none');

# No event was only tested, so those that were sent are replayed.
is( sql(q{SELECT pinterest_capi.replay('default', status => 'sent', dry_run => true)}
	),
	'5',
	'then all that was sent is counted');

# With a new event_id all are replayed, and each copy is a new event.
test_mode('true');
track('tested-3');
becomes($node, 'tested-3', 'status, test_mode',
	'sent|t', 'another one in test mode');
like(
	sql('SELECT pinterest_capi.report_html()'),
	qr/; and 1 more in test mode, which Pinterest discards</,
	'the report tells them apart');
is( sql(q{SELECT pinterest_capi.replay('default', status => 'sent', new_event_id => true, dry_run => true)}
	),
	'6',
	'with another event_id all count');

$node->stop;
done_testing();
