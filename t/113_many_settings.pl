# With ten thousand destinations and a hundred thousand allowed events a
# session reads only the settings that it needs, finds them by index, and reads
# them again only after a change of the settings: not after maintenance of the
# tables.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(new_node sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# nothing is sent
my $node = new_node('many',
	conf =>
	  "pinterest_capi.dispatch = off\nautovacuum = off\nmax_wal_size = 4GB\nshared_buffers = 512MB\n"
);

sql(q{CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead')});

my $session = $node->background_psql('postgres');
sub ask { return $session->query_safe($_[0]) }

my $tables = join ', ',
  map { "'pinterest_capi.$_'::regclass" }
  qw(destination _destination_state allowed_event consent_rule _suppression);

# Return how many scans and rows of these tables a statement of the session
# took.
sub reads
{
	my ($sql) = @_;
	my $count =
	  "SELECT sum(seq_scan + coalesce(idx_scan, 0)), sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_all_tables WHERE relid IN ($tables)";

	ask('BEGIN');
	my @before = split /\|/, ask($count);
	ask($sql);
	my @after = split /\|/, ask($count);
	ask('COMMIT');
	return map { $after[$_] - $before[$_] } 0, 1;
}
my $call =
  q{SELECT pinterest_capi.track('lead', '{}', '{"em": "a@shop.example"}', destination => 'default')};

# a plan from when the tables were small
ask($call);

# Foreign keys would take most of the time of these inserts.
sql(q{SET session_replication_role = replica;
	INSERT INTO pinterest_capi.destination (destination) SELECT 'shop ' || n FROM generate_series(1, 10000) AS n;
	INSERT INTO pinterest_capi._destination_state (destination) SELECT 'shop ' || n FROM generate_series(1, 10000) AS n;
	INSERT INTO pinterest_capi.consent_rule SELECT 'rule ' || n, 'shop ' || n, 'stop', '$.consent.no == true' FROM generate_series(1, 10000) AS n;
	INSERT INTO pinterest_capi.allowed_event (event_name, destination) SELECT 'event ' || e, 'shop ' || d FROM generate_series(1, 10000) AS d, generate_series(1, 10) AS e}
);

# ---- which settings are read ----

my $begun = time();
my ($scans, $rows) = reads($call);
note(
	sprintf
	  'result: the first call after a change of 120,000 settings took %.3f s',
	time() - $begun);
cmp_ok($scans, '>', 0, 'after a change settings are read');
cmp_ok($rows, '<', 20, 'but only rows that are needed');
is(join(' ', reads($call)), '0 0', 'and only once');
($scans, $rows) = reads(
	q{SELECT pinterest_capi.track('event 7', '{}', '{"em": "a@shop.example"}', destination => 'shop 5000')}
);
cmp_ok($rows, '<', 20, 'likewise for one of the many');
is( join(
		' ',
		reads(
			q{SELECT pinterest_capi.track('event 7', '{}', '{"em": "a@shop.example"}', destination => 'shop 5000')}
		)),
	'0 0',
	'and only once');
is( join(
		' ',
		reads(
			q{SELECT pinterest_capi.track('Event 7', '{}', '{"em": "a@shop.example"}', destination => 'shop 5000')}
		)),
	'0 0',
	'however it is spelled');
is( ask(q{SELECT status FROM pinterest_capi.preview('event 7', user_data => '{"em": "a@shop.example"}', consent => '{"no": true}', destination => 'shop 5000')}
	),
	'suppressed',
	'its own rule counts');
$begun = time();
is( ask(q{SELECT count(*), count(*) FILTER (WHERE status = 'queued') FROM pinterest_capi.preview('event 8', user_data => '{"em": "a@shop.example"}')}
	),
	'10000|10000',
	'an event without a destination goes to all that allow it');
note(
	sprintf 'result: an event for 10,000 destinations took %.3f s to decide',
	time() - $begun);
my $memory =
  q{SELECT round(sum(total_bytes) / 1e6) FROM pg_backend_memory_contexts WHERE name = 'pinterest_capi settings'};
note('result: it keeps ' . ask($memory) . ' MB of settings');
cmp_ok(ask($memory), '<', 40, 'what is kept of that are some megabytes');

# Callers can invent names that aren't allowed without end: the cache stays
# small.
ask(q{SELECT count(*) FROM generate_series(1, 60000) AS n, LATERAL (SELECT * FROM pinterest_capi.preview('made up ' || n) OFFSET 0) AS p}
);
cmp_ok(ask($memory), '<', 40, 'and no more of names that are made up');

# A cancel interrupts reading, and a half-read state isn't kept.
my ($code, $out, $err) = $node->psql(
	'postgres', q{SET statement_timeout = '20ms';
	SELECT count(*) FROM pinterest_capi.preview('event 6', user_data => '{"em": "a@shop.example"}');
	SET statement_timeout = 0;
	SELECT count(*) FROM pinterest_capi.preview('event 6', user_data => '{"em": "a@shop.example"}')},
	on_error_stop => 0);
like(
	$err,
	qr/canceling statement due to statement timeout/,
	'reading can be cancelled');
is($out, '10000', 'and begins anew');

# ---- when settings are read ----

ask($call);
for my $maintenance (
	'VACUUM',
	'ANALYZE',
	'VACUUM (FREEZE, ANALYZE)',
	'REINDEX TABLE',
	'REINDEX TABLE CONCURRENTLY',
	'CREATE INDEX extra ON',
	'DROP INDEX',
	'VACUUM FULL',
	'COMMENT ON TABLE',
	'a heartbeat of the worker')
{
	for my $table (
		qw(destination _destination_state allowed_event consent_rule _suppression)
	  )
	{
		next
		  if $maintenance =~ /REINDEX|VACUUM FULL/
		  && $table eq 'allowed_event';    # takes long, and is no different
		my $column = {
			allowed_event => 'event_name',
			consent_rule => 'name',
			_suppression => 'hash'
		}->{$table} // 'destination';
		my $sql = "$maintenance pinterest_capi.$table";

		$sql .= " ($column) WHERE false" if $maintenance =~ /^CREATE/;
		$sql = 'DROP INDEX pinterest_capi.extra' if $maintenance =~ /^DROP/;
		$sql .= " IS NULL" if $maintenance =~ /^COMMENT/;
		$sql =
		  'UPDATE pinterest_capi._destination_state SET last_sent_at = now() WHERE dest < 100'
		  if $maintenance =~ /worker/;
		sql('CREATE INDEX IF NOT EXISTS extra ON pinterest_capi.destination (destination)'
		) if $maintenance =~ /^DROP/;

		# there is one of that name
		sql('DROP INDEX IF EXISTS pinterest_capi.extra')
		  if $maintenance =~ /^CREATE/;
		sql($sql);
		is(join(' ', reads($call)), '0 0', "nothing is read after: $sql");
	}
}
for my $change (
	q{UPDATE pinterest_capi.destination SET batch_size = 500 WHERE destination = 'shop 1'},
	q{SELECT pinterest_capi.allow_event('event 1', destination => 'shop 1')},
	q{DELETE FROM pinterest_capi.consent_rule WHERE name = 'rule 1'})
{
	sql($change);
	($scans, $rows) = reads($call);
	cmp_ok($scans, '>', 0, "settings are read after: $change");
	cmp_ok($rows, '<', 20, 'those that are needed');
}

# A session has a change uncommitted for long: others read right settings
# meanwhile and after it.
my $operator = $node->background_psql('postgres');
my $look =
  q{SELECT status, reason FROM pinterest_capi.preview('event 5', user_data => '{"em": "a@shop.example"}', destination => 'shop 70')};
$operator->query_safe(
	q{BEGIN; SELECT pinterest_capi.disallow_event('event 5', 'shop 70');
	INSERT INTO pinterest_capi.consent_rule VALUES ('later', 'shop 71', 'stop', '$.event == "event 5"')}
);
is(ask($look), 'queued|', 'while somebody changes settings');
is(ask($look =~ s/shop 70/shop 71/r),
	'queued|', 'with what is read in the meantime');
$operator->query_safe('COMMIT');
is(ask($look), 'suppressed|not allowed', 'once it is committed');
is( ask($look =~ s/shop 70/shop 71/r),
	'suppressed|consent rule later',
	'all of it');
$operator->quit;

$session->quit;
$node->stop;
done_testing();
