# An event belongs to its transaction: the events of a prepared transaction are
# sent once it is committed, and those of a rolled back savepoint never.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub
  qw(:DEFAULT sql track_sql track all_sent clean_log no_worker worker_polls);
use Test::More;

my $stub = PinterestStub->new;
my $node =
  setup_node('prepared', $stub, conf => "max_prepared_transactions = 5\n");

sub rows
{
	my ($id) = @_;

	return sql(
		"SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = '$id'"
	);
}

# ---- prepared: the session that commits need not know of a worker ----

no_worker($node);
sql('BEGIN', track_sql('prepared'), "PREPARE TRANSACTION 'p1'");
sql('BEGIN', track_sql('never'), "PREPARE TRANSACTION 'p2'");
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
	'PREPARE starts a worker, which doesn\'t wait for the end');
is( sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IS NULL}
	),
	'0',
	'the prepared transaction keeps no start lock');
track($node, 'after-prepared');
$stub->arrives('after-prepared',
	'an event behind a prepared one is not held up');
worker_polls($node);
is_deeply([ $stub->received('prepared') ], [],
	'prepared events aren\'t sent');
no_worker($node);
track($node, 'after-restart');
$stub->arrives('after-restart',
	'nor is an event held up after a restart, though its worker reads the queue from its begin'
);
worker_polls($node);
is_deeply([ $stub->received('prepared') ],
	[], 'and prepared events are still not sent');
sql(q{COMMIT PREPARED 'p1'});
sql(q{ROLLBACK PREPARED 'p2'});
$stub->arrives('prepared',
	'committed, the event is sent without another one');
is(rows('never'), '0', 'rolled back, it never was');
all_sent($node, 'all is settled');

# ---- savepoints: alone in their transaction ----

no_worker($node);
sql('BEGIN; SAVEPOINT a; ' . track_sql('released') . '; RELEASE a; COMMIT');
$stub->arrives('released',
	'an event of a savepoint that was released, and of nothing else, starts a worker and is sent'
);
no_worker($node);
sql(    'DO $$ BEGIN BEGIN PERFORM '
	  . track_sql('in-block') =~ s/^SELECT //r
	  . q{; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$});
$stub->arrives('in-block', 'so does one of a block with EXCEPTION');
sql(    'BEGIN; SAVEPOINT a; '
	  . track_sql('undone')
	  . '; SAVEPOINT b; '
	  . track_sql('undone-inside')
	  . '; RELEASE b; ROLLBACK TO a; COMMIT');
is(rows('undone') . rows('undone-inside'),
	'00',
	'one of a savepoint that was rolled back leaves nothing, however deep');
sql(    'BEGIN; SAVEPOINT a; '
	  . track_sql('twice')
	  . '; ROLLBACK TO a; '
	  . track_sql('twice')
	  . '; COMMIT');
$stub->arrives('twice', 'taken back and made again, it is sent');
is(rows('twice'), '1', 'as one row');
sql(    'DO $$ BEGIN BEGIN PERFORM '
	  . track_sql('block-undone') =~ s/^SELECT //r
	  . q{; PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$}
);
is(rows('block-undone'), '0',
	'an exception takes back the event of its block');
sql(    'BEGIN; '
	  . track_sql('sub-1')
	  . '; SAVEPOINT a; '
	  . track_sql('sub-undone')
	  . '; ROLLBACK TO a; '
	  . track_sql('sub-2')
	  . '; SAVEPOINT b; '
	  . track_sql('sub-3')
	  . '; RELEASE b; COMMIT');
$stub->arrives($_, "$_: what a savepoint kept, between others")
  for qw(sub-1 sub-2 sub-3);
all_sent($node, 'nothing else waits');
worker_polls($node);
is_deeply([ grep { $_->{event}{event_id} =~ /undone/ } $stub->received ],
	[], 'and no rolled back event was sent');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
