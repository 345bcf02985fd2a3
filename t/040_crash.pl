# No acknowledged event is lost in a crash, and an event that arrives twice has
# the same event_id.  While several sessions track events, the worker, a
# session's backend or the postmaster is killed with SIGKILL at random moments.
#
# PINTEREST_CAPI_CRASH_ROUNDS=N	rounds, 5 unless given; the long run has 50
# PINTEREST_CAPI_CRASH_EVENTS=N	events of each round, 4,000 unless given, 20,000 where ROUNDS is
# PINTEREST_CAPI_CRASH_SEED=N		the random moments of an earlier run
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util    qw(shuffle);
use PinterestStub qw(:DEFAULT crash processes);
use POSIX         qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use constant {
	SESSIONS => 4,
	CHUNK => 150,    # of each connection at most
	RUN => 20,       # of one statement, now and then
};

my $rounds = $ENV{PINTEREST_CAPI_CRASH_ROUNDS} || 5;
my $events = int(
	(   $ENV{PINTEREST_CAPI_CRASH_EVENTS}
		  || ($ENV{PINTEREST_CAPI_CRASH_ROUNDS} ? 20_000 : 4_000)) / SESSIONS
);    # of each session and round
my $seed =
  $ENV{PINTEREST_CAPI_CRASH_SEED} || (time() * 1000 ^ $$) & 0x7fffffff;

plan skip_all => 'needs /proc to find whom to kill'
  unless -r "/proc/$$/cmdline";
srand($seed);
note("seed $seed, $rounds rounds of " . SESSIONS * $events . ' events');

my $stub = PinterestStub->new;
my $node = setup_node('crash', $stub,
	conf => "restart_after_crash = on\nlog_min_messages = log");

$node->safe_psql('postgres',
	'UPDATE pinterest_capi.destination SET batch_size = 100, max_requests_per_minute = 120000'
);

# Answers are delayed, so that a kill finds requests that are processed but
# not settled.
my @rules = ({ times => 0, lag => 40 });
my $directory = PostgreSQL::Test::Utils::tempdir();

# ---- sessions: each prints the events whose commit was acknowledged ----

sub call
{
	my ($id) = @_;

	return
		"pinterest_capi.track('Checkout', jsonb_build_object('value', "
	  . ($id =~ /(\d+)$/)[0]
	  . qq{, 'currency', 'EUR'), '{"em": "c\@example.com"}', event_id => '$id')};
}

# Return statements of three kinds for some events that are not acknowledged
# yet, with rolled back ones between.  Once all are acknowledged, return the
# same again, as an application in doubt would track them.
sub script_of
{
	my ($session) = @_;
	my @ids = grep { !$session->{acknowledged}{$_} } @{ $session->{ids} };
	@ids = @{ $session->{ids} } unless @ids;
	@ids = splice(@ids, 0, CHUNK / 3 + rand(CHUNK * 2 / 3));
	my @lines = ('\set ON_ERROR_STOP on');

	while (@ids)
	{
		my $kind = int(rand(12));

		if ($kind == 0)
		{
			# one transaction
			my @run = splice(@ids, 0, RUN);

			push @lines, 'SELECT concat_ws(E\'\n\', '
			  . join(', ', map { call($_) } @run) . ');';
		}
		elsif ($kind == 1)
		{
			my @run = splice(@ids, 0, 3);

			push @lines, 'BEGIN;',
			  (map { 'DO $$ BEGIN PERFORM ' . call($_) . '; END $$;' } @run),
			  'COMMIT;',
			  map { "\\echo $_" } @run;
		}
		elsif ($kind == 2)
		{
			push @lines, 'BEGIN;',
				'DO $$ BEGIN PERFORM '
			  . call("undone-$session->{name}-" . int(rand(1e6)))
			  . '; END $$;', 'ROLLBACK;';
		}
		else
		{
			push @lines, 'SELECT ' . call(shift @ids) . ';';
		}
	}
	return join("\n", @lines) . "\n";
}

sub run_session
{
	my ($session) = @_;
	my $file = "$directory/$session->{name}";

	open my $out, '>', "$file.sql" or die $!;
	print $out script_of($session);
	close $out;
	$session->{pid} = fork() // die $!;
	return if $session->{pid};

	open STDIN, '<', '/dev/null';
	open STDOUT, '>', "$file.out";
	open STDERR, '>', "$file.err";
	exec('psql', '-XAtq', '-f', "$file.sql", '-d', $node->connstr('postgres'))
	  or POSIX::_exit(1);
}

# The session has ended: its acknowledged events count, the others are tried
# again.
sub hear
{
	my ($session) = @_;

	return unless waitpid($session->{pid}, WNOHANG) == $session->{pid};
	$session->{pid} = 0;
	$session->{acknowledged}{$_} = 1
	  for split /\n/, slurp_file("$directory/$session->{name}.out");
	$session->{runs}++;
	die "a session failed: " . slurp_file("$directory/$session->{name}.err")
	  if slurp_file("$directory/$session->{name}.err") =~ /ERROR: /;
	return;
}

# ---- the processes that are killed ----

