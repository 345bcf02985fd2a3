# Bench/Instructions.pm
#	  Count the instructions of a call with callgrind: the same number on a busy
#	  machine as on an idle one.
#
# A single-user server runs under callgrind, and each loop in it twice short and
# once long: the long one less the second short one is that many calls, plans and
# caches are in neither.  The loop itself is in both ways that are compared.
#
# bench/instructions.json holds the accepted numbers, for the environments in
# which they were checked.  More than a tenth above them is a regression, which
# is to be repaired or accepted.  In other environments the numbers are reported.
package Bench::Instructions;

use strict;
use warnings;

use Bench;
use Bench::Workload;
use File::Temp ();
use IPC::Run   ();
use JSON::PP   ();
use POSIX      qw(uname);

use constant {
	SHORT => 50,
	LONG => 250,
	TOLERANCE => 1.10,
};

# the statement that a call is compared with
my %reference = (
	'track' => 'by hand',
	'trigger' => 'trigger by hand',
	'track, minimal event' => 'minimal by hand',
	'track, 100 consent rules' => 'track, 100 consent rules by the server');

# A call that all rules let pass, so that each is evaluated.
sub rules_call
{
	my ($event) = @_;

	return track_call('o') =~ s/'Checkout'/'$event'/r =~
	  s/\)\s*\z/, consent => '{"ads": true, "country": "DE"}')/r;
}

# The same 100 rules for two destinations, half of them a comparison and half a pair
# of comparisons.  Strict paths are the server's to evaluate (src/track/consent_eval.c).
sub rules_schema
{
	return (
		map({
				my $name = $_;
				(   qq{SELECT pinterest_capi.configure_destination('2617998078212', 'pina_TESTONLY_bench', '549755885175', destination => '$name')},
					qq{SELECT pinterest_capi.allow_event('$name rules', destination => '$name')}
				)
		} qw(plain server)),
		<<'SQL');
INSERT INTO pinterest_capi.consent_rule (name, destination, action, predicate)
	SELECT d.name || n, d.name, CASE WHEN n % 2 = 0 THEN 'require' ELSE 'stop' END,
		(d.mode || CASE n % 4 WHEN 0 THEN '$.consent.ads == true'
			WHEN 1 THEN '$.properties.value > ' || 100000 + n
			WHEN 2 THEN '$.consent.ads == true && $.consent.country == "DE"'
			ELSE '$.consent.ads == false || $.properties.value > ' || 100000 + n END)::jsonpath
	FROM generate_series(1, 100) AS n, (VALUES ('plain', ''), ('server', 'strict ')) AS d (name, mode)
SQL
}

# per event: the statement that tracks :n of them, numbered from :from on
sub _loops
{
	my $orders = <<'SQL';
(SELECT n AS id, ' Customer.' || n || '@Example.com ' AS email, '+49 (30) ' || 1000000 + n AS phone, 'c-' || n AS customer,
	12.34 AS total, 'EUR' AS currency, 'sku-1' AS sku, 2 AS quantity FROM generate_series(:from + 1, :from + :n) AS n)
SQL
	my $loop = sub {
		return
		  "DO \$\$ DECLARE o record; BEGIN FOR o IN $orders LOOP $_[0]; END LOOP; END \$\$";
	};

	return (
		'track' => $loop->('PERFORM ' . track_call('o')),
		'by hand' => $loop->(hand_statement('o')),
		'track, 100 consent rules' =>
		  $loop->('PERFORM ' . rules_call('plain rules')),
		'track, 100 consent rules by the server' =>
		  $loop->('PERFORM ' . rules_call('server rules')),
		'track, minimal event' => $loop->('PERFORM ' . minimal_call('o')),
		'minimal by hand' => $loop->(minimal_statement('o')),
		'trigger' => "INSERT INTO shop.tracked SELECT * FROM $orders AS o",
		'trigger by hand' =>
		  "INSERT INTO shop.by_hand SELECT * FROM $orders AS o",
		'hash_identifier em' =>
		  q{SELECT count(pinterest_capi.hash_identifier('em', ' Customer.' || n || '@Example.com ')) FROM generate_series(1, 10 * :n) AS n},
		'hash_identifier ph' =>
		  q{SELECT count(pinterest_capi.hash_identifier('ph', '+49 (30) ' || 1000000 + n)) FROM generate_series(1, 10 * :n) AS n},
		'normalize_identifier ct' =>
		  q{SELECT count(pinterest_capi.normalize_identifier('ct', 'São Paulo ' || n)) FROM generate_series(1, 10 * :n) AS n},
	);
}

