# The worker settles the right events by the positions of rows that it
# remembers, also when the rows have moved or were deleted during the request,
# or when other rows have taken their positions.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('moved', $stub, conf => "autovacuum = off\n");

sub place
{
	my ($id) = @_;

	return sql(
		"SELECT e.ctid FROM pinterest_capi._event AS e WHERE e.event_id = '$id'"
	);
}

# Wait until the answer is settled.
sub settled
{
	my ($name) = @_;

	ok( poll(
			sub { sql('SELECT count(*) FROM pinterest_capi._lease') eq '0' }),
		"$name: settled");
	return;
}

# a table that is rewritten
sql(q{SELECT pinterest_capi.configure_destination('1', 'pina_nobody', '2', 'waiting')},
	q{SELECT pinterest_capi.allow_event('filler', send_as => 'checkout', destination => 'waiting'); UPDATE pinterest_capi.destination SET enabled = false WHERE destination = 'waiting'},
	q{SELECT count(pinterest_capi.track('filler', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}')) FROM generate_series(1, 3000)}
);
$stub->hang($node, 'rewritten');
my $before = place('rewritten');
sql('DELETE FROM pinterest_capi._event WHERE id % 2 = 0 AND dest <> (SELECT dest FROM pinterest_capi._destination_state WHERE destination = $$default$$)'
);
sql('VACUUM FULL pinterest_capi._event');
isnt(place('rewritten'), $before, 'rewritten: its row is elsewhere');
$stub->release;
settled('rewritten');
is(sql_status($node, 'rewritten', 'status, attempts, http_status'),
	'sent|1|200', 'and it is sent');
is( sql(q{SELECT count(*) > 1000 FROM pinterest_capi.dispatch_status WHERE destination = 'waiting' AND status = 'queued'}
	),
	't',
	'the others wait as they did');

# a deleted row, with the table truncated before its position
$stub->hang($node, 'cut off');
sql(q{SELECT pinterest_capi.drop_destination('waiting'); DELETE FROM pinterest_capi._outcome; DELETE FROM pinterest_capi._event}
);
sql('VACUUM pinterest_capi._event');
is(sql(q{SELECT pg_relation_size('pinterest_capi._event')}),
	'0', 'the table is empty');
$stub->release;
settled('cut off');
is(sql('SELECT count(*) FROM pinterest_capi._outcome'),
	'0', 'truncated: an event that is gone gets no outcome');

# a position that another row has taken
sql(q{SELECT pinterest_capi.configure_destination('1', 'pina_nobody', '2', 'other')},
	q{SELECT pinterest_capi.allow_event('filler', send_as => 'checkout', destination => 'other'); UPDATE pinterest_capi.destination SET enabled = false WHERE destination = 'other'}
);
$stub->hang($node, 'replaced');
$before = place('replaced');
sql(q{DELETE FROM pinterest_capi._event WHERE event_id = 'replaced'});
sql('VACUUM (TRUNCATE off) pinterest_capi._event');
sql(q{SELECT pinterest_capi.track('filler', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'successor')}
);
is(place('successor'), $before, 'replaced: another row stands there');
$stub->release;
settled('replaced');
is(sql_status($node, 'successor', 'status, attempts'),
	'queued|0', 'which stays unchanged');
is(sql('SELECT count(*) FROM pinterest_capi._outcome'),
	'0', 'replaced: an event that is gone gets no outcome');

is(sql('SELECT last_error IS NULL FROM pinterest_capi.worker_status'),
	't', 'no error in between');
unlike(slurp_file($node->logfile), qr/ERROR|PANIC/, 'nor in the log');

done_testing();
