# doctor() finds each of the faults that people meet and says what to do, and
# says that all is well on a healthy server.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $stub = PinterestStub->new;
my $node = setup_node('doctor', $stub);
my $ready = qr/^Your destination is configured and ready\.$/;

sub track
{
	my ($id, $name) = @_;

	sql(qq{SELECT pinterest_capi.track('@{[$name // 'Checkout']}', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}', event_id => '$id')}
	);
	return;
}

# Return the rows that aren't ok, as "check status: advice".
sub complaints
{
	return sql(
		q{SELECT string_agg("check" || ' ' || status || ': ' || advice, E'\n') FROM pinterest_capi.doctor() WHERE status <> 'ok'}
	);
}

# Delete all final events, and what is counted of them.
sub forget_all
{
	sql(q{SELECT pinterest_capi.purge('0');
		BEGIN; UPDATE pinterest_capi._statistics_mark SET mark = (SELECT last_value FROM pinterest_capi._event_id_seq);
		DELETE FROM pinterest_capi._statistics; DELETE FROM pinterest_capi._statistics_day; DELETE FROM pinterest_capi._statistics_change; COMMIT}
	);
	return;
}

# The fault is found under its name, with the right advice, and no others but
# those that follow from it.
sub finds
{
	my ($fault, $check, $advice, @also) = @_;
	my $last = '';
	my $found = poll(
		sub {
			$last = complaints();
			$last =~ /^\Q$check\E (error|warning): .*$advice/m;
		});

	ok($found, "$fault: found by $check") or diag("doctor() says:\n$last");
	my %others =
	  map { /^(.*?) (?:error|warning): / ? ($1 => 1) : () } split /\n/, $last;
	delete @others{ $check, @also };
	is(join(', ', sort keys %others),
		'', "$fault: and nothing else is suspected")
	  or diag("doctor() says:\n$last");
	return;
}

sub healthy
{
	my ($name) = @_;
	my $last = '';

	ok(poll(sub { ($last = complaints()) eq '' }), "$name: all is well")
	  or diag("doctor() says:\n$last");
	return;
}

sub setting
{
	my ($name, $value) = @_;

	$node->append_conf('postgresql.conf', "pinterest_capi.$name = $value");
	$node->reload;
	return;
}

sub configure_again
{
	like(
		sql(sprintf(
				q{SELECT pinterest_capi.configure_destination('%s', '%s', '%s')},
				PinterestStub::TAG, PinterestStub::TOKEN,
				PinterestStub::ACCOUNT)),
		$ready,
		'configured again');
	return;
}

# ---- health ----

healthy('before the first event');
track('first');
ok($stub->wait_count(processed => 1), 'an event is sent');
ok(poll(sub { sql_status($node, 'first') eq 'sent' }), 'and settled');
healthy('after it');
is( sql(q{SELECT string_agg(DISTINCT "check", ' ' ORDER BY "check") FROM pinterest_capi.doctor()}
	),
	'allowed events bloat clock connection destination dispatch gates library match quality oldest event preload privileges refusals retention settings slots tables token triggers unknown destination worker',
	'with every check made');
like(
	sql(q{SELECT advice FROM pinterest_capi.doctor() WHERE "check" = 'clock'}
	),
	qr/agree/,
	'the clock was compared with that of the answer');
is( sql(q{SELECT count(*) FROM pinterest_capi.doctor() WHERE coalesce(advice, '') !~ '[.;]$'}
	),
	'0',
	'every row is a sentence');

# ---- ten faults ----

# 1: no ad account id
sql(q{UPDATE pinterest_capi.destination SET ad_account_id = NULL});
finds('no ad account id',
	'destination', qr/no ad account id.*configure_destination/);
configure_again();
healthy('with it');

# 2: an event that isn't allowed, told by its name, however it is spelled
track('stray', q{It''s new});
finds(
	'event not allowed',
	'allowed events',
	qr/SELECT pinterest_capi\.allow_event\('It''s new'\);/);
sql(q{SELECT pinterest_capi.allow_event('It''s new')});
forget_all();
healthy('once it is, and forgotten');

# An event for a destination that doesn't exist, allowed for one that exists.
sql(q{
	CREATE TABLE paid (id integer, email text, shop text);
	CREATE TRIGGER pinterest AFTER INSERT ON paid FOR EACH ROW
		EXECUTE FUNCTION pinterest_capi.track_trigger('Checkout', 'email=email', 'event_id=id', 'destination=shop', 'value:=1', 'currency:=USD');
	INSERT INTO paid VALUES (1, 'a@example.com', 'berlin'), (2, 'a@example.com', 'default')}
);
ok( poll(sub { sql_status($node, '2') eq 'sent' }),
	'one of two rows names a destination that exists');
finds(
	'a destination that does not exist',
	'unknown destination',
	qr/\b1 of the last day's events were rejected, most of them 'Checkout', .*destination that does not exist \(there is 'default'\).*mapping.*configure_destination/
);
sql(q{DELETE FROM paid; INSERT INTO pinterest_capi.destination (destination) VALUES ('berlin')}
);
like(
	complaints(),
	qr/\(there is 'berlin', 'default'\)/,
	'unknown destination: those that exist are named');
is( sql(q{SELECT string_agg(event_id, ' ') FROM pinterest_capi.dispatch_status WHERE reason = 'unknown destination'}
	),
	'1',
	'which events, as it says');
sql(q{SELECT pinterest_capi.drop_destination('berlin'); DROP TABLE paid});
forget_all();
healthy('unknown destination, forgotten');

# 3: a token that Pinterest refuses
sql(sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', 'pina_mistyped')},
		PinterestStub::TAG));
