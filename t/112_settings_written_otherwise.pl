# Sessions notice a change of the settings however it is written: by logical
# replication, in replica mode, past triggers that are disabled, or by
# TRUNCATE, COPY and tables that are swapped.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('otherwise');
$node->init(
	allows_streaming => 'logical',
	extra => [ '-E', 'UTF8', '--no-locale' ]);

# nothing is sent
$node->append_conf('postgresql.conf',
	"pinterest_capi.dispatch = off\nautovacuum = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub far { return $node->safe_psql('far', $_[0]) }

sql(q{CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead')});

my $session = $node->background_psql('postgres');
my $look =
  q{SELECT concat_ws(' ', status, reason, sent_as, payload #>> '{user_data,client_ip_address}')
	FROM pinterest_capi.preview('lead', '{}', '{"ph": "+442079460958", "ip": "203.0.113.9"}', visitor_id => 'v')};
sub look { return $session->query_safe($look) }
is(look(), 'queued lead', 'before any change');

# ---- by logical replication ----

# another database's tables, with their current rows
sql('CREATE DATABASE far');
far(q{CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead');
	CREATE PUBLICATION p FOR TABLE pinterest_capi.destination, pinterest_capi.allowed_event, pinterest_capi.consent_rule,
		pinterest_capi._suppression, pinterest_capi._destination_state});
my $connstr = $node->connstr('far');
far(q{SELECT pg_create_logical_replication_slot('s', 'pgoutput')});
sql("CREATE SUBSCRIPTION s CONNECTION \$c\$$connstr\$c\$ PUBLICATION p WITH (create_slot = false, copy_data = false, slot_name = 's')"
);

# Wait until changes in the other database are replicated.
sub arrives
{
	my $lsn = far('SELECT pg_current_wal_lsn()');

	$node->poll_query_until('far',
		"SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = 's'"
	) or BAIL_OUT('the subscription does not come along');
	return;
}
for my $change (
	[
		q{UPDATE pinterest_capi.destination SET send_client_ip = true},
		'queued lead 203.0.113.9'
	],
	[
		q{INSERT INTO pinterest_capi.consent_rule VALUES ('marketing', NULL, 'require', '$.consent.yes == true')},
		'suppressed consent rule marketing lead'
	],
	[
		q{UPDATE pinterest_capi.consent_rule SET name = 'm'},
		'suppressed consent rule m lead'
	],
	[ q{TRUNCATE pinterest_capi.consent_rule}, 'queued lead 203.0.113.9' ],
	[
		q{SELECT pinterest_capi.allow_event('Lead', 'Search')},
		'queued search 203.0.113.9'
	],
	[
		q{INSERT INTO pinterest_capi._suppression VALUES (sha256(('visitor:' || encode(sha256('v'), 'hex'))::bytea), now())},
		'suppressed forgotten search'
	],
	[
		q{DELETE FROM pinterest_capi._suppression},
		'queued search 203.0.113.9'
	],
	[
		q{SELECT pinterest_capi.disallow_event('Lead')},
		'suppressed not allowed'
	])
{
	my ($sql, $expected) = @$change;

	look();
	far($sql);
	arrives();
	is(look(), $expected, "replicated: $sql");
}
sql(q{ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s}
);

# the first copy of a table
sql('TRUNCATE pinterest_capi.consent_rule');
far(q{INSERT INTO pinterest_capi.consent_rule VALUES ('copied', NULL, 'require', '$.consent.yes == true');
	CREATE PUBLICATION c FOR TABLE pinterest_capi.consent_rule; SELECT pg_create_logical_replication_slot('c', 'pgoutput')}
);
sql(q{SELECT pinterest_capi.allow_event('lead')});
is(look(), 'queued lead 203.0.113.9', 'before a copy');
sql("CREATE SUBSCRIPTION c CONNECTION \$c\$$connstr\$c\$ PUBLICATION c WITH (create_slot = false, slot_name = 'c')"
);
ok( $node->poll_query_until(
		'postgres', q{SELECT count(*) = 1 FROM pinterest_capi.consent_rule}),
	'it is copied');
is(look(), 'suppressed consent rule copied lead', 'after it');
sql(q{ALTER SUBSCRIPTION c DISABLE; ALTER SUBSCRIPTION c SET (slot_name = NONE); DROP SUBSCRIPTION c; TRUNCATE pinterest_capi.consent_rule}
);

# ---- past the ordinary triggers ----

my $rule =
  q{INSERT INTO pinterest_capi.consent_rule VALUES ('r', NULL, 'require', '$.consent.yes == true')};
my $ruled = 'suppressed consent rule r lead';
my $free = 'queued lead 203.0.113.9';
for my $how (
	[ 'in replica mode', "SET session_replication_role = replica; $rule" ],
	[
		'copied in replica mode',
		"SET session_replication_role = replica; COPY pinterest_capi.consent_rule (name, action, predicate) FROM PROGRAM 'printf \"r\\trequire\\t\$.consent.yes == true\\n\"'"
	],
	[
		'with triggers off and on again, as a dump is restored',
		"BEGIN; ALTER TABLE pinterest_capi.consent_rule DISABLE TRIGGER ALL; $rule; ALTER TABLE pinterest_capi.consent_rule ENABLE TRIGGER ALL; COMMIT"
	],
	[
		'after such a restore, in replica mode',
		"SET session_replication_role = replica; $rule"
	],
	[
		'with a trigger off',
		"ALTER TABLE pinterest_capi.consent_rule DISABLE TRIGGER _settings_changed; $rule"
	],
	[ 'with the trigger off already', $rule ],
	[
		'with the trigger on again',
		"ALTER TABLE pinterest_capi.consent_rule ENABLE ALWAYS TRIGGER _settings_changed, ENABLE ALWAYS TRIGGER _settings_truncated; $rule"
	],
	[
		'with a trigger dropped',
		"DROP TRIGGER _settings_changed ON pinterest_capi.consent_rule; $rule"
	],
	[
		'as another table of that name',
		"ALTER TABLE pinterest_capi.consent_rule RENAME TO old_rule; CREATE TABLE pinterest_capi.consent_rule (LIKE pinterest_capi.old_rule INCLUDING ALL); $rule"
	],
	[ 'which has no triggers', $rule ])
{
	my ($name, $sql) = @$how;

	is(look(), $free, "before a rule is written $name");
	sql($sql);
	is(look(), $ruled, "a rule that is written $name");
	sql('DELETE FROM pinterest_capi.consent_rule');
}

$session->quit;
$node->stop;
done_testing();
