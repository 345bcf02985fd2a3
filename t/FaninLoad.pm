# FaninLoad.pm
#	  Load on three databases whose events one dispatcher sends: one of them is
#	  killed, one is cut off, and the dispatcher is killed; then what arrived is
#	  compared with what was committed.
#
# Used for databases with the extension (t/090_fanin.pl) and for sources
# (t/221_source_fanin.pl).
package FaninLoad;

use strict;
use warnings;

use Exporter   qw(import);
use IPC::Run   ();
use List::Util qw(min);
use PinterestStub;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(many_procedure quoted_connection run_load);

# Return a statement that creates many(prefix, first, last, pause): it runs the
# statement once for each number and commits every twenty.
sub many_procedure
{
	my ($statement) = @_;

	return qq{
		CREATE PROCEDURE many(prefix text, first int, last int, pause float8 DEFAULT 0) LANGUAGE plpgsql AS \$\$
		BEGIN
			FOR i IN first..last LOOP
				$statement;
				IF i % 20 = 0 THEN
					COMMIT;
					PERFORM pg_sleep(pause);	-- so that there is a middle to kill it in
				END IF;
			END LOOP;
		END \$\$;};
}

# Return how a role connects to a database, as a literal of SQL.
sub quoted_connection
{
	my ($node, $database, $role) = @_;

	return
	  "'" . (($node->connstr($database) . " user=$role") =~ s/'/''/gr) . "'";
}

# stub, dispatcher, shop => three nodes, each with many() in database, which user
# runs; events => of each; patience => seconds; pause => of many(); committed =>
# query that counts the events of the first shop; while_cut => run before the
# second is let in again
sub run_load
{
	my (%o) = @_;
	my ($stub, $dispatcher, $events, @shop) =
	  (@o{qw(stub dispatcher events)}, @{ $o{shop} });
	my $psql = sub {
		my ($n, $first_to_last) = @_;

		return [
			'psql', '-XAtq',
			'-U' => $o{user},
			'-d' => $shop[$n]->connstr($o{database}),
			'-c' => "CALL many('load-$n-', $first_to_last)"
		];
	};
	my $begin = time();
	my (@load, @err);

	$stub->reset;
	for my $n (0 .. 2)
	{
		# of the second, only the first half
		my $last = $n == 1 ? $events / 2 : $events;

		push @load,
		  IPC::Run::start(
			$psql->($n, "1, $last, $o{pause}"),
			'<' => \undef,
			'>' => \my $out,
			'2>' => \$err[$n]);
	}
	ok(poll(sub { $stub->count->{distinct} > 100 }, $o{patience}),
		'the load flows');

	# The first is killed and restarted; uncommitted events are tracked again.
	$shop[0]->stop('immediate');
	ok(!$load[0]->finish, 'the load of a server that is killed ends');
	$shop[0]->start;
	my $committed = $shop[0]->safe_psql($o{database}, $o{committed});
	cmp_ok($committed, '<', $events,
		"killed in the middle, after $committed");
	is($committed % 20, 0, 'whole transactions are there');

	# The second is disconnected, and goes on tracking.
	$shop[1]->safe_psql(
		'postgres', q{
		ALTER ROLE dispatcher NOLOGIN;
		SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active}
	);
	ok($load[1]->finish, 'all of the load of one that is cut off commits')
	  or diag($err[1]);
	for my $n (1, 0)
	{
		my $err = '';

		ok(IPC::Run::run($psql->($n, "1, $events"), '2>' => \$err),
			$shop[$n]->name . ' goes on')
		  or diag($err);
	}

	# The dispatcher is killed during requests.
	$dispatcher->stop('immediate');
	$dispatcher->start;
	ok($load[2]->finish, 'no load notices that the dispatcher is killed')
	  or diag($err[2]);
	$o{while_cut}->();

	my $before = $stub->count->{distinct};
	$shop[1]->safe_psql('postgres', 'ALTER ROLE dispatcher LOGIN');
	ok($stub->wait_count(distinct => 3 * $events, $o{patience}),
		'all arrive');
	cmp_ok($before, '<', 3 * $events, 'not before it was let in again');
	check_arrived($stub, $events);
	check_settled($stub, $dispatcher, $events);
	note sprintf
	  "result: %d events from 3 servers, 1 killed, 1 cut off, dispatcher killed: %.1f s, 0 lost, %d repeated under the same event_id",
	  3 * $events, time() - $begin, $stub->count->{duplicates};
	return;
}

sub check_arrived
{
	my ($stub, $events) = @_;
	my %seen;

	$seen{ $_->{event}{event_id} }++
	  for grep { $_->{verdict} eq 'processed' } $stub->received;
	my @missing = grep { !$seen{$_} } map {
		my $n = $_;
		map { "load-$n-$_" } 1 .. $events
	} 0 .. 2;
	is(scalar @missing, 0, 'none is lost')
	  or diag("missing: @missing[0 .. min(9, $#missing)]");
	is(scalar keys %seen, 3 * $events, 'no event that was not tracked');
	return;
}

sub check_settled
{
	my ($stub, $dispatcher, $events) = @_;

	ok( $dispatcher->poll_query_until(
			'postgres', q{
			SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
		),
		'the dispatcher has a verdict on each');
	is( $dispatcher->safe_psql(
			'postgres', q{
			SELECT string_agg(origin || ' ' || status || ' ' || n, ', ' ORDER BY origin) FROM (
				SELECT origin, status, count(*) AS n FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'load-%' GROUP BY 1, 2) AS c}
		),
		"shop_1 sent $events, shop_2 sent $events, shop_3 sent $events",
		'status and origin at the dispatcher');
	my $unknown = $dispatcher->safe_psql(
		'postgres', q{
		SELECT count(*) FROM pinterest_capi.dispatch_status WHERE 'outcome of an earlier attempt unknown' = ANY (warnings)}
	);
	cmp_ok($stub->count->{duplicates},
		'<=', $unknown, 'only events with a warning arrived twice');
	return;
}

1;
