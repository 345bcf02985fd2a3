# The worker walks the log of events by id.  What commits behind it is sent at
# once, and costs no read of what was sent meanwhile, however long another
# transaction stays open.  Events of other destinations are passed over without
# their rows, an event that is sent leaves no dead row, and after a crash the
# walk starts where all is done.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util  qw(shuffle);
use Time::HiRes qw(time);

use PinterestStub
  qw(:DEFAULT sql all_sent crash new_worker track track_sql worker_pid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant MANY => 20_000;

my $stub = PinterestStub->new(accounts => [701]);
my $node = setup_node('walk', $stub, conf => <<'CONF');
autovacuum = off
CONF

# Return how many entries of a table's indexes were read, or how many rows by
# them.  The worker reports its numbers when it ends.
sub reads
{
	my ($table, $what) = @_;

	new_worker($node, "$table: another worker");
	return sql(
		"SELECT sum(idx_tup_$what) FROM pg_stat_user_indexes WHERE relid = 'pinterest_capi.$table'::regclass"
	);
}

sub many
{
	my ($name, $n, $destination) = @_;

	sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
		event_id => '$name-' || n, destination => '$destination')) FROM generate_series(1, $n) AS n}
	);
	return;
}

sub waits
{
	my ($n, $name) = @_;

	ok( $node->poll_query_until(
			'postgres', "SELECT count(*) = $n FROM pinterest_capi._waiting"),
		$name);
	return;
}

# What done_below promises, for every destination.
sub promise_kept
{
	my ($name) = @_;

	is( sql(q{SELECT count(*) FROM pinterest_capi._event AS e JOIN pinterest_capi._destination_state AS s ON s.dest = e.dest
		WHERE e.id <= s.done_below
			AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = e.id)
			AND NOT EXISTS (SELECT FROM pinterest_capi._retry AS q WHERE q.id = e.id)}
		),
		'0',
		"$name: each event up to done_below has an outcome or is retried");
	return;
}

sub done_below
{
	return sql(
		"SELECT done_below FROM pinterest_capi._destination_state WHERE destination = '$_[0]'"
	);
}

# ---- no dead rows ----

many('first', MANY, 'default');
all_sent($node, MANY . ' events are sent');
new_worker($node);
is( sql(q{SELECT string_agg(format('%s %s', relname, n_tup_upd + n_tup_del + n_dead_tup), ', ' ORDER BY relname)
		FROM pg_stat_user_tables WHERE relname IN ('_event', '_outcome', '_retry')}
	),
	'_event 0, _outcome 0, _retry 0',
	'and no row was updated or deleted for it');
cmp_ok(done_below('default'), '>', MANY - 2000, 'done_below follows');
promise_kept('sent');

# ---- an event that commits behind the cursor ----

my $open = $node->background_psql('postgres');
$open->query_safe('BEGIN; SELECT pg_current_xact_id()');
my $late = $node->background_psql('postgres');
$late->query_safe('BEGIN');
$late->query_safe(track_sql('late', destination => 'default'));
many('meanwhile', MANY, 'default');
waits(0, 'what was tracked later is sent');
my $before = reads('_event', 'read');

# each is a poll, which looks for what has committed
for my $n (1 .. 100)
{
	track($node, "single-$n", destination => 'default');
	ok($stub->wait_count(processed => 2 * MANY + $n), "single-$n is sent");
}
my $since = time;
$late->query_safe('COMMIT');
ok($stub->wait_count(processed => 2 * MANY + 101),
	'committed behind the cursor: sent');
my $took = time - $since;
cmp_ok($took, '<', 1, 'within a second');
note(sprintf 'COMMIT to arrival %.0f ms', 1000 * $took);
waits(0, 'and settled');
my $read = reads('_event', 'read') - $before;
cmp_ok($read, '<', 5 * MANY,
	'without a read of what was sent meanwhile at each poll');
note("$read entries were read for 101 events");
$before = done_below('default');
track($node, 'behind', destination => 'default');
waits(0, 'another one is sent');
promise_kept('a transaction is open');
$open->query_safe('COMMIT');
ok( $node->poll_query_until(
		'postgres',
		qq{SELECT pinterest_capi._wake() IS NOT NULL OR done_below > $before + 100
		FROM pinterest_capi._destination_state WHERE destination = 'default'}),
	'done_below goes on when it is over');
$_->quit for $open, $late;
promise_kept('committed');

# ---- many transactions that commit in any order ----

my $order = 0;
for my $round (1 .. 3)
{
	my @sessions = map { $node->background_psql('postgres') } 1 .. 8;
	for my $n (1 .. 4)
	{
		for my $i (shuffle 0 .. $#sessions)
		{
			$sessions[$i]->query_safe('BEGIN') if $n == 1;
			$sessions[$i]->query_safe(
				track_sql("order-$round-$i-$n", destination => 'default'));
			track($node, 'between-' . ++$order, destination => 'default');
		}
	}
	for my $i (shuffle 0 .. $#sessions)
	{
		$sessions[$i]->query_safe($i % 4 == 3 ? 'ROLLBACK' : 'COMMIT');
		$sessions[$i]->quit;
	}
}
waits(0, 'transactions commit in any order: all is sent');
is( sql(q{SELECT count(*), min(attempts), max(attempts) FROM pinterest_capi.dispatch_status WHERE event_id ~ '^(order|between)-' AND status = 'sent'}
	),
	(3 * 6 * 4 + 3 * 8 * 4) . '|1|1',
	'each of them once');
is($stub->count->{duplicates}, 0, 'by the API, too');
promise_kept('any order');

# ---- a destination that resumes ----

add_destination($node, $stub, 'other', '701');
sql(q{SELECT pinterest_capi.pause_destination('other')});
track($node, "other-$_", destination => 'other') for 1 .. 3;
many('others', MANY, 'default');
waits(3, 'those of another destination are sent');
$before = reads('_event', 'fetch');
sql(q{SELECT pinterest_capi.resume_destination('other')});
waits(0, 'a destination resumes');
$read = reads('_event', 'fetch') - $before;
cmp_ok($read, '<', 2000, 'without a read of the rows of others');
note("$read rows were read");
ok( $node->poll_query_until(
		'postgres',
		q{SELECT done_below > 3 * }
		  . MANY
		  . q{ FROM pinterest_capi._destination_state WHERE destination = 'other'}
	),
	'and it is done with their ids');

# ---- a crash ----

$stub->script({ times => 1, status => 503 });
track($node, 'retried', destination => 'default');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 1 FROM pinterest_capi._retry'),
	'an event is retried');
track($node, 'last', destination => 'other');
waits(1, 'another one is sent');
my $done = done_below('default');
crash($node);
$node->start;
cmp_ok(done_below('default'), '>=', $done, 'after a crash: done_below stays');
promise_kept('crash');
sql(q{UPDATE pinterest_capi._retry SET due_at = now(); UPDATE pinterest_capi._destination_state SET backoff_until = NULL; SELECT pinterest_capi._wake()}
);
track($node, 'again', destination => 'default');
waits(0, 'all that waits is sent');
is($stub->count->{duplicates}, 0, 'and nothing else');
promise_kept('recovered');

$node->stop;
$stub->stop;
done_testing();