track('refused');
finds(
	'wrong token', 'token',
	qr/HTTP 401.*configure_destination/, 'destination');
configure_again();
healthy('with the right one');

# 4: paused by an operator
sql('SELECT pinterest_capi.pause_destination()');
finds('paused', 'destination',
	qr/SELECT pinterest_capi\.resume_destination\('default'\);/);
sql('SELECT pinterest_capi.resume_destination()');
healthy('resumed');

# 5: the API is down; the open connection is closed with it
$stub->down;
track('no-connection');
finds('stub down', 'connection', qr/no connection:.*firewall/);
$stub->up;
sql('SELECT pinterest_capi.resume_destination()');
healthy('up again');

# and its name isn't known
my $url = sql('SELECT api_url FROM pinterest_capi.destination');
sql(q{UPDATE pinterest_capi.destination SET api_url = 'https://api.nowhere.invalid/v5'}
);
track('no-name');
finds('no such host', 'connection',
	qr/DNS: no connection: Could.*resolve.*name resolution/);
sql(qq{UPDATE pinterest_capi.destination SET api_url = '$url'; SELECT pinterest_capi.resume_destination()}
);
healthy('with the right name');

# 6: an authority that isn't the certificate's; kept connections would hide it
$stub->stop;
$stub->start('server');
setting(ca_file => "'$stub->{dir}/stranger-ca.pem'");
track('stranger');
finds(
	'wrong CA', 'connection',
	qr/TLS: the server's certificate was refused.*ca_file/, 'destination');
setting(ca_file => "'@{[$stub->ca_file]}'");
sql('SELECT pinterest_capi.resume_destination()');
healthy('with the right one');

# 7: a server that only enqueues
setting(dispatch => 'off');
finds(
	'dispatch off',
	'dispatch',
	qr/ALTER SYSTEM SET pinterest_capi\.dispatch = on; SELECT pg_reload_conf\(\);/
);
setting(dispatch => 'on');
healthy('on');

# 8: a clock that is ahead of the API's
my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
my @past = gmtime(time() - 600);
my $date = sprintf(
	'%s, %02d %s %d %02d:%02d:%02d GMT',
	(qw(Sun Mon Tue Wed Thu Fri Sat))[ $past[6] ],
	$past[3],
	$months[ $past[4] ],
	$past[5] + 1900,
	@past[ 2, 1, 0 ]);
$stub->script({ headers => { date => $date } });
track('ahead');
finds('clock ahead', 'clock',
	qr/clock is (59\d|60\d) seconds ahead of that of the API.*NTP/);
track('right');
healthy('with a clock that is right');

# an event whose own time is ahead
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_time => now() + interval '1 hour')}
);
finds(
	'event time ahead',
	'clock',
	qr/1 of the last day's events were rejected.*event_time is in the future/
);
forget_all();
healthy('forgotten');

# ---- gates that stop everything ----

sql(q{INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('the banner''s', 'require', '$.consent.ads == true')}
);
track("banner-$_") for 1 .. 3;
finds(
	'consent stops all',
	'gates',
	qr/All of the last day's events for "default" \(3\) were stopped.*consent rule the banner's.*preview/
);
sql(q{DELETE FROM pinterest_capi.consent_rule});
forget_all();
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}')}
);
finds('no identifier',
	'gates',
	qr/events for "default" \(1\) were stopped.*no identifier.*user_data/);
track('identified');
ok(poll(sub { sql_status($node, 'identified') eq 'sent' }),
	'one that has some is sent');
healthy('one of two is a gate at work');
forget_all();
sql(q{SELECT pinterest_capi.disallow_event(event_name) FROM pinterest_capi.allowed_event}
);
finds(
	'nothing allowed',
	'allowed events',
	qr/No event is allowed for "?default"?.*allow_event/);
sql(q{SELECT pinterest_capi.allow_event('Checkout')});

# ---- refused events, waiting events, settings that are off ----

