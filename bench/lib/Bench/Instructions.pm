# Bench/Instructions.pm
#	  Instructions that a call takes, as callgrind counts them: the same on a busy
#	  machine as on an idle one.
#
# A single-user server runs under callgrind, once with each loop short and then
# with one of them long: the difference is that loop's, start and plans are in
# neither.  The loop itself is in both ways that are compared.
#
# bench/instructions.json holds what they were when last looked at, for the
# environments that somebody looked in; more than a tenth above it is a
# regression, to be found or to be written down.  Elsewhere they are reported.
package Bench::Instructions;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use File::Temp ();
use IPC::Run ();
use JSON::PP ();
use POSIX qw(uname);

use constant {
	SHORT => 100,
	LONG => 600,
	TOLERANCE => 1.10,
};

# per event: the statement that does :n of them
sub _loops
{
	my $orders = <<'SQL';
(SELECT n AS id, ' Customer.' || n || '@Example.com ' AS email, '+49 (30) ' || 1000000 + n AS phone, 'c-' || n AS customer,
	12.34 AS total, 'EUR' AS currency, 'sku-1' AS sku, 2 AS quantity FROM generate_series(1, :n) AS n)
SQL
	my $loop = sub { return "DO \$\$ DECLARE o record; BEGIN FOR o IN $orders LOOP $_[0]; END LOOP; END \$\$" };

	return (
		'track' => $loop->('PERFORM ' . track_call('o')),
		'by hand' => $loop->(hand_statement('o')),
		'trigger' => "INSERT INTO shop.tracked SELECT * FROM $orders AS o",
		'trigger by hand' => "INSERT INTO shop.by_hand SELECT * FROM $orders AS o",
		'hash_identifier em' => q{SELECT count(pinterest_capi.hash_identifier('em', ' Customer.' || n || '@Example.com ')) FROM generate_series(1, 10 * :n) AS n},
		'hash_identifier ph' => q{SELECT count(pinterest_capi.hash_identifier('ph', '+49 (30) ' || 1000000 + n)) FROM generate_series(1, 10 * :n) AS n},
		'normalize_identifier ct' => q{SELECT count(pinterest_capi.normalize_identifier('ct', 'São Paulo ' || n)) FROM generate_series(1, 10 * :n) AS n},
	);
}

sub _single
{
	my ($dir, $wrapper, @statements) = @_;
	my ($out, $err) = ('', '');
	my $in = join '', map { s/\s+/ /gr . "\n" } @statements;

	# it returns 0 whatever a statement did
	IPC::Run::run([ @$wrapper, 'postgres', '--single', '-D', $dir, '-c', 'log_min_messages=warning', '-c', 'exit_on_error=on', '-c', 'autovacuum=off', 'postgres' ],
		'<' => \$in, '>' => \$out, '2>' => \$err);
	die "single-user server: $err\n" if $err =~ /ERROR|FATAL|PANIC/ || ($? >> 8) != 0;
	return $err;
}

sub _count
{
	my ($dir, $loops, $long) = @_;
	my @statements = map { $loops->{$_} =~ s/:n/$_ eq $long ? LONG : SHORT/ger } sort keys %$loops;
	my $kept = $ENV{BENCH_CALLGRIND} ? "$ENV{BENCH_CALLGRIND}/callgrind." . ($long =~ s/\W+/-/gr) : '/dev/null';
	my $err = _single($dir, [ 'valgrind', '--tool=callgrind', "--callgrind-out-file=$kept" ], 'BEGIN', @statements, 'ROLLBACK');

	$err =~ /Collected : (\d+)/ or die "callgrind: $err\n";
	return $1;
}

sub environment
{
	my @uname = uname();
	my ($major) = value('postgres', 'SHOW server_version_num') =~ /^(\d+)\d{4}$/;

	return "$uname[4] PostgreSQL $major";
}

sub _expected
{
	open my $file, '<', "$Bench::top/bench/instructions.json" or return {};
	my $text = do { local $/; <$file> };

	close $file;
	return JSON::PP::decode_json($text)->{ environment() } // {};
}

sub run
{
	if (!grep { -x "$_/valgrind" } split /:/, $ENV{PATH})
	{
		note('instructions: left out, there is no valgrind');
		return;
	}

	my $dir = File::Temp->newdir;
	my $out = '';
	my %loops = _loops();
	my $expected = _expected();
	my %count;

	IPC::Run::run([ 'initdb', '-D', "$dir/single", '-U', 'postgres', '-A', 'trust', '-N', '-E', 'UTF8', '--no-locale' ], '>&' => \$out)
	  or die "initdb: $out\n";
	_single("$dir/single", [],
		'CREATE EXTENSION pinterest_capi',
		q{SELECT pinterest_capi.configure_destination('2617998078212', 'pina_TESTONLY_bench', '549755885175')},
		q{SELECT pinterest_capi.allow_event('Checkout')},
		Bench::Workload::hand_schema(),
		Bench::Workload::trigger_schema());

	my $base = _count("$dir/single", \%loops, '');

	for my $name (sort keys %loops)
	{
		my $calls = (LONG - SHORT) * ($loops{$name} =~ /10 \* :n/ ? 10 : 1);

		$count{$name} = (_count("$dir/single", \%loops, $name) - $base) / $calls;
	}
	for my $name (sort keys %loops)
	{
		my $by_hand = $name eq 'track' ? 'by hand' : $name eq 'trigger' ? 'trigger by hand' : undef;

		figure(name => "instructions, $name", unit => 'a call', runs => [ $count{$name} ],
			$by_hand ? (reference => [ $count{$by_hand} ], against => $by_hand) : ());
		next unless $expected->{$name};
		figure(name => "instructions, $name, as written down", unit => 'a call', runs => [ $count{$name} ],
			reference => [ $expected->{$name} ], against => 'bench/instructions.json', least => TOLERANCE, aim => 1);
	}
	return;
}

1;
