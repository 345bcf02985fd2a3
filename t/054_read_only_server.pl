# With default_transaction_read_only in the server or the database nothing is
# written and nothing is sent, and sessions, views and the log say why.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub
  qw(:DEFAULT sql track_sql all_sent clean_log new_worker worker_polls);
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('read_only', $stub);

sub read_only
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET default_transaction_read_only = $value; SELECT pg_reload_conf()"
	);
	ok( $node->poll_query_until(
			'postgres',
			q{SELECT (state = 'read-only') = }
			  . ($value eq 'on' ? 'true' : 'false')
			  . ' FROM pinterest_capi.worker_status'),
		"read-only $value: the worker knows");
	return;
}

$stub->hang($node, 'under-way');
sql(q{ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()}
);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT current_setting('default_transaction_read_only') = 'on'}),
	'read-only, while a request is in flight');
$stub->release;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'under-way'}
	),
	'the request in flight is finished');
read_only('on');
my $before = $stub->count->{requests};
my (undef, undef, $refused) = $node->psql('postgres', track_sql('refused'));
like(
	$refused,
	qr/ERROR:  cannot execute track\(\) in a read-only transaction/,
	'track is refused like any write');
sql('BEGIN READ WRITE; ' . track_sql('in-read-write') . '; COMMIT');
like(
	sql('SELECT message FROM pinterest_capi.destination_status'),
	qr/this server is read-only \(default_transaction_read_only\): nothing is sent from here/,
	'the view says so');
is( sql(q{BEGIN READ WRITE; SELECT pinterest_capi.verify_destination(); COMMIT}
	),
	'This server is read-only (default_transaction_read_only): nothing was sent.',
	'so does verify_destination');
is(sql(q{SELECT pinterest_capi.flush('0')}),
	'f', 'flush knows that something waits');
worker_polls($node);
is($stub->count->{requests}, $before, 'and nothing was sent');
sql('ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()'
);
$stub->arrives('in-read-write',
	'no longer read-only: the waiting events are sent, without another event'
);

# of the database alone: from the worker's next start, as with any session
sql(q{ALTER DATABASE postgres SET default_transaction_read_only = on});
new_worker($node);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT state = 'read-only' FROM pinterest_capi.worker_status}),
	'ALTER DATABASE: so it is for a worker that starts');
sql('BEGIN READ WRITE; ' . track_sql('database-read-only') . '; COMMIT');
sql('BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT'
);
worker_polls($node);
is_deeply([ $stub->received('database-read-only') ], [], 'nothing is sent');
new_worker($node);
$stub->arrives('database-read-only', 'until another one starts');
all_sent($node, 'all is settled');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