my %killed = (worker => 0, backend => 0, postmaster => 0);

sub kill_one
{
	my ($kind) = @_;

	if ($kind eq 'postmaster')
	{
		crash($node);
		$node->start;
	}
	else
	{
		my @found = processes($node,
			$kind eq 'worker'
			? qr/pinterest_capi worker/
			: qr/ postgres \[local\]/);

		return 0 unless @found;
		return 0 unless kill 'KILL', $found[ rand @found ];
	}
	$killed{$kind}++;
	return 1;
}

my %total =
  (events => 0, lost => 0, received => 0, duplicates => 0, runs => 0);

sub round
{
	my ($number) = @_;
	my @sessions = map {
		my $s = $_;
		+{
			name => "r$number-s$s",
			ids => [ map { "r$number-s$s-$_" } 1 .. $events ],
			acknowledged => {},
			pid => 0,
			runs => 0
		}
	} 1 .. SESSIONS;
	my @kinds = shuffle(qw(worker worker backend postmaster));
	my @after = sort { $a <=> $b } map { rand(0.8) } @kinds;
	my $deadline = time() + 3 * $PostgreSQL::Test::Utils::timeout_default;
	my $progress = 0;

	$stub->reset;
	$stub->script(@rules);
	while (@kinds || $progress < 1 || grep { $_->{pid} } @sessions)
	{
		die "no end of it: $progress of it tracked, still to kill: @kinds"
		  if time() > $deadline;
		hear($_) for grep { $_->{pid} } @sessions;
		$progress = 0;
		$progress += keys(%{ $_->{acknowledged} }) / $events / SESSIONS
		  for @sessions;
		$progress = 1
		  unless grep { keys %{ $_->{acknowledged} } < $events } @sessions;
		run_session($_) for grep {
			!$_->{pid} && (@kinds || keys %{ $_->{acknowledged} } < $events)
		} @sessions;
		usleep(rand(20_000));
		if (@kinds && $progress >= $after[0] && kill_one($kinds[0]))
		{
			shift @kinds;
			shift @after;
		}
	}

	my @ids = map { @{ $_->{ids} } } @sessions;
	my $n = @ids;

	ok( $node->poll_query_until('postgres', 'SELECT pinterest_capi.flush()'),
		"round $number: the server is back, nothing is due");
	is( $node->safe_psql(
			'postgres',
			qq{SELECT count(*), count(*) FILTER (WHERE status = 'sent') FROM pinterest_capi.dispatch_status
			WHERE event_id LIKE 'r$number-%'}),
		"$n|$n",
		"round $number: each event has its row and is sent");
	is( $node->safe_psql(
			'postgres',
			'SELECT (SELECT count(*) FROM pinterest_capi._lease), (SELECT count(*) FROM pinterest_capi._waiting)'
		),
		'0|0',
		"round $number: no request is left over, nothing waits");

	my %times;
	my $received = 0;
	my $foreign = 0;

	for my $line (split /\n/, $stub->_control('GET', 'received'))
	{
		my ($id) = $line =~ /"event_id":"([^"]*)"/;
		my ($value) = $line =~ /"value":"?([\d.]+)/;

		next unless $line =~ /"verdict":"processed"/;
		$received++;
		$times{$id}++;
		$foreign++ unless $id =~ /^r$number-s\d+-(\d+)$/ && $1 == $value;
	}
	my @lost = grep { !$times{$_} } @ids;
	my $duplicates = $received - keys %times;

	is_deeply(\@lost, [], "round $number: 0 lost");
	is($foreign, 0,
		"round $number: what arrives is an event as it was committed, what was rolled back doesn't"
	);
	is(scalar(keys %times),
		$n, "round $number: what arrives twice has one event_id");
	$total{events}     += $n;
	$total{lost}       += @lost;
	$total{received}   += $received;
	$total{duplicates} += $duplicates;
	$total{runs}       += $_->{runs} for @sessions;
	return;
}

for my $number (1 .. $rounds)
{
	# alternately started by the server and by events alone
	if ($rounds == 1 || $number % 2 == 0)
	{
		$node->append_conf('postgresql.conf',
				"shared_preload_libraries = '"
			  . ($number % 4 == 2 || $rounds == 1 ? 'pinterest_capi' : '')
			  . "'");
		$node->restart;
	}
	round($number);
}

diag(
	sprintf
	  'result: crash matrix: seed %d; %d rounds, %d events, %d lost; killed: %s; %d sessions; %d duplicates (%.2f %%), all under their event_id',
	$seed,
	$rounds,
	$total{events},
	$total{lost},
	join(', ', map { "$_ $killed{$_}" } sort keys %killed),
	$total{runs},
	$total{duplicates},
	100 * $total{duplicates} / $total{received});
cmp_ok($killed{$_}, '>=', $rounds, "each round killed a $_")
  for sort keys %killed;
cmp_ok(
	$total{runs}, '>',
	$rounds * SESSIONS,
	'sessions were cut off and came back');
unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|invalid memory|resource .* leak/i,
	'no such word in the log');

$node->stop;
$stub->stop;
done_testing();
