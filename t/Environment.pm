# Environment.pm
#	  What the tests of poolers, cluster managers and other tools share: a shop
#	  whose orders go on through whatever address its application has, programs that
#	  are ended by their process's number, and what must hold afterwards.
package Environment;

use strict;
use warnings;

use Exporter      qw(import);
use IPC::Run      ();
use PinterestStub qw(poll workers processes);
use POSIX         ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT =
  qw(needs daemon end_daemon kill_daemon run_tool address query make_shop start_orders slow_orders orders_flow stop_orders
  adopt start_server kill_server holds becomes_primary has_standby all_is_well);

my %daemon;
my @adopted;
my ($orders, $stop_file);
my $runs = 0;

# ---- programs ----

# Return the paths of programs; where one is not installed, skip the test.  So too in
# test/run, beside whose other tests a cluster manager may well take a server for dead.
sub needs
{
	my (@program) = @_;
	my @path;

	plan skip_all => 'test/environments runs this test'
	  unless $ENV{PINTEREST_CAPI_ENVIRONMENTS};
	for my $program (@program)
	{
		my ($found) =
		  grep { -x } map { "$_/$program" } split(/:/, $ENV{PATH}),
		  '/usr/sbin';

		plan skip_all => "no $program here" unless $found;
		push @path, $found;
	}
	return @path;
}

# Start a program that stays in the foreground; its output is in the tests' logs.
# It ends with end_daemon, or with the test.
sub daemon
{
	my ($name, @command) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null' or POSIX::_exit(126);
		open STDOUT, '>>', "$PostgreSQL::Test::Utils::log_path/$name.log"
		  or POSIX::_exit(126);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
		exec @command               or POSIX::_exit(127);
	}
	$daemon{$name} = $pid;
	return;
}

