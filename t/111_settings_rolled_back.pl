# After a rollback, of a transaction or of a subtransaction, the next call sees
# the settings that a new session would see: nothing that the session caches of
# them outlives what made it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(new_node sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# nothing is sent
my $node = new_node('rolled_back',
	conf =>
	  "pinterest_capi.dispatch = off\nautovacuum = off\nmax_prepared_transactions = 5\n"
);
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead')});

my $session = $node->background_psql('postgres');
sub ask { return $session->query_safe($_[0]) }

# ---- numbers of destinations ----

# a destination without a number yet, as plain SQL makes it
sub new_destination
{
	my ($name) = @_;

	sql("INSERT INTO pinterest_capi.destination (destination) VALUES ('$name');
		INSERT INTO pinterest_capi.allowed_event (event_name, destination) VALUES ('$name', '$name')"
	);
	return;
}

sub track
{
	return
	  "SELECT pinterest_capi.track('$_[0]', '{}', '{\"em\": \"a\@shop.example\"}', event_id => '$_[1]')";
}

# Return the names of the destinations that this event is for.
sub goes_to
{
	my ($id) = @_;

	return sql(
		"SELECT coalesce(string_agg(coalesce(s.destination, 'nobody'), ' '), '-') FROM pinterest_capi._event AS e
		LEFT JOIN pinterest_capi._destination_state AS s USING (dest) WHERE e.event_id = '$id'"
	);
}
my %others = (
	'a change of settings' =>
	  q{UPDATE pinterest_capi.destination SET batch_size = batch_size - 1 WHERE destination = 'default'},
	'an ANALYZE' => 'ANALYZE pinterest_capi._destination_state',
	'nothing' => 'SELECT');
my %undone = (
	'a rollback to a savepoint' =>
	  [ 'BEGIN; SAVEPOINT s', 'ROLLBACK TO s', 'COMMIT' ],
	'a rollback' => [ 'BEGIN', 'ROLLBACK', 'SELECT' ],
	'a prepared transaction that is rolled back' =>
	  [ 'BEGIN', q{PREPARE TRANSACTION 'p'}, q{ROLLBACK PREPARED 'p'} ]);
my $n = 0;
for my $undo (sort keys %undone)
{
	for my $other (sort keys %others)
	{
		my ($begin, $rollback, $end) = @{ $undone{$undo} };
		my $name = 'new' . ++$n;

		new_destination($name);
		ask($begin);
		ask(track($name, "$name rolled back"));
		sql($others{$other});
		ask(track($name, "$name rolled back too"));
		ask($rollback);

		# until then a session that needs a number for this name waits
		ask($end) if $rollback =~ /PREPARE/;
		ask(track($name, "$name a"));
		ask($end) if $rollback !~ /PREPARE/;
		ask(track($name, "$name b"));
		is( join(' ',
				map { goes_to("$name $_") } 'rolled back',
				'rolled back too',
				'a', 'b'),
			"- - $name $name",
			"a number that was made before $undo, with $other in between");
	}
}

# ---- settings ----

my $look =
  q{SELECT status, reason, sent_as, payload #>> '{user_data,client_ip_address}'
	FROM pinterest_capi.preview('lead', '{}', '{"ph": "+442079460958", "ip": "203.0.113.9"}', visitor_id => 'v')};
my $before = ask($look);
is($before, 'queued||lead|', 'before any change');
for my $change (
	[
		q{UPDATE pinterest_capi.destination SET send_client_ip = true},
		'queued||lead|203.0.113.9'
	],
	[
		q{SELECT pinterest_capi.allow_event('Lead', 'Search')},
		'queued||search|'
	],
	[
		q{SELECT pinterest_capi.disallow_event('Lead')},
		'suppressed|not allowed||'
	],
	[ q{TRUNCATE pinterest_capi.allowed_event}, 'suppressed|not allowed||' ],
	[
		q{INSERT INTO pinterest_capi.consent_rule VALUES ('r', NULL, 'require', '$.consent.yes == true')},
		'suppressed|consent rule r|lead|'
	],
	[
		q{INSERT INTO pinterest_capi.consent_rule VALUES ('s', 'default', 'require', '$.consent.yes == true')},
		'suppressed|consent rule s|lead|'
	],
	[ q{SELECT pinterest_capi.forget('v')}, 'suppressed|forgotten|lead|' ],
	[
		q{SELECT pinterest_capi.drop_destination('default')},
		'suppressed|not allowed||'
	],
	[
		q{DELETE FROM pinterest_capi.destination},
		'suppressed|no destination||'
	])
{
	my ($sql, $within) = @$change;

	for my $how (
		[ 'BEGIN; SAVEPOINT s', 'ROLLBACK TO s', 'COMMIT' ],
		[ 'BEGIN', 'ROLLBACK', 'SELECT' ],
		[ 'BEGIN', q{PREPARE TRANSACTION 'p'}, q{ROLLBACK PREPARED 'p'} ],
		[
			'BEGIN; SAVEPOINT s',
			'SAVEPOINT t; RELEASE t; ROLLBACK TO s',
			'ROLLBACK'
		])
	{
		my ($begin, $rollback, $end) = @$how;

		# this one blocks all others until it ends
		next if "$rollback $sql" =~ /PREPARE.*TRUNCATE/;
		ask("$begin; $sql");
		my $seen = ask($look);
		ask($rollback);
		my $after = ask($look);
		ask($end);
		is( "$seen, $after, " . ask($look),
			"$within, $before, $before",
			"$sql, then $rollback");
	}
}
is( ask(qq{DO \$\$ BEGIN
		BEGIN
			PERFORM pinterest_capi.disallow_event('lead');
			IF (SELECT status FROM pinterest_capi.preview('lead')) <> 'suppressed' THEN RAISE 'not seen'; END IF;
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END \$\$; $look}),
	$before,
	'in a block with an exception');

# Prepared changes count when they are committed, also in the session that
# prepared them.
ask(q{BEGIN; SELECT pinterest_capi.allow_event('Lead', 'Search')});
ask(q{PREPARE TRANSACTION 'p'});
my $prepared = ask($look);
sql(q{COMMIT PREPARED 'p'});
is( "$prepared, " . ask($look),
	"$before, queued||search|",
	'prepared here, committed elsewhere');

# ---- the extension itself ----

sql('CREATE DATABASE bare');
my $bare = $node->background_psql('bare');
for my $round (1, 2)
{
	$bare->query_safe('BEGIN; CREATE EXTENSION pinterest_capi');
	$bare->query_safe(
		q{INSERT INTO pinterest_capi.destination (destination) VALUES ('default')}
	);
	$bare->query_safe(q{SELECT pinterest_capi.allow_event('lead')});
	is($bare->query_safe($look),
		'queued||lead|', "an extension of this transaction, $round");
	$bare->query_safe($round == 1 ? 'ROLLBACK' : 'COMMIT');
}
is($bare->query_safe($look), 'queued||lead|', 'the second is there to stay');
$bare->quit;

$session->quit;
$node->stop;
done_testing();
