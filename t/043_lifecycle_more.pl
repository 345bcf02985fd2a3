# What else happens to a server: no worker slot, standby and promotion, prepared
# transactions, several starts at once, no room for files, logical decoding,
# ALTER EXTENSION UPDATE, and each way to stop.  See also 003_lifecycle.pl.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP ();
use PinterestStub qw(:DEFAULT track_sql track all_sent clean_log);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $stub = PinterestStub->new;
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'};

# ---- no slot for a worker ----

{
	my $node = PostgreSQL::Test::Cluster->new('slots');
	$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', <<"CONF");
max_worker_processes = 0
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
CONF
	$node->start;
	configure($node, $stub, 'postgres');

	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query(track_sql('slot-1'));
	my $first = $session->{stderr};
	$session->{stderr} = '';
	$session->query(track_sql('slot-2'));
	my $second = $session->{stderr};
	$session->quit;

	like($first, qr/WARNING:  pinterest_capi could not start its worker: no background worker slot is free/, 'no slot: a warning');
	like($first, qr/Events are queued.*HINT:.*max_worker_processes/s, 'which says what becomes of events, and what to do');
	is($second, '', 'and says it once a session');
	is($node->safe_psql('postgres', 'SELECT status, message FROM pinterest_capi.destination_status'),
		'ready|ready; events go to ' . $stub->url . ', not to Pinterest; no worker is running: it starts with the next event, or see max_worker_processes', 'the view says so too');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pinterest_capi.worker_status'), '0', 'no worker');
	is($node->safe_psql('postgres', q{SELECT pinterest_capi.flush('0')}), 'f', 'flush knows that something waits');

	# A slot that others hold: preloaded for two databases, room for the launcher and one of them.
	$node->adjust_conf('postgresql.conf', 'max_worker_processes', '3');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pinterest_capi'\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0");
	$node->restart;
	$stub->arrives('slot-1', 'with a slot, what waited is sent without a person\'s help');
	$stub->arrives('slot-2', 'all of it');
	# The logical replication launcher is off and takes none: two workers fit, so this leaves one for each.
	$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(two three);
	configure($node, $stub, 'two');
	track($node, 'slot-two', 'two');
	$stub->arrives('slot-two', 'a second database takes the last slot');
	# busy, so that neither worker gives its slot up for the third database
	$stub->script({ hang => JSON::PP::true, times => 2 });
	track($node, 'busy-1');
	track($node, 'busy-2', 'two');
	ok($stub->wait_count(hanging => 2), 'both are busy');
	my $log_from = -s $node->logfile;
	$node->safe_psql('three', 'CREATE EXTENSION pinterest_capi');
	configure_existing($node, 'three');
	like(track($node, 'slot-three', 'three'), qr/no background worker slot is free/, 'the third is told that there is none');
	ok($node->poll_query_until('three', q{SELECT message ~ 'no worker is running' FROM pinterest_capi.destination_status}), 'and its view says so');
	$node->safe_psql('postgres', 'DROP EXTENSION pinterest_capi');
	$stub->arrives('slot-three', 'a slot that becomes free is taken without another event');
	$stub->release;
	is(scalar(() = slurp_file($node->logfile, $log_from) =~ /could not start a worker for every database/g), 0,
		'the launcher, which never lacked one, is silent');
	clean_log($node);

	# from server start on, one too few
	$node->safe_psql('postgres', 'CREATE DATABASE four');
	$node->safe_psql('four', 'CREATE EXTENSION pinterest_capi');
	configure_existing($node, 'four');
	$log_from = -s $node->logfile;
	$node->restart;
	ok(poll(sub { slurp_file($node->logfile, $log_from) =~ /WARNING:  pinterest_capi could not start a worker for every database/ }),
		'the launcher says so in the log');
	my @without = grep { $node->safe_psql($_, 'SELECT count(*) FROM pinterest_capi.worker_status') eq '0' } qw(two three four);
	# two where a slot is just changing hands
	cmp_ok(scalar(@without), '>=', 1, 'not all of three databases have a worker');
	$node->safe_psql((grep { $_ ne $without[0] } qw(two three four))[0], 'DROP EXTENSION pinterest_capi');
	ok($node->poll_query_until($without[0], 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'), 'the third gets a slot that becomes free');
	is(scalar(() = slurp_file($node->logfile, $log_from) =~ /could not start a worker for every database/g), 1, 'one warning was all');
	$node->stop;
}

sub configure_existing
{
	my ($node, $database) = @_;

	$node->safe_psql($database, "SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '@{[PinterestStub::TOKEN]}', '@{[PinterestStub::ACCOUNT]}');
		UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}';
		SELECT pinterest_capi.allow_event('checkout')");
	return;
}

# ---- many starts at once, prepared transactions, update, decoding ----

my $decoding = -e PostgreSQL::Test::Cluster->new('probe')->config_data('--pkglibdir') . '/test_decoding.so';
my $node = setup_node('more', $stub,
	conf => "max_prepared_transactions = 5\nwal_level = logical\nmax_wal_senders = 3\nmax_replication_slots = 3\n"
	  . "pinterest_capi.request_timeout = 300s\nrestart_after_crash = on");

$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')}) if $decoding;

for my $preload (0, 1)
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pinterest_capi'") if $preload;
	$node->restart;
	$stub->reset;

	# sessions that all find no worker, and with a preload a launcher too
	my @sessions = map { my ($in, $out, $err) = (join('', map { track_sql("race-$preload-$_[0]-$_") . ";\n" } 1 .. 5), '', ''); my $n = $_;
		$in = join '', map { track_sql("race-$preload-$n-$_") . ";\n" } 1 .. 5;
		IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<' => \$in, '>' => \$out, '2>' => \$err) } 1 .. 12;
	$_->finish for @sessions;
	ok($stub->wait_count(processed => 60), 'preload ' . $preload . ': all of many sessions arrives');
	all_sent($node, 'and is settled');
	is($stub->count->{duplicates}, 0, 'none twice');
	ok($node->poll_query_until('postgres', $workers, '1'), 'by one worker: others left again');
	# another one, by hand: it finds the office taken
	$node->safe_psql('postgres', 'SELECT pinterest_capi._wake()') for 1 .. 3;
	is($node->safe_psql('postgres', $workers), '1', 'and one it stays');
}

# the worker is ended again and again, while events come
$stub->reset;
for my $turn (1 .. 10)
{
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'});
	track($node, "ended-$turn");
}
ok($stub->wait_count(distinct => 10), 'a worker that is ended again and again: all arrives');
ok($node->poll_query_until('postgres', $workers, '1'), 'one worker');
all_sent($node, 'all is settled');

# prepared transactions
$stub->reset;
$node->safe_psql('postgres', 'BEGIN; ' . track_sql('prepared') . "; PREPARE TRANSACTION 'p1'");
$node->safe_psql('postgres', 'BEGIN; ' . track_sql('never') . "; PREPARE TRANSACTION 'p2'");
track($node, 'after-prepared');
$stub->arrives('after-prepared', 'an event behind a prepared one is not held up');
is_deeply([ $stub->received('prepared') ], [], 'what is prepared isn\'t sent');
$node->restart;
track($node, 'after-restart');
$stub->arrives('after-restart', 'nor after a restart, though its worker begins anew');
is_deeply([ $stub->received('prepared') ], [], 'still not sent');
$node->safe_psql('postgres', "COMMIT PREPARED 'p1'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'p2'");
$stub->arrives('prepared', 'committed, it is, without another event');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = 'never'}), '0', 'rolled back, it never was');
all_sent($node, 'and is settled');

