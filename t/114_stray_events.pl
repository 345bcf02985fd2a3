# Events whose destination number belongs to no destination are reported:
# doctor() names them and the repair, flush() doesn't report success, and the
# views show them.  Triggers of the extension's own that are disabled are
# found, too.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('strays', $stub);

sub doctor
{
	return sql(
		"SELECT status, advice FROM pinterest_capi.doctor() WHERE \"check\" = '$_[0]' ORDER BY 2"
	);
}

is( doctor('unknown destination'),
	'ok|All events that wait belong to a destination.',
	'none at first');
is(sql(q{SELECT pinterest_capi.flush()}), 't', 'and all is flushed');

# ---- a number without a destination ----

# the event waits until its destination is lost
sql('SELECT pinterest_capi.pause_destination()');
sql(track_sql('a'));
sql(track_sql('b'));
sql('UPDATE pinterest_capi._event SET dest = 77');
sql('SELECT pinterest_capi.resume_destination()');
is(sql(q{SELECT pinterest_capi.flush()}),
	'f', 'flush does not say that all is sent');
like(
	sql('SELECT message FROM pinterest_capi.destination_status'),
	qr/events wait that belong to no destination/,
	'destination_status tells');
is( sql(q{SELECT DISTINCT status, reason FROM pinterest_capi.dispatch_status}
	),
	'queued|destination unknown',
	'dispatch_status tells');
my $advice = doctor('unknown destination');
like(
	$advice,
	qr/^error\|Events wait, the first of them 'a', for a destination whose number, 77, has no name here/,
	'doctor tells');
my ($mend) = $advice =~ /Give them to one: (.*?); or/ or BAIL_OUT($advice);
my ($give_up) = $advice =~ /give them up: (.*);/;
sql("BEGIN; $give_up; COMMIT");
is( sql(q{SELECT string_agg(event_id || ' ' || status, ', ' ORDER BY id) FROM pinterest_capi.dispatch_status}
	),
	'a cancelled, b cancelled',
	'they can be given up');
sql('DELETE FROM pinterest_capi._outcome');
sql($mend =~ s/DESTINATION/default/r);
is(sql('SELECT pinterest_capi._wake(); SELECT pinterest_capi.flush()'),
	"\nt", 'or given to a destination');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT bool_and(status = 'sent') FROM pinterest_capi.dispatch_status}
	),
	'and are sent');
is( doctor('unknown destination'),
	'ok|All events that wait belong to a destination.',
	'which doctor is content with');

# ---- a name without a destination here ----

sql('SELECT pinterest_capi.pause_destination()');
sql(track_sql('c'));
sql(q{INSERT INTO pinterest_capi._destination_state (destination) VALUES ('elsewhere');
	UPDATE pinterest_capi._event SET dest = s.dest FROM pinterest_capi._destination_state AS s WHERE s.destination = 'elsewhere' AND event_id = 'c'}
);
like(
	doctor('unknown destination'),
	qr/^error\|Events wait, the first of them 'c', for "elsewhere".*configure_destination\(.*destination => 'elsewhere'\)/,
	'doctor tells of a name too');
($give_up) = doctor('unknown destination') =~ /give them up: (.*);/;
is(sql($give_up), '1', 'and how to give them up');
is( doctor('unknown destination'),
	'ok|All events that wait belong to a destination.',
	'which it is content with');

# ---- the extension's own triggers ----

is( doctor('settings'),
	'ok|Changes of settings are heard in all sessions at once.',
	'triggers as they were made');
for my $off (
	'ALTER TABLE pinterest_capi.consent_rule DISABLE TRIGGER ALL; ALTER TABLE pinterest_capi.consent_rule ENABLE TRIGGER ALL',
	'ALTER TABLE pinterest_capi.destination DISABLE TRIGGER _destination_guard, DISABLE TRIGGER _settings_changed',
	'ALTER TABLE pinterest_capi._event ENABLE TRIGGER _received')
{
	sql($off);
	my $found = doctor('settings');
	like($found,
		qr/^error\|Triggers on the tables of settings are not enabled/,
		"found: $off");
	sql(($found =~ /(ALTER TABLE .*)/)[0]);
	is( doctor('settings'),
		'ok|Changes of settings are heard in all sessions at once.',
		'and repaired as doctor() says');
}
sql('DROP TRIGGER _settings_truncated ON pinterest_capi.destination');
like(
	doctor('settings'),
	qr/^error\|.*missing.*_settings_truncated on pinterest_capi\.destination/,
	'one that is missing');

$node->stop;
done_testing();
