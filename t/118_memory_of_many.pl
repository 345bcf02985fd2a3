# A command on any number of events takes no more memory for more of them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { FEW => 20_000, MANY => 120_000 };

# kB that more events may cost: an array of the ids alone takes 1,000 and more
use constant ROOM => 700;

my $stub = PinterestStub->new;

# shared memory counts in the peak of what a process has touched
my $node = setup_node('many', $stub,
	conf =>
	  "shared_buffers = 1MB\nfsync = off\nwork_mem = 64kB\nautovacuum = off\njit = off\n"
);

sub make
{
	my ($n, $status) = @_;

	sql(q{WITH made AS (INSERT INTO pinterest_capi._event (created_at, event_time, dest, event_id, event_name, payload)
			SELECT now(), now(), s.dest, gen_random_uuid(), 'checkout', '{"event_time":1,"event_id":"x","user_data":{"partner_id":"one of many"}}'
			FROM pinterest_capi._destination_state AS s, generate_series(1, } . $n
		  . q{) RETURNING id, dest)
		}
		  . (
			$status
			? "INSERT INTO pinterest_capi._outcome (id, dest, finished_at, status) SELECT id, dest, now() - interval '1 hour', '$status'"
			: 'SELECT count(*)')
		  . ' FROM made',
		'VACUUM ANALYZE pinterest_capi._event, pinterest_capi._outcome, pinterest_capi._retry'
	);
	return;
}

sub configure_again
{
	sql(q{SELECT pinterest_capi.configure_destination('1', 'pina_nobody', '2'); SELECT pinterest_capi.pause_destination()}
	);
	return;
}

# Return by how much a call makes the peak of the session's memory grow.
sub peak
{
	my ($n, $call) = @_;
	my $answer = sql(
		"SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\\s+(\\d+)')",
		$call,
		"SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\\s+(\\d+)')"
	);
	my ($before, $done, $after) = split /\n/, $answer;

	is($done, $n, "$call: $n");
	return $after - $before;
}

sub bounded
{
	my ($call, $status, $before) = @_;
	my %peak;

	for my $n (FEW, MANY)
	{
		$before->() if $before;
		make($n, $status);
		$peak{$n} = peak($n, $call);
		sql('TRUNCATE pinterest_capi._event, pinterest_capi._outcome, pinterest_capi._retry'
		);
	}
	note("$call: @{[map { \"$_: $peak{$_} kB\" } FEW, MANY]}");
	cmp_ok($peak{ +MANY } - $peak{ +FEW },
		'<=', ROOM, "$call: as little for many");
	return;
}

sql('SELECT pinterest_capi.pause_destination()');
bounded(q{SELECT pinterest_capi.purge('1 minute')}, 'sent');
bounded(
	q{SELECT pinterest_capi.replay('default', 'sent', new_event_id => true)},
	'sent');
bounded(
	q{WITH dropped AS MATERIALIZED (SELECT pinterest_capi.drop_destination('default') AS d) SELECT count(*) FROM pinterest_capi._event, dropped},
	undef,
	sub { configure_again() });

# The worker searches for persons forgotten before, and would process some of
# these rows.
my $looked = sub {
	$node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM pinterest_capi._erasure')
	  or die 'the worker has not looked';
};
configure_again();
bounded(
	q{SELECT pinterest_capi.forget(user_data => '{"partner_id": "one of many"}')},
	$_, $looked) for 'failed', undef;
done_testing();