# subtransactions
$node->safe_psql('postgres', 'BEGIN; ' . track_sql('sub-1') . '; SAVEPOINT a; ' . track_sql('sub-undone')
	  . '; ROLLBACK TO a; ' . track_sql('sub-2') . '; SAVEPOINT b; ' . track_sql('sub-3') . '; RELEASE b; COMMIT');
$stub->arrives($_, "$_: what a savepoint kept") for qw(sub-1 sub-2 sub-3);
is_deeply([ $stub->received('sub-undone') ], [], 'but not what it took back');

# ALTER EXTENSION UPDATE, while a request hangs
$stub->hang($node, 'update');
my (undef, $notice, $update_error);
$node->psql('postgres', 'ALTER EXTENSION pinterest_capi UPDATE', stderr => \$notice);
like($notice, qr/^psql:<stdin>:1: NOTICE:  version "1\.0" of extension "pinterest_capi" is already installed$/, 'ALTER EXTENSION UPDATE to what it is: a notice');
$node->psql('postgres', q{ALTER EXTENSION pinterest_capi UPDATE TO '99'}, stderr => \$update_error);
like($update_error, qr/ERROR:  extension "pinterest_capi" has no update path from version "1\.0" to version "99"/, 'to one that isn\'t there: the server\'s error');
$stub->release;
$stub->arrives('update', 'the event in question arrives');
$node->psql('postgres', 'ALTER EXTENSION pinterest_capi SET SCHEMA public', stderr => \$update_error);
like($update_error, qr/does not support SET SCHEMA/, 'its schema stays');

