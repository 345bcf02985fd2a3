# Bench.pm
#	  Functions that the measurements share: statements and their time, processes
#	  and their CPU, the stub, alternating runs, and the resulting figures.
#
# PGHOST and PGPORT name the server, which bench/run or a test has made.
package Bench;

use strict;
use warnings;

use Cwd            qw(abs_path);
use Exporter       qw(import);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run    ();
use JSON::PP    ();
use Time::HiRes qw(time usleep);

our @EXPORT =
  qw(psql value timed quick scaled rounds median percentile alternate figure figures
  poll cpu_of cluster_cpu note ask_conf set_conf fresh_database pgbench memory_kb
  init_data new_server at_server stop_servers);

our $top = abs_path(dirname(__FILE__) . '/../..');

my @figures;

sub quick { return $ENV{BENCH_QUICK} ? 1 : 0 }

# Return a size, or its part in a quick run; BENCH_QUICK may say which part.
sub scaled
{
	my ($size, $least) = @_;

	return $size unless quick();

	my $part = $ENV{BENCH_QUICK} > 1 ? $ENV{BENCH_QUICK} : 20;
	my $small = int($size / $part);

	return $small < ($least // 1) ? $least // 1 : $small;
}

# Return the number of rounds; in the smallest runs as few as are given, or one.
sub rounds
{
	my ($rounds, $fewest) = @_;

	return _tiny() ? $fewest // 1 : $rounds;
}

sub _tiny { return quick() && $ENV{BENCH_QUICK} >= 100 }

sub note { print STDERR "# @_\n"; return }

# ---- statements ----

# Run statements; return their results, a line each.
sub psql
{
	my ($database, $sql) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
			'-d', $database, '-f', '-'
		],
		'<' => \$sql,
		'>' => \$out,
		'2>' => \$err) or die "psql: $err\n", substr($sql, 0, 2000), "\n";
	return split /\n/, $out;
}

sub value
{
	my @lines = psql(@_);

	return $lines[-1];
}

# Return the seconds that the statements take in a session that has run $warm
# before.
sub timed
{
	my ($database, $sql, $warm) = @_;

	$warm //= '';
	return value($database, <<"SQL");
$warm
SELECT clock_timestamp() AS t \\gset
$sql
SELECT extract(epoch FROM clock_timestamp() - :'t'::timestamptz);
SQL
}

# Change settings of the whole server, without waiting.
sub ask_conf
{
	my (%settings) = @_;

	psql(
		'postgres',
		"LOAD 'pinterest_capi';\n"
		  . join('',
			map { "ALTER SYSTEM SET $_ = '$settings{$_}';\n" }
			sort keys %settings)
		  . 'SELECT pg_reload_conf();');
	return;
}

# Change settings of the whole server, and wait until they are in force.
sub set_conf
{
	my (%settings) = @_;

	ask_conf(%settings);
	for my $name (sort keys %settings)
	{
		# a new session each time, which has the postmaster's settings
		poll(
			sub {
				value('postgres',
					"SELECT current_setting('$name', true) = '$settings{$name}'"
				) eq 't';
			},
			30) or die "$name is not in force\n";
	}
	return;
}

sub fresh_database
{
	my ($name) = @_;

	psql('postgres',
		"DROP DATABASE IF EXISTS $name WITH (FORCE);\nCREATE DATABASE $name;"
	);
	return;
}

# Return the transactions a second.
sub pgbench
{
	my ($database, $script, %params) = @_;
	my ($out, $err) = ('', '');
	my $clients = $params{clients} // 1;

	IPC::Run::run(
		[
			'pgbench', '-n', '-M', 'prepared', '-c', $clients, '-j',
			$clients > 1 ? 2           : 1,
			_tiny()      ? ('-t', 100) : ('-T', scaled(10, 1)), '-f', '-',
			$database
		],
		'<' => \$script,
		'>' => \$out,
		'2>' => \$err) or die "pgbench: $err\n";
	$out =~ /^tps = ([\d.]+)/m or die "pgbench: $out\n";
	return $1;
}

