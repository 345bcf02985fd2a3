# event_statistics equals a recount of the events, in each column and at any
# moment: while sessions track, cancel, replay, forget, purge and drop, requests
# fail, and the worker or the server is killed; and so does _statistics alone
# once the worker has counted.  What is deleted stays counted.
#
# PINTEREST_CAPI_RECOUNT_ROUNDS=N	rounds, 4 unless given
# PINTEREST_CAPI_RECOUNT_SEED=N		the random calls of an earlier run
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub
  qw(:DEFAULT add_destination crash poll set_conf sql track_sql worker_pid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use constant {
	SESSIONS => 3,
	CALLS => 60,    # of a session and round
	LOOKS => 15,    # of a round at least
};

my $rounds = $ENV{PINTEREST_CAPI_RECOUNT_ROUNDS} || 4;
my $seed =
  $ENV{PINTEREST_CAPI_RECOUNT_SEED} || (time() * 1000 ^ $$) & 0x7fffffff;
srand($seed);
note("seed $seed, $rounds rounds");

my $stub = PinterestStub->new;
my $node = setup_node('recount', $stub,
	conf =>
	  "max_prepared_transactions = 20\nrestart_after_crash = on\nmax_connections = 40\n"
);

sub pick { return $_[ int(rand(@_)) ] }

# ---- a recount, by the public views as far as they tell ----

my @identifiers = qw(em ph click_id external_id hashed_maids ip user_agent);
my %carried =
  map { $_ => "payload -> 'user_data' ? '$_'" } @identifiers;
$carried{ip} = q{payload -> 'user_data' ? 'client_ip_address'};
$carried{user_agent} = q{payload -> 'user_data' ? 'client_user_agent'};
my $columns = join ', ',
  qw(hour destination event_name sent_as status reason test_mode currency events value),
  @identifiers, qw(matchable stand_in stand_in_value);

# What forget has emptied is recounted from the columns that it leaves.
my $shares = qq{
	SELECT d.id, date_trunc('hour', d.created_at, 'UTC') AS hour, d.destination,
		CASE WHEN d.destination IS NOT NULL AND d.reason IS DISTINCT FROM 'not allowed' THEN d.event_name END AS event_name,
		d.sent_as, d.status,
		CASE WHEN d.finished_at IS NULL THEN NULL WHEN d.reason LIKE 'replayed as %' THEN 'replayed' ELSE d.reason END AS reason,
		d.test_mode, coalesce(d.payload -> 'custom_data' ->> 'currency', f.currency) AS currency,
		coalesce((d.payload -> 'custom_data' ->> 'value')::numeric, f.value) AS value, }
  . join(', ',
	map { "coalesce(d.$carried{$_}, f.$_)::int AS $_" } @identifiers)
  . q{, (CASE WHEN d.payload IS NULL THEN f.stand_in
			ELSE EXISTS (SELECT FROM unnest(d.warnings) AS w WHERE w LIKE 'value: missing, the destination''s default%') END)::int AS stand_in
	FROM pinterest_capi.dispatch_status AS d
		CROSS JOIN LATERAL (SELECT e.currency, replace(e.value, '=', '')::numeric AS value, coalesce(e.value LIKE '=%', false) AS stand_in,
			(c & 1)::boolean AS em, (c & 2)::boolean AS ph, (c & 4)::boolean AS click_id, (c & 8)::boolean AS external_id,
			(c & 16)::boolean AS hashed_maids, (c & 32)::boolean AS ip, (c & 64)::boolean AS user_agent
			FROM (SELECT e.*, coalesce(e.carries::int, 0) AS c FROM pinterest_capi._event AS e WHERE e.id = d.id) AS e) AS f};
my $counted = q{
	SELECT hour, destination, event_name, sent_as, status, reason, test_mode, currency, count(*) AS events, trim_scale(coalesce(sum(value), 0)) AS value, }
  . join(', ', map { "sum($_) AS $_" } @identifiers)
  . q{, sum((em + hashed_maids > 0 OR ip + user_agent = 2)::int) AS matchable, sum(stand_in) AS stand_in,
		trim_scale(coalesce(sum(value) FILTER (WHERE stand_in = 1), 0)) AS stand_in_value
	FROM shares GROUP BY 1, 2, 3, 4, 5, 6, 7, 8};

# of the events that are kept, and of those that the test has purged
my $recount =
  qq{WITH shares AS ($shares UNION ALL SELECT * FROM purged) $counted};

# Return how the view differs, of one snapshot; "busy" while the condition is false.
sub difference
{
	my ($what, $condition) = @_;

	$condition //= 'true';
	return $node->safe_psql(
		'postgres', qq{
		WITH told AS MATERIALIZED (SELECT $columns FROM $what), recounted AS MATERIALIZED ($recount),
		d AS (SELECT 'told' AS side, t.* FROM (TABLE told EXCEPT ALL SELECT $columns FROM recounted) AS t
			UNION ALL SELECT 'recounted', t.* FROM (SELECT $columns FROM recounted EXCEPT ALL TABLE told) AS t)
		SELECT CASE WHEN $condition THEN (SELECT string_agg(d::text, E'\\n' ORDER BY destination, hour, event_name, status, side) FROM d) ELSE 'busy' END}
	);
}

sub same
{
	my ($name, $what) = @_;
	my $difference = difference($what // 'pinterest_capi.event_statistics');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($difference, '', $name) or diag("seed $seed");
	return;
}

# What the worker has counted, without what is to be added.
sql(qq{CREATE TABLE purged AS $shares},
	q{CREATE VIEW by_the_worker AS SELECT s.*, n.destination FROM (SELECT hour, dest, nullif(event_name, '') AS event_name, sent_as, status, reason,
		test_mode, currency, events, trim_scale(value) AS value, em, ph, click_id, external_id, hashed_maids, ip, user_agent, matchable, stand_in,
		trim_scale(stand_in_value) AS stand_in_value FROM pinterest_capi._statistics WHERE events <> 0) AS s
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = s.dest}
);

# Wait until the worker has counted everything.
sub counted
{
	my ($name) = @_;
	my $difference;

	# an event may be retried at any time
	my $done = poll(
		sub {
			$difference = difference(
				'by_the_worker', q{
				(SELECT max(mark) FROM pinterest_capi._statistics_mark) = (SELECT last_value FROM pinterest_capi._event_id_seq)
				AND NOT EXISTS (SELECT FROM pinterest_capi._statistics_change)});
			$difference ne 'busy';
		});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($done, "$name: the worker counts");
	is($difference, '', "$name: and what it has counted is right")
	  or diag("seed $seed");
	same("$name: as is the view");
	is( sql(q{SELECT count(*) FROM pinterest_capi._statistics WHERE events < 0 OR status IN ('queued', 'retrying') AND events = 0}
		),
		'0',
		"$name: no row is left of what does not wait any more");
	return;
}

# ---- random calls ----

sub destinations
{
	my ($node) = @_;

	add_destination($node, $stub, 'b', '549755885176');
	add_destination($node, $stub, 'c', '549755885177');
	$node->safe_psql(
		'postgres', q{
		SELECT pinterest_capi.allow_event(name, send_as, destination) FROM (VALUES ('Sign Up', 'SignUp'), ('page_visit', NULL)) AS e (name, send_as),
			(VALUES ('default'), ('b'), ('c')) AS d (destination);
		UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true WHERE destination = 'b';
		UPDATE pinterest_capi.destination SET batch_size = 30, max_requests_per_minute = 120000}
	);
	return;
}

sub track_call
{
	my $n = pick(1, 1, 1, 5, 20);
	my $person = int(rand(12));
	my $value = pick(
		'"value": 1.5',
		'"value": "12.50"',
		'"value": 99999999999',
		'"value": 0.00001',
		'"value": "7"',
		'',
		'"value": -1',
		'"value": 20');
	my $currency = pick(
		'"currency": "EUR"',
		'"currency": "EUR"',
		'"currency": "USD"',
		'"currency": "JPY"',
		'');
	my $who = pick(
		qq{"em": "p$person\@example.com"},
		qq{"em": "p$person\@example.com", "ph": "+14155550101"},
		qq{"external_id": "$person", "click_id": "dj0yJnU9abcdef$person"},
		'"ip": "192.0.2.1", "user_agent": "Mozilla/5.0 (X11)"',
		'"maid": "AEBE52E7-03EE-455A-B3C4-E57283966239"',
		'',
		qq{"em": "p$person\@example.com"});

	return sprintf
	  q{SELECT count(pinterest_capi.track('%s', '{%s}', '{%s}'%s%s)) FROM generate_series(1, %d)},
	  pick(
		'Checkout', 'Checkout',
		'checkout', 'Sign Up',
		'page_visit', 'made up ' . int(rand(1000))),
	  join(', ', grep { $_ } $value, $currency), $who,
	  pick(
		'', '', '',
		q{, event_time => now() - interval '8 days'},
		q{, event_time => now() + interval '1 hour'}),
	  pick(
		'', '',
		q{, destination => 'default'},
		q{, destination => 'b'},
		q{, destination => 'c'}),
	  $n;
}

# Purge, and keep what the purged events count for.  Meanwhile no event ends.
sub purge_sql
{
	my ($older_than) = @_;

	return
	  qq{BEGIN; LOCK TABLE pinterest_capi._outcome IN SHARE ROW EXCLUSIVE MODE;
		CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM ($shares) AS s WHERE s.id IN (SELECT id FROM pinterest_capi._outcome);
		SELECT pinterest_capi.purge(interval '$older_than');
		INSERT INTO purged SELECT k.* FROM kept AS k WHERE NOT EXISTS (SELECT FROM pinterest_capi._event AS e WHERE e.id = k.id); COMMIT};
}

my $prepared = 0;

sub call
{
	my $what = rand;
	my $destination = pick(qw(default b c));

	return track_call() if $what < 0.6;
	return sprintf
	  q{SELECT sum(pinterest_capi.cancel(event_id%s)) FROM (SELECT DISTINCT event_id FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying') LIMIT %d) AS d},
	  pick('', ", 'default'"), pick(1, 3, 30)
	  if $what < 0.68;
	return sprintf
	  q{SELECT pinterest_capi.replay('%s', '%s', since => now() - interval '%d seconds', new_event_id => %s, event_time_now => %s)},
	  $destination, pick(qw(sent failed expired cancelled suppressed)),
	  pick(1, 1, 3, 60), pick(qw(true false)), pick(qw(true false))
	  if $what < 0.76;
	return
	  sprintf
	  q{SELECT pinterest_capi.forget(user_data => '{"em": "p%d@example.com"}')},
	  rand(12)
	  if $what < 0.78;
	return
		"SELECT pinterest_capi."
	  . pick('pause', 'resume', 'resume')
	  . "_destination('$destination')"
	  if $what < 0.82;
	return
	  sprintf
	  q{UPDATE pinterest_capi.destination SET test_mode = %s WHERE destination = '%s'},
	  pick(qw(true false)), $destination
	  if $what < 0.84;
	return purge_sql('1.5 seconds')
	  if $what < 0.86;

	# transactions that end late, or not well
	return
		'BEGIN; '
	  . join('; SAVEPOINT s; ', track_call(), track_call(), track_call())
	  . '; ROLLBACK TO s; '
	  . track_call()
	  . '; COMMIT'
	  if $what < 0.9;
	return 'BEGIN; ' . track_call() . '; ' . track_call() . '; ROLLBACK'
	  if $what < 0.94;
	$prepared++;
	return
		'BEGIN; '
	  . track_call()
	  . "; PREPARE TRANSACTION 'late $prepared'; "
	  . track_call() . '; '
	  . track_call()
	  . "; COMMIT PREPARED 'late $prepared'";
}

# Answers as they come: most events are taken.
sub rules
{
	return map {
		my $what = rand;

			$what < 0.6  ? { lag => int(rand(60)) }
		  : $what < 0.7  ? { fail => { int(rand(10)) => 'Not this one.' } }
		  : $what < 0.8  ? { status => 500 }
		  : $what < 0.85 ? { cut => pick(qw(before after lost)) }
		  : $what < 0.9 ? { status => 429, headers => { 'Retry-After' => 1 } }
		  : { lag => 1 }
	} 1 .. 60;
}

sub run_sessions
{
	my $dir = PostgreSQL::Test::Utils::tempdir();

	return map {
		my $file = "$dir/calls-$_.sql";

		PostgreSQL::Test::Utils::append_to_file($file,
			"SET client_min_messages = error;\nSET lock_timeout = '5s';\n"
			  . join('', map { call() . ";\n" } 1 .. CALLS));
		IPC::Run::start(
			[
				'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f',
				$file
			],
			'>',
			'/dev/null',
			'2>',
			"$file.err")
	} 1 .. SESSIONS;
}

# What is prepared outlives a crash.
sub end_prepared
{
	for my $gid (split /\n/, sql('SELECT gid FROM pg_prepared_xacts'))
	{
		sql((rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	return;
}

sub running { return $node->poll_query_until('postgres', 'SELECT true') }

destinations($node);
same('nothing is counted yet');
for my $round (1 .. $rounds)
{
	my $mishap = (qw(worker server none worker))[ $round % 4 ];
	my $at = int(rand(LOOKS));
	my $looks = 0;
	my @wrong;

	$stub->script(rules());
	my @sessions = run_sessions();
	while ($looks < LOOKS || grep { $_->pumpable } @sessions)
	{
		if ($looks++ == $at && $mishap ne 'none')
		{
			if ($mishap eq 'worker')
			{
				my $pid = worker_pid($node);

				kill 'KILL', $pid if $pid;
			}
			else
			{
				crash($node);
				$node->start;
			}
			running() or BAIL_OUT('the server does not run again');
		}
		my ($code, $difference, $err) = (0, '', '');
		$code = eval {
			$difference = difference('pinterest_capi.event_statistics');
			0;
		} // 1;
		if ($code != 0) { running(); next }
		push @wrong, "look $looks:\n$difference" if $difference ne '';

		# one that has just ended, since the server crashed, raises an error
		for my $s (@sessions)
		{
			eval { $s->pump_nb } if $s->pumpable;
		}
	}
	for my $s (@sessions)
	{
		eval { $s->finish }
	}
	is(join("\n", @wrong),
		'', "round $round, with mishap $mishap: $looks looks while it runs")
	  or diag("seed $seed");
	end_prepared();

	# without a preload, a worker starts with the next event that is queued
	sql(track_sql("round-$round"));
	if ($round == 2)
	{
		sql(q{SELECT pinterest_capi.drop_destination('c')});
		same('a destination is dropped');
		destinations($node);
	}
	counted("round $round");
}

# ---- without a worker that counts ----

set_conf($node, dispatch => 'off');
sql(track_call(), track_call(),
	q{SELECT sum(pinterest_capi.cancel(event_id)) FROM (SELECT event_id FROM pinterest_capi.dispatch_status WHERE status = 'queued' LIMIT 5) AS d}
);
counted('dispatch is off');
my $pid = worker_pid($node);
$node->safe_psql('postgres', "ALTER SYSTEM SET max_worker_processes = 0");
$node->restart;
is(PinterestStub::workers($node), '0', 'no slot, and so no worker');
sql(track_call(),
	track_call(),
	track_call(),
	q{SELECT sum(pinterest_capi.cancel(event_id)) FROM (SELECT event_id FROM pinterest_capi.dispatch_status WHERE status = 'queued' LIMIT 5) AS d},
	q{SELECT pinterest_capi.replay('default', 'cancelled'), pinterest_capi.replay('b', 'cancelled', new_event_id => true)}
);
same('events and changes that nobody counts');
sql(purge_sql('0 s'));
same('and those that are purged before anybody has counted them');
$node->safe_psql('postgres', "ALTER SYSTEM RESET max_worker_processes");
$node->append_conf('postgresql.conf', 'pinterest_capi.dispatch = on');
$node->restart;
sql(track_sql('again'));
counted('with a worker again');

# ---- ids that are committed behind others ----

sql('BEGIN; ' . track_call() . "; PREPARE TRANSACTION 'late'");
sql(track_call()) for 1 .. 3;
PinterestStub::worker_polls($node);
same('while an event with a lower id is not committed');
sql(q{COMMIT PREPARED 'late'});
counted('once it is');

# ---- an end, and what retention deletes ----

$stub->reset;
sql(q{SELECT count(pinterest_capi.resume_destination(destination)) FROM pinterest_capi.destination}
);
sql('SELECT pinterest_capi.flush()',
	q{SELECT sum(pinterest_capi.cancel(event_id)) FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
);
counted('at the end');
set_conf($node, dispatch => 'off');
sql("INSERT INTO purged $shares");
$recount = qq{WITH shares AS (SELECT * FROM purged) $counted};
set_conf($node, retention => '0');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._event'),
	'retention deletes all events');
same('their statistics are kept');
my $sums = sql(
	'SELECT count(*) > 20, sum(events) > 1000 FROM pinterest_capi.event_statistics'
);
is($sums, 't|t', 'and there were many');
sql(q{UPDATE pinterest_capi._statistics SET hour = hour - interval '14 months' WHERE status = 'sent'}
);
$node->restart;
sql(track_sql('last'));
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 0 FROM pinterest_capi.event_statistics WHERE hour < now() - interval '1 year'}
	),
	'until statistics_retention is over');
PinterestStub::clean_log($node);
done_testing();