SKIP:
{
	skip 'no test_decoding here', 3 unless $decoding;

	$node->safe_psql('postgres', q{SELECT pinterest_capi.identify('visitor-jabberwock', '{"em": "Quokka.Zelda@vexilloquark.example", "ph": "+49 176 80817263", "fn": "Ysabranthe"}');
		SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD", "page_url": "https://s.example/?m=Quokka.Zelda@vexilloquark.example"}',
			'{"em": "Quokka.Zelda@vexilloquark.example", "zip": "QZ77 4XJ", "external_id": "customer-zyx98417263"}', 'visitor-jabberwock', 'decoded-canary');
		SELECT pinterest_capi.track('Unlisted', '{}', '{"em": "Quokka.Zelda@vexilloquark.example"}');
		SELECT pinterest_capi.forget('visitor-jabberwock', '{"em": "Quokka.Zelda@vexilloquark.example"}');
		SELECT pinterest_capi.configure_destination('} . PinterestStub::TAG . q{', '} . PinterestStub::TOKEN . q{')});
	my $changes = $node->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('decoded', NULL, NULL)});
	like($changes, qr/_event.*decoded-canary/, 'logical decoding shows events');
	is_deeply([ grep { $changes =~ /$_/i } qw(quokka vexillo 80817263 ysabranthe QZ77 zyx98417263 jabberwock pina_ TESTONLY) ], [],
		'but no raw identifier, and no token');
	$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('decoded')});
	all_sent_or_suppressed($node);
}

sub all_sent_or_suppressed
{
	my ($on) = @_;

	ok($on->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}), 'nothing waits');
	return;
}

# ---- each way to stop, while a request hangs ----

for my $mode (qw(smart fast immediate))
{
	$stub->hang($node, "stop-$mode");
	my $begin = time();
	$node->stop($mode);
	my $took = time() - $begin;
	# a second is what pg_ctl waits between its own looks
	cmp_ok($took, '<', 2, sprintf('%s: stopped in under 2 s with a request hanging (%.1f)', $mode, $took));
	$stub->release;
	$node->start;
	$stub->arrives("stop-$mode", 'and the event arrives after the start');
}
all_sent_or_suppressed($node);

# ---- files can't grow ----
#
# A limit on the size of files, for the worker's process alone, stands for a full
# disk: extending a table fails, in settling and in claiming.

SKIP:
{
	skip 'no prlimit here', 6 unless system('prlimit --version >/dev/null 2>&1') == 0;

	my $full = PostgreSQL::Test::Cluster->new('full');
	my $limit = 2 * 1024 * 1024;

	# WAL segments must fit under the limit
	$full->init(extra => [ '-E', 'UTF8', '--no-locale', '--wal-segsize=1' ]);
	$full->append_conf('postgresql.conf', "shared_preload_libraries = 'pinterest_capi'\nautovacuum = off\nlog_statement = none\npinterest_capi.ca_file = '@{[$stub->ca_file]}'");
	$full->start;
	configure($full, $stub, 'postgres');
	# short rows, so that no page has room for what settling writes
	$full->safe_psql('postgres', q{INSERT INTO pinterest_capi._outcome (id, finished_at, dest, status, reason)
		SELECT -n, clock_timestamp(), 0, '', '' FROM generate_series(1, 40000) AS n});
	cmp_ok($full->safe_psql('postgres', q{SELECT pg_relation_size('pinterest_capi._outcome')}), '>', $limit, 'a table beyond the limit');
	$full->safe_psql('postgres', 'CHECKPOINT');

	my $pid = $full->safe_psql('postgres', 'SELECT pid FROM pinterest_capi.worker_status');
	my $log_from = -s $full->logfile;
	$stub->reset;
	$stub->script({ hang => 1 });
	# enough for more than the pages that have room
	$full->safe_psql('postgres', q{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'full-' || n)) FROM generate_series(1, 500) AS n});
	ok($stub->wait_count(hanging => 1), 'a request is out');
	is(system("prlimit --pid $pid --fsize=$limit: >/dev/null"), 0, 'from here on the worker can\'t extend files');
	$stub->release;
	ok(poll(sub { slurp_file($full->logfile, $log_from) =~ /could not extend file/ }), 'settling fails');
	my $processed = $stub->count->{processed};
	like($full->safe_psql('postgres', 'SELECT last_error FROM pinterest_capi.worker_status'), qr/could not extend file/, 'worker_status says why');
	is($full->safe_psql('postgres', 'SELECT pid FROM pinterest_capi.worker_status'), $pid, 'the worker lives on');
	ok(poll(sub { 3 <= (() = slurp_file($full->logfile, $log_from) =~ /could not extend file/g) }), 'it tries again, later each time');
	is($stub->count->{processed}, $processed, 'but sends nothing meanwhile');
	$full->safe_psql('postgres', track_sql('full-while'));
	is(system("prlimit --pid $pid --fsize=unlimited: >/dev/null"), 0, 'there is room again');
	ok($full->poll_query_until('postgres', q{SELECT count(*) = 501 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'full-%' AND status = 'sent'}), 'all is settled by itself');
	is($full->safe_psql('postgres', 'SELECT pid FROM pinterest_capi.worker_status'), $pid, 'by the same worker');
	is($stub->count->{processed}, 501, 'each was sent');
	is($stub->count->{duplicates}, 0, 'none twice');
	clean_log($full);
	$full->stop;
}