sub _filled
{
	my ($loop, $from, $n) = @_;

	return $loop =~ s/:from/$from/gr =~ s/:n/$n/gr;
}

sub _single
{
	my ($dir, $wrapper, @statements) = @_;
	my ($out, $err) = ('', '');
	my $in = join '', map { s/\s+/ /gr . "\n" } @statements;

	# the server exits with 0, whether a statement failed or not
	IPC::Run::run(
		[
			@$wrapper, 'postgres',
			'--single', '-D',
			$dir, '-c',
			'log_min_messages=warning', '-c',
			'exit_on_error=on', '-c',
			'autovacuum=off', 'postgres'
		],
		'<' => \$in,
		'>' => \$out,
		'2>' => \$err);
	die "single-user server: $err\n"
	  if $err =~ /ERROR|FATAL|PANIC/ || ($? >> 8) != 0;
	return $err;
}

# Instructions of each statement: BeginCommand() is called once for each that
# comes from outside, and callgrind writes down what it has counted since the last.
sub _count
{
	my ($dir, $out, @statements) = @_;
	my @count;

	_single(
		$dir,
		[
			'valgrind',
			'--tool=callgrind',
			"--callgrind-out-file=$out/callgrind",
			'--dump-before=BeginCommand'
		],
		@statements,
		'SELECT 1');
	for my $n (2 .. @statements + 1)
	{
		open my $file, '<', "$out/callgrind.$n" or die "callgrind.$n: $!\n";
		my ($totals) = grep { /^(?:totals|summary):/ } <$file>;

		close $file;
		$totals =~ /(\d+)/ or die "callgrind.$n has no totals\n";
		push @count, $1;
	}
	return @count;
}

sub environment
{
	my @uname = uname();
	my ($major) =
	  value('postgres', 'SHOW server_version_num') =~ /^(\d+)\d{4}$/;

	return "$uname[4] PostgreSQL $major"
	  . (
		value('postgres', 'SHOW debug_assertions') eq 'on'
		? ' with assertions'
		: '');
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
	my %loops = _loops();
	my $expected = _expected();
	my %count;

	init_data("$dir/single", 'postgres');
	_single(
		"$dir/single",
		[],
		'CREATE EXTENSION pinterest_capi',
		q{SELECT pinterest_capi.configure_destination('2617998078212', 'pina_TESTONLY_bench', '549755885175')},
		q{SELECT pinterest_capi.allow_event('Checkout')},
		rules_schema(),
		Bench::Workload::hand_schema(),
		Bench::Workload::trigger_schema());

	# keep callgrind's files, one a statement, if the caller asks for them
	my @names = sort keys %loops;
	my @counted = _count(
		"$dir/single",
		$ENV{BENCH_CALLGRIND} // "$dir",
		'BEGIN',
		map({
				my $loop = $_;
				map { _filled($loop, @$_) }[ 0, SHORT ], [ SHORT, SHORT ],
				  [ 2 * SHORT, LONG ]
		} @loops{@names}),
		'ROLLBACK');

	for my $i (0 .. $#names)
	{
		my $name = $names[$i];
		my (undef, $short, $long) = @counted[ 1 + 3 * $i .. 3 + 3 * $i ];
		my $calls = (LONG - SHORT) * ($loops{$name} =~ /10 \* :n/ ? 10 : 1);

		$count{$name} = ($long - $short) / $calls;
	}
	for my $name (sort keys %loops)
	{
		my $other = $reference{$name};

		figure(
			name => "instructions, $name",
			unit => 'a call',
			runs => [ $count{$name} ],
			$other ? (reference => [ $count{$other} ], against => $other) : ()
		);
		next unless $expected->{$name};
		figure(
			name => "instructions, $name, as written down",
			unit => 'a call',
			runs => [ $count{$name} ],
			reference => [ $expected->{$name} ],
			against => 'bench/instructions.json',
			least => TOLERANCE,
			aim => 1);
	}
	return;
}

1;
