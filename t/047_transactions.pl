# Events and the kinds of transactions they come in: prepared, subtransactions,
# read-only servers, decoded and published ones, a full disk in a session; and
# credentials that are replaced under a request.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql track all_sent clean_log crash);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $decoding = -e PostgreSQL::Test::Cluster->new('probe')->config_data('--pkglibdir') . '/test_decoding.so';
my $node = setup_node('transactions', $stub,
	conf => "max_prepared_transactions = 5\nwal_level = logical\nmax_wal_senders = 3\nmax_replication_slots = 3\n"
	  . "pinterest_capi.request_timeout = 300s\nrestart_after_crash = on");
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'};

sub sql { return $node->safe_psql('postgres', @_) }

sub rows
{
	my ($id) = @_;

	return sql("SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = '$id'");
}

# not preloaded: after a restart there is none until something is committed
sub without_worker
{
	$stub->reset;
	$node->restart;
	is(sql($workers), '0', 'no worker');
	return;
}

# ---- prepared: who commits it need not know of a worker ----

without_worker();
sql('BEGIN; ' . track_sql('prepared') . "; PREPARE TRANSACTION 'p1'");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'), 'PREPARE starts a worker, which doesn\'t wait for the end');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IS NULL}), '0', 'the prepared transaction keeps no start lock');
sql(q{COMMIT PREPARED 'p1'});
$stub->arrives('prepared', 'committed, the event is sent without another one');

# ---- subtransactions: alone in their transaction ----

without_worker();
sql('BEGIN; SAVEPOINT a; ' . track_sql('released') . '; RELEASE a; COMMIT');
$stub->arrives('released', 'an event of a savepoint that was released, and of nothing else, starts a worker and is sent');
without_worker();
sql('DO $$ BEGIN BEGIN PERFORM ' . track_sql('in-block') =~ s/^SELECT //r . q{; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$});
$stub->arrives('in-block', 'so does one of a block with EXCEPTION');
sql('BEGIN; SAVEPOINT a; ' . track_sql('undone') . '; SAVEPOINT b; ' . track_sql('undone-inside') . '; RELEASE b; ROLLBACK TO a; COMMIT');
is(rows('undone') . rows('undone-inside'), '00', 'one of a savepoint that was rolled back leaves nothing, however deep');
sql('BEGIN; SAVEPOINT a; ' . track_sql('twice') . '; ROLLBACK TO a; ' . track_sql('twice') . '; COMMIT');
$stub->arrives('twice', 'taken back and made again, it is sent');
is(rows('twice'), '1', 'as one row');
sql('DO $$ BEGIN BEGIN PERFORM ' . track_sql('block-undone') =~ s/^SELECT //r . q{; PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$});
is(rows('block-undone'), '0', 'an exception takes back the event of its block');
all_sent($node, 'nothing else waits');
is_deeply([ grep { $_->{event}{event_id} =~ /undone/ } $stub->received ], [], 'and none of what was taken back was sent');

# ---- a server that is to be left as it is ----

sub read_only
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET default_transaction_read_only = $value; SELECT pg_reload_conf()");
	ok($node->poll_query_until('postgres', q{SELECT (state = 'read-only') = } . ($value eq 'on' ? 'true' : 'false') . ' FROM pinterest_capi.worker_status'),
		"read-only $value: the worker knows");
	return;
}

$stub->hang($node, 'under-way');
sql(q{ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()});
ok($node->poll_query_until('postgres', q{SELECT current_setting('default_transaction_read_only') = 'on'}), 'read-only, while a request is out');
$stub->release;
ok($node->poll_query_until('postgres', q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'under-way'}), 'what is under way is finished');
read_only('on');
my $before = $stub->count->{requests};
my (undef, undef, $refused) = $node->psql('postgres', track_sql('refused'));
like($refused, qr/ERROR:  cannot execute track\(\) in a read-only transaction/, 'track is refused like any write');
sql('BEGIN READ WRITE; ' . track_sql('in-read-write') . '; COMMIT');
like(sql('SELECT message FROM pinterest_capi.destination_status'), qr/this server is read-only \(default_transaction_read_only\): nothing is sent from here/,
	'the view says so');
is(sql(q{BEGIN READ WRITE; SELECT pinterest_capi.verify_destination(); COMMIT}), 'This server is read-only (default_transaction_read_only): nothing was sent.',
	'so does verify_destination');