# Poll until the condition is true; return false at the timeout.
sub poll
{
	my ($condition, $seconds) = @_;
	my $deadline = time() + ($seconds // 60);

	while (1)
	{
		return 1 if $condition->();
		return 0 if time() > $deadline;
		usleep(10_000);
	}
}

# ---- more servers ----

my @servers;

sub _quietly
{
	my @command = @_;
	my $out = '';

	IPC::Run::run(\@command, '<' => \undef, '>' => \$out, '2>&1')
	  or die "@command: $out\n";
	return;
}

# Make a server's data directory.
sub init_data
{
	my ($data, $user) = @_;

	_quietly(
		'initdb', '-D', $data, '-U', $user, '-A',
		'trust', '-N', '-E', 'UTF8', '--no-locale');
	return;
}

# Start another server beside the bench's.
sub new_server
{
	my ($name, $conf) = @_;
	my $server = {
		port => $ENV{PGPORT} + 1 + @servers,
		data => "$ENV{BENCH_CLUSTER}-$name"
	};

	init_data($server->{data}, $ENV{PGUSER});
	open my $file, '>>', "$server->{data}/postgresql.conf"
	  or die "$server->{data}: $!\n";
	print $file <<"CONF";
listen_addresses = ''
unix_socket_directories = '$ENV{PGHOST}'
port = $server->{port}
wal_level = logical
max_wal_size = 4GB
checkpoint_timeout = 15min
$conf
CONF
	close $file or die "$server->{data}: $!\n";
	_quietly('pg_ctl', '-D', $server->{data}, '-l', "$server->{data}.log",
		'-w', 'start');
	push @servers, $server;
	return $server;
}

# Run code whose statements go to that server.
sub at_server
{
	my ($server, $code) = @_;

	local $ENV{PGPORT} = $server->{port};
	local $ENV{BENCH_CLUSTER} = $server->{data};
	return $code->();
}

sub stop_servers
{
	for my $server (@servers)
	{
		eval {
			_quietly('pg_ctl', '-D', $server->{data}, '-m', 'immediate', '-w',
				'stop');
		};
	}
	@servers = ();
	return;
}

# ---- processes ----

sub _stat
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return;
	my $line = <$file>;

	close $file;
	return unless defined $line && $line =~ /^\d+ \(.*\) (.*)/s;

	# from the third field of proc(5) on
	return split / /, $1;
}

# Return the CPU seconds of a process, user and system.
sub cpu_of
{
	my @stat = _stat($_[0]) or return 0;

	return ($stat[11] + $stat[12]) / 100;
}

# Return the CPU seconds of the whole server so far, ended sessions included.
sub cluster_cpu
{
	open my $file, '<', "$ENV{BENCH_CLUSTER}/postmaster.pid"
	  or die "no postmaster.pid: $!\n";
	my $postmaster = <$file>;

	chomp $postmaster;
	close $file;

	my @stat = _stat($postmaster);
	my $sum = $stat[11] + $stat[12] + $stat[13] + $stat[14];

	for my $pid (map { m{/(\d+)$} } glob '/proc/[0-9]*')
	{
		my @child = _stat($pid) or next;

		$sum += $child[11] + $child[12] if $child[1] == $postmaster;
	}
	return $sum / 100;
}

# Return the process's private memory, without shared buffers.
sub memory_kb
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or return;
	my $text = do { local $/; <$file> };

	close $file;
	return $text =~ /^RssAnon:\s+(\d+)/m ? $1 : undef;
}

# ---- figures ----

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return undef unless @sorted;
	return @sorted % 2
	  ? $sorted[ $#sorted / 2 ]
	  : ($sorted[ @sorted / 2 - 1 ] + $sorted[ @sorted / 2 ]) / 2;
}

sub percentile
{
	my ($share, @values) = @_;
	my @sorted = sort { $a <=> $b } @values;

	return undef unless @sorted;

	my $at = int($share * @sorted);

	return $sorted[ $at > $#sorted ? $#sorted : $at ];
}

# Run each of the named measurements once a round, in another order each time;
# return name => [value of each round].
sub alternate
{
	my ($rounds, @measures) = @_;
	my (%runs, %sub);

	%sub = @measures;
	my @names = map { $measures[ 2 * $_ ] } 0 .. $#measures / 2;

	for my $round (1 .. $rounds)
	{
		for my $name (@names)
		{
			my $value = $sub{$name}->($round);

			push @{ $runs{$name} }, $value;
		}
		push @names, shift @names;
	}
	return %runs;
}

# name, unit, runs => [...]; against => what the reference is, reference => [...]
# of the same rounds: the ratio is the median of the rounds' ratios.
# higher => 1: more is better; least, aim: what the ratio (or, without a
# reference, the value) is meant to reach.
sub figure
{
	my (%f) = @_;
	my %entry = (
		name => $f{name},
		unit => $f{unit},
		runs => [ map { $_ + 0 } @{ $f{runs} } ],
		value => median(@{ $f{runs} }) + 0);

	if ($f{reference})
	{
		my @ratios = map { $f{runs}[$_] / $f{reference}[$_] }
		  grep { $f{reference}[$_] } 0 .. $#{ $f{runs} };

		$entry{against} = $f{against};
		$entry{reference_runs} = [ map { $_ + 0 } @{ $f{reference} } ];
		$entry{reference} = median(@{ $f{reference} }) + 0;
		$entry{ratio} = median(@ratios) + 0 if @ratios;
	}
	for my $key (qw(least aim remark))
	{
		$entry{$key} = $f{$key} if defined $f{$key};
	}
	if (defined $f{least})
	{
		my $judged = $entry{ratio} // $entry{value};
		my $more = $f{higher} // 0;
		my $as = sub { $more ? $judged >= $_[0] : $judged <= $_[0] };

		$entry{reached} =
		  $as->($f{aim}) ? 'aim' : $as->($f{least}) ? 'least' : 'missed';
	}
	push @figures, \%entry;
	note(sprintf '%s: %.6g %s%s', $entry{name}, $entry{value}, $entry{unit},
		defined $entry{ratio}
		? sprintf(', %.2f of %s', $entry{ratio}, $entry{against})
		: '');
	return \%entry;
}

sub figures { return @figures }

1;