# ---- a standby ----

{
	my $backup = 'backup';
	my $standby = PostgreSQL::Test::Cluster->new('standby');

	$stub->reset;
	$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
	$node->reload;
	ok($node->poll_query_until('postgres', q{SELECT message ~ 'dispatch is off' FROM pinterest_capi.destination_status}), 'the primary holds back');
	track($node, 'on-primary');
	$node->backup($backup);
	$standby->init_from_backup($node, $backup, has_streaming => 1);
	$standby->adjust_conf('postgresql.conf', 'pinterest_capi.dispatch', 'on');
	$standby->start;
	track($node, 'replicated');
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	is($standby->safe_psql('postgres', q{SELECT string_agg(event_id || ' ' || status, ', ' ORDER BY id) FROM pinterest_capi.dispatch_status WHERE status = 'queued'}),
		'on-primary queued, replicated queued', 'a standby shows what waits');
	like($standby->safe_psql('postgres', 'SELECT message FROM pinterest_capi.destination_status'), qr/this server is a standby: nothing is sent from here/, 'and that it sends nothing');
	like($standby->safe_psql('postgres', q{SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = 'worker'}), qr/^ok: This server is a standby/,
		'doctor() says so too');
	like($standby->safe_psql('postgres', 'SELECT pinterest_capi.report_html()'), qr/<\/html>$/, 'the report can be made there');
	is($standby->safe_psql('postgres', $workers), '0', 'no worker there');
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM pinterest_capi.worker_status'), '0', 'nor one that is said to run');
	for my $call (
		[ 'track', track_sql('on-standby') ],
		[ 'identify', q{SELECT pinterest_capi.identify('v')} ], [ 'capture_click', q{SELECT pinterest_capi.capture_click('v', 'https://x.example/?epik=abc')} ],
		[ 'forget', q{SELECT pinterest_capi.forget('v')} ], [ 'cancel', q{SELECT pinterest_capi.cancel('replicated')} ],
		[ 'purge', q{SELECT pinterest_capi.purge('0')} ], [ 'replay', q{SELECT pinterest_capi.replay('default')} ],
		[ 'pause_destination', q{SELECT pinterest_capi.pause_destination()} ], [ 'configure_destination', q{SELECT pinterest_capi.configure_destination('1', 'pina_x')} ],
		[ 'allow_event', q{SELECT pinterest_capi.allow_event('x')} ])
	{
		my (undef, undef, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$call->[1]");

		like($err, qr/ERROR:  25006: cannot execute \Q$call->[0]\E\(\) in a read-only transaction/, "$call->[0]: the server's read-only error");
	}
	my ($code, $flushed, $flush_error) = $standby->psql('postgres', q{SELECT pinterest_capi.flush('0')});
	is($flushed, 'f', 'flush: something waits') or diag($flush_error);
	is($standby->safe_psql('postgres', q{SELECT status FROM pinterest_capi.preview('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}')}),
		'queued', 'preview works');
	is($stub->count->{requests}, 0, 'nothing was sent');

	$node->stop;
	$standby->promote;
	$stub->arrives('on-primary', 'after promotion what waited is sent, without another event');
	$stub->arrives('replicated', 'all of it');
	track($standby, 'promoted');
	$stub->arrives('promoted', 'and new ones');
	all_sent_or_suppressed($standby);
	is($stub->count->{duplicates}, 0, 'none twice');
	clean_log($standby);
	$standby->stop;
}

clean_log($node);
$stub->stop;
done_testing();