# Send a signal, TERM unless given, and wait for the end.
sub end_daemon
{
	my ($name, $signal) = @_;
	my $pid = delete $daemon{$name} or return;

	kill $signal // 'TERM', $pid;
	return if poll(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 20);
	diag("$name does not end");
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

# Kill a program with all processes that it has started, as a machine that
# loses its power does, and wait until none is left.
sub kill_daemon
{
	my ($name) = @_;
	my $pid = delete $daemon{$name};
	my @family = ($pid);
	my %children;

	for my $file (glob '/proc/[0-9]*/stat')
	{
		open my $in, '<', $file or next;
		my ($child, $parent) =
		  (readline($in) // '') =~ /^(\d+) \(.*\) \S (\d+)/s
		  or next;
		push @{ $children{$parent} }, $child;
	}
	for (my $i = 0; $i < @family; $i++)
	{
		push @family, @{ $children{ $family[$i] } // [] };
	}
	kill 'KILL', @family;
	waitpid $pid, 0;
	poll(
		sub {
			!grep { -e "/proc/$_" } @family;
		}) or BAIL_OUT("processes of $name outlive it");
	return;
}

# Run a program to its end; return whether it succeeded, and in list context
# its output as well.
sub run_tool
{
	my (@command) = @_;
	my $output = '';
	my $ok = IPC::Run::run(\@command, '<' => \undef, '>&' => \$output);

	note("@command: $output") if $output ne '';
	diag("@command: $output") unless $ok || wantarray;
	return wantarray ? ($ok, $output) : $ok;
}

# Note a cluster that some tool makes and starts: its servers end with the test.
# The node is one that was not initialised.
sub adopt
{
	push @adopted, @_;
	return;
}

END
{
	my $exit_code = $?;

	local $@;
	stop_orders() if $orders;
	end_daemon($_) for sort keys %daemon;
	for my $node (@adopted)
	{
		my $data = $node->data_dir;

		IPC::Run::run(
			[ 'pg_ctl', '-D', $data, '-s', '-m', 'immediate', 'stop' ],
			'>&' => \my $ignored)
		  if -e "$data/postmaster.pid";
	}
	$? = $exit_code;
}

# Kill a server's postmaster, and wait until no process of it is left.
sub kill_server
{
	my ($node) = @_;
	my ($postmaster) = split /\n/,
	  slurp_file($node->data_dir . '/postmaster.pid');
	my @family = ($postmaster, processes($node, qr/./));

	kill 'KILL', $postmaster;
	poll(
		sub {
			!grep { -e "/proc/$_" } @family;
		}) or BAIL_OUT('processes outlive the postmaster');
	return;
}

# Start a server of PostgreSQL::Test::Cluster that some tool will stop and start:
# its object does not know the process.
sub start_server
{
	my ($node) = @_;

	# a standby is known by the cluster's name, unless this is set
	local $ENV{PGAPPNAME};
	delete $ENV{PGAPPNAME};
	adopt($node);
	system_or_bail('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l',
		$node->logfile, '-o', '--cluster-name=' . $node->name, 'start');
	return;
}

# Return whether a condition holds at a server, which may be down.
sub holds
{
	my ($node, $condition) = @_;

	return (eval { query(address($node), "SELECT $condition") } // '') eq 't';
}

# Wait until a server takes writes.
sub becomes_primary
{
	my ($node, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(poll(sub { holds($node, 'NOT pg_is_in_recovery()') }), $name);
	return;
}

# Wait until a server has a standby to whose disk its commits go.
sub has_standby
{
	my ($node, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( poll(
			sub {
				holds($node,
					q{count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')}
				);
			}),
		$name);
	return;
}

# ---- a shop ----

# Return the connection string of a server's database, or of several servers,
# of which the one that can write is meant.
sub address
{
	my (@node) = @_;

	return sprintf
	  q{host=%s port=%s user=%s dbname=postgres connect_timeout=3%s},
	  join(',', map { $_->host } @node), join(',', map { $_->port } @node),
	  scalar getpwuid($>),
	  @node > 1 ? ' target_session_attrs=read-write' : '';
}

# Run statements, each in a transaction of its own, and return their result.
sub query
{
	my ($address, @statements) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $address,
			map { ('-c' => $_) } @statements
		],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err) or die "psql: $err";
	chomp $out;
	return $out;
}

# Each order is an event with the order's id; a failover repeats no id.
sub make_shop
{
	my ($node) = @_;

	$node->safe_psql(
		'postgres', q{
		CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL, total numeric NOT NULL);
		CREATE TRIGGER pinterest_checkout AFTER INSERT ON orders FOR EACH ROW
			EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'email=email', 'value=total', 'currency:=USD', 'event_id=id')}
	);
	return;
}

# Let orders come in at this address, about 40 a second by four sessions: plain
# ones, those that roll back a savepoint before they commit, and some that are
# rolled back.  The sessions connect again every two seconds, and after each
# failure.
sub start_orders
{
	my ($address) = @_;

	die 'orders come in already' if $orders;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $order =
	  q{INSERT INTO public.orders (email, total) VALUES ('buyer@example.com', :total / 100.0);};
	my %script = (
		plain => $order,
		savepoint =>
		  "BEGIN; SAVEPOINT s; $order ROLLBACK TO s; $order COMMIT;",
		undone => "BEGIN; $order ROLLBACK;");

	for my $name (keys %script)
	{
		append_to_file("$directory/$name.sql",
			"\\set total random(100, 100000)\n" . $script{$name} =~
			  s/;\s*/;\n/gr);
	}
	$stop_file = "$directory/stop";
	$orders = IPC::Run::start(
		[
			'sh', '-c', 'stop=$1 address=$2
			shift 2
			until [ -e "$stop" ]; do
				timeout 20 pgbench -n -c 4 -j 1 -T 2 --rate 40 "$@" "$address" || sleep 0.2
			done', 'sh', $stop_file, $address,
			'-f' => "$directory/plain.sql\@6",
			'-f' => "$directory/savepoint.sql\@1",
			'-f' => "$directory/undone.sql\@1"
		],
		'<' => \undef,
		'>' => "$PostgreSQL::Test::Utils::log_path/orders-@{[++$runs]}.log",
		'2>&1');
	return;
}

# Likewise, with answers that take a while, so that requests are in flight all the
# time; return when some orders have arrived.
sub slow_orders
{
	my ($stub, $address, $some) = @_;

	$stub->script({ times => 0, lag => 200 });
	start_orders($address);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	orders_flow($stub, $some // 40, 'orders come in');
	return;
}

# Wait until this many more orders have arrived at the API.
sub orders_flow
{
	my ($stub, $more, $name) = @_;
	my $least = $stub->count->{distinct} + $more;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($stub->wait_count(distinct => $least), $name);
	return;
}

sub stop_orders
{
	append_to_file($stop_file, '');
	$orders->finish;
	undef $orders;
	return;
}

# ---- what must hold ----

# Stop the orders, and check that each one of the database was sent and nothing
# else, none twice without the warning, by one worker on one server; that
# doctor() has nothing to say.  others => [...], servers that run beside it;
# but => a check of doctor's that may complain.
sub all_is_well
{
	my ($stub, $primary, %params) = @_;
	my $but = $params{but} // '';
	my $at = 'pinterest_capi';
	my $complaints;

	stop_orders() if $orders;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $primary->poll_query_until(
			'postgres',
			"SELECT count(*) = 0 FROM $at.dispatch_status WHERE status NOT IN ('sent', 'suppressed')"
		),
		'every event of the database is sent');
	my %order = map { $_ => 1 } split /\n/,
	  $primary->safe_psql('postgres', 'SELECT id FROM orders');
	my %sent;
	$sent{ $_->{event}{event_id} }++ for grep {
		$_->{verdict} eq 'processed' && $_->{event}{event_name} eq 'checkout'
	} $stub->received;
	my %warned = map { $_ => 1 } split /\n/,
	  $primary->safe_psql('postgres',
		"SELECT event_id FROM $at.dispatch_status WHERE 'outcome of an earlier attempt unknown' = ANY (warnings)"
	  );
	my @twice = grep { $sent{$_} > 1 } sort keys %sent;

	is(join(' ', grep { !$sent{$_} } sort keys %order),
		'', 'no order is missing');
	my @strange = grep { !$order{$_} } sort keys %sent;
	is("@strange", '', 'none was sent that is not in the database')
	  or diag(join "\n", map { explain($stub->received($_)) } @strange);
	is(join(' ', grep { !$warned{$_} } @twice),
		'', 'none was sent twice without the warning');
	is(workers($primary), '1', 'one worker');
	is(workers($_), '0', $_->name . ': none there')
	  for @{ $params{others} // [] };
	ok( poll(
			sub {
				$complaints = $primary->safe_psql('postgres',
					qq{SELECT string_agg("check" || ' ' || status || ': ' || advice, E'\\n') FROM $at.doctor() WHERE status <> 'ok' AND "check" <> '$but'}
				);
				$complaints eq '';
			},
			20),
		'doctor() is content') or diag($complaints);
	is($stub->count->{violations}, 0, 'no request was refused');
	note sprintf
	  'result: %d orders, 0 missing, %d sent twice, with the warning',
	  scalar(keys %order), scalar @twice;
	return;
}

1;