$stub->script({ fail => { 0 => 'Tag is of another account.' } });
track('failing');
finds('refused events',
	'refusals', qr/Tag is of another account\..*replay\('default'/);
forget_all();
sql(q{UPDATE pinterest_capi.destination SET enabled = false});
track('patient');
finds('disabled', 'destination',
	qr/SET enabled = true WHERE destination = 'default'/);
sql(q{UPDATE pinterest_capi._event SET created_at = created_at - interval '20 minutes' WHERE event_id = 'patient'}
);
finds(
	'waits for 20 minutes',
	'oldest event',
	qr/at an age of 7 days it expires/,
	'destination');
is( sql(q{SELECT status FROM pinterest_capi.doctor() WHERE "check" = 'oldest event'}
	),
	'warning',
	'is a warning');
sql(q{UPDATE pinterest_capi._event SET created_at = created_at - interval '6 days' WHERE event_id = 'patient'}
);
is( sql(q{SELECT status FROM pinterest_capi.doctor() WHERE "check" = 'oldest event'}
	),
	'error',
	'a day before it expires it is an error');
sql(q{SELECT pinterest_capi.cancel('patient'); UPDATE pinterest_capi.destination SET enabled = true, test_mode = true}
);
finds('test mode', 'destination',
	qr/test mode.*discards.*SET test_mode = false/);
sql(q{UPDATE pinterest_capi.destination SET test_mode = false});
sql(q{UPDATE pinterest_capi._outcome SET finished_at = finished_at - interval '32 days' WHERE id = (SELECT min(id) FROM pinterest_capi._outcome)}
);
finds('retention behind', 'retention', qr/purge\('30 days'\)/);
sql(q{SELECT pinterest_capi.purge('30 days')});
sql(q{DELETE FROM pinterest_capi._secret});
finds(
	'a restored copy', 'token',
	qr/a dump carries none.*configure_destination/, 'destination');
configure_again();
healthy('after all that');

# ---- rights ----

sql(q{CREATE ROLE watcher; SELECT pinterest_capi.grant_access('watcher', 'monitor'); CREATE ROLE shop; SELECT pinterest_capi.grant_access('shop', 'track')}
);
is( sql(q{SET ROLE watcher; SELECT count(*) FROM pinterest_capi.doctor() WHERE status <> 'ok'}
	),
	'0',
	'the level monitor may ask');
like(
	sql(q{SET ROLE watcher; SELECT advice FROM pinterest_capi.doctor() WHERE "check" = 'privileges'}
	),
	qr/You, watcher, have the levels: monitor\./,
	'and is told what it may');
my ($status, $out, $err) = $node->psql('postgres',
	'SET ROLE shop; SELECT * FROM pinterest_capi.doctor()');
like(
	$err,
	qr/permission denied for function doctor/,
	'the level track may not');
is( sql(q{BEGIN READ ONLY; SELECT count(*) FROM pinterest_capi.doctor() WHERE status <> 'ok'; COMMIT}
	),
	'0',
	'it changes nothing');
sql(q{GRANT SELECT ON pinterest_capi._secret TO shop});
finds('an open table',
	'privileges',
	qr/REVOKE ALL ON pinterest_capi\._secret FROM PUBLIC, shop;/);
sql(q{REVOKE SELECT ON pinterest_capi._secret FROM shop});
like(
	sql(q{BEGIN; UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'pinterest_capi';
	SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = 'library'; ROLLBACK}
	),
	qr/^warning: .*ALTER EXTENSION pinterest_capi UPDATE;/m,
	'a library and an extension of different versions are told');

# 9: no destination
sql(q{SELECT pinterest_capi.drop_destination('default')});
finds(
	'no destination',
	'destination',
	qr/There is no destination: SELECT pinterest_capi\.configure_destination/
);
configure_again();
sql(qq{UPDATE pinterest_capi.destination SET api_url = '$url'; SELECT pinterest_capi.allow_event('Checkout')}
);
healthy('with one');

# 10: no slot for a worker: the launcher of logical replication has the only one
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
finds(
	'worker slots gone', 'slots',
	qr/All 1 .*max_worker_processes = 9; and restart/, 'worker');
track('no-worker');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
finds('a restart without preload',
	'worker', qr/events wait: SELECT pinterest_capi\.flush\(\)/);
is(sql('SELECT pinterest_capi.flush()'), 't', 'flush() starts a worker');
healthy('after it');
$node->restart;
like(
	sql(q{SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = 'worker'}
	),
	qr/^ok: No worker runs, and nothing waits/,
	'none is needed where nothing waits');

$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'");
$node->restart;
healthy('preloaded');
like(
	sql(q{SELECT advice FROM pinterest_capi.doctor() WHERE "check" = 'preload'}
	),
	qr/^The library is preloaded/,
	'which is said');

$node->stop;
$stub->stop;
done_testing();