is(sql(q{SELECT pinterest_capi.flush('0')}), 'f', 'flush knows that something waits');
is($stub->count->{requests}, $before, 'and nothing was sent');
sql('ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()');
$stub->arrives('in-read-write', 'no longer read-only: what waited is sent, without another event');
# of the database alone: from the worker's next start, as with any session
sql(q{ALTER DATABASE postgres SET default_transaction_read_only = on});
my $pid = sql('SELECT pid FROM pinterest_capi.worker_status');
sql("SELECT pg_terminate_backend($pid)");
ok($node->poll_query_until('postgres', "SELECT state = 'read-only' FROM pinterest_capi.worker_status WHERE pid <> $pid"), 'ALTER DATABASE: so it is for a worker that starts');
sql('BEGIN READ WRITE; ' . track_sql('database-read-only') . '; COMMIT');
sql('BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT');
is_deeply([ $stub->received('database-read-only') ], [], 'nothing is sent');
$pid = sql('SELECT pid FROM pinterest_capi.worker_status');
sql("SELECT pg_terminate_backend($pid)");
$stub->arrives('database-read-only', 'until another one starts');
all_sent($node, 'all is settled');

# ---- credentials that are replaced while a request with the old ones is out ----

my $configure = q{SELECT pinterest_capi.configure_destination('} . PinterestStub::TAG . q{', '%s')};
sql(sprintf $configure, 'pina_old');
$stub->hang($node, 'old-token', status => 401);
sql(sprintf $configure, PinterestStub::TOKEN);
$stub->release;
$stub->arrives('old-token', 'a refusal of the old token doesn\'t pause the new one: the event is sent with that');
is(sql('SELECT status FROM pinterest_capi.destination_status'), 'ready', 'ready');
is(sql(q{SELECT attempts FROM pinterest_capi.dispatch_status WHERE event_id = 'old-token'}), '1', 'the refused one was no attempt');
$stub->hang($node, 'same-token', status => 401);
sql('UPDATE pinterest_capi.destination SET batch_size = 999');
$stub->release;
ok($node->poll_query_until('postgres', q{SELECT status = 'paused' FROM pinterest_capi.destination_status}), 'one of a token that is still there does');
sql('SELECT pinterest_capi.resume_destination()');
$stub->arrives('same-token', 'until somebody resumes');
all_sent($node, 'all is settled');

# a file in place of a token: missing, wrong, there, replaced
my $token_file = PostgreSQL::Test::Utils::tempdir() . '/token';

sub write_token
{
	my ($text) = @_;

	append_to_file("$token_file.new", $text);
	rename "$token_file.new", $token_file or die $!;
	return;
}

sub waits_for_file
{
	my ($id, $why) = @_;

	ok($node->poll_query_until('postgres', "SELECT message ~ 'access token file cannot be read: $why' FROM pinterest_capi.destination_status"), "$id: the view says why");
	is(sql_status($node, $id, 'status, attempts'), 'queued|0', "$id: it waits, without an attempt");
	return;
}

sql(sprintf $configure, "file:$token_file");
$stub->reset;
track($node, 'no-file');
waits_for_file('no-file', 'No such file');
write_token("two words\n");
sql('SELECT pinterest_capi.resume_destination()');
waits_for_file('no-file', 'it must hold the token and nothing else');
is($stub->count->{requests}, 0, 'and nothing is sent meanwhile');
write_token(PinterestStub::TOKEN . "\n");
$stub->arrives('no-file', 'with the right file it is, by itself');
write_token("pina_old\n");
$stub->hang($node, 'old-file', status => 401);
write_token(PinterestStub::TOKEN . "\n");
$stub->release;
$stub->arrives('old-file', 'a refusal of what was in the file doesn\'t pause what is there now');
all_sent($node, 'all is settled');
sql(sprintf $configure, PinterestStub::TOKEN);

# ---- published: every table must be one whose changes can be ----

sql('CREATE PUBLICATION everything FOR ALL TABLES');
$pid = sql('SELECT pid FROM pinterest_capi.worker_status');
sql("SELECT pg_terminate_backend($pid)");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE pid <> $pid"), 'FOR ALL TABLES: a worker starts');
sql(q{SELECT pinterest_capi.allow_event('lead'); SELECT pinterest_capi.allow_event('lead', properties => '{*}'); SELECT pinterest_capi.disallow_event('lead');
	SELECT pinterest_capi.identify('v', '{"em": "p@example.com"}'); SELECT pinterest_capi.identify('v', '{"fn": "P"}');
	INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('r', 'stop', '$.consent.no == true');
	UPDATE pinterest_capi.consent_rule SET description = 'r'; DELETE FROM pinterest_capi.consent_rule});
sql(sprintf $configure, PinterestStub::TOKEN);
$stub->reset;
$stub->script({ status => 500 });
track($node, 'published');
$stub->arrives('published', 'claims, retries and settles');
all_sent($node, 'all of it');
sql(q{SELECT pinterest_capi.pause_destination()});
track($node, 'published-cancelled');
sql(q{SELECT pinterest_capi.cancel('published-cancelled'); SELECT pinterest_capi.replay('default', 'sent', event_name => 'Checkout', event_time_now => true);
	SELECT pinterest_capi.cancel('published'); SELECT pinterest_capi.forget('v'); SELECT pinterest_capi.purge('0'); SELECT pinterest_capi.resume_destination()});
pass('settings, visitors, cancel, replay, forget and purge too');
sql('DROP PUBLICATION everything');

# ---- decoded: across DROP EXTENSION and a crash ----

SKIP:
{
	skip 'no test_decoding here', 6 unless $decoding;

	my $changes = q{SELECT count(*) FILTER (WHERE data LIKE 'table pinterest_capi.%%'), count(*) FILTER (WHERE data LIKE '%%%s%%') > 0
		FROM pg_logical_slot_%s_changes('decoded', NULL, NULL)};

	sql(q{SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')});
	sql(q{SELECT pinterest_capi.flush()});
	$stub->hang($node, 'decoded-1');
	like(sql(sprintf $changes, 'decoded-1', 'get'), qr/^[1-9]\d*\|t$/, 'decoding shows an event whose request is out');
	sql('DROP EXTENSION pinterest_capi');
	$stub->release;
	like(sql(sprintf $changes, 'x', 'get'), qr/^\d+\|/, 'DROP EXTENSION is decoded');
	configure($node, $stub, 'postgres');
	track($node, 'decoded-2');
	$stub->arrives('decoded-2', 'made again, it sends');
	ok($node->poll_query_until('postgres', q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'decoded-2'}), 'and settles');
	$stub->hang($node, 'decoded-3');
	crash($node);
	$stub->release;
	$node->start;
	like(sql(sprintf $changes, 'decoded-3', 'get'), qr/^[1-9]\d*\|t$/, 'after a crash what was not read is decoded');
	track($node, 'decoded-4');
	$stub->arrives($_, "$_: and all is sent") for qw(decoded-3 decoded-4);
	all_sent($node, 'and settled');
	sql(q{SELECT pg_drop_replication_slot('decoded')});
}

# ---- no room for a session's rows ----

SKIP:
{
	skip 'no prlimit here', 6 unless system('prlimit --version >/dev/null 2>&1') == 0;

	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $backend = $session->query_safe('SELECT pg_backend_pid()');
	my $log_from = -s $node->logfile;

	# more than the pages that there are have room for
	my $many = sub { return "SELECT count(pinterest_capi.track('Checkout', '{\"value\": 1, \"currency\": \"USD\"}', '{\"em\": \"vexilloquark\@example.com\"}', event_id => '$_[0]-' || n))"
		  . " FROM generate_series(1, 2000) AS n" };
	sql('CHECKPOINT');
	is(system("prlimit --pid $backend --fsize=8192: >/dev/null"), 0, 'a session that can\'t extend files');
	$session->query($many->('full'));
	like($session->{stderr}, qr/ERROR:  could not extend file/, 'track: the server\'s error');
	unlike(slurp_file($node->logfile, $log_from), qr/vexilloquark/, 'and the log has no raw identifier from it');
	$session->{stderr} = '';
	is(system("prlimit --pid $backend --fsize=unlimited: >/dev/null"), 0, 'there is room again');
	is($session->query_safe($many->('room')), '2000', 'the same session goes on');
	$session->quit;
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 2000 FROM pinterest_capi.dispatch_status WHERE status = 'sent' AND event_id LIKE 'room-%'}), 'what it tracks is sent');
	is(sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'full-%'}), '0', 'what failed isn\'t there');
}

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
