# Bench/Enqueue.pm
#	  Measure the cost of an event to the session that tracks it.
#
# Events are queued and not sent (pinterest_capi.dispatch is off), each way on
# empty tables:
#	loop		PL/pgSQL: a call for each of many orders, in one transaction; against
#				both references of Bench/Workload.pm
#	statement	one SELECT of track over many orders, against one INSERT ... SELECT
#	trigger		an INSERT of many orders, on a table with track_trigger, with a
#				PL/pgSQL trigger by hand, and with none
#	commits		pgbench, one event a transaction: 1 and 4 sessions,
#				synchronous_commit on and off
package Bench::Enqueue;

use strict;
use warnings;

use Bench;
use Bench::Workload;

my $db = 'bench_enqueue';

sub _loop
{
	my ($body) = @_;

	return
	  "DO \$bench\$ DECLARE o record; BEGIN FOR o IN SELECT * FROM shop.orders LOOP\n$body;\nEND LOOP; END \$bench\$;\n";
}

# Return the microseconds an event.
sub _per_event
{
	my ($rows, $sql, $warm) = @_;

	empty_queues($db);

	my $seconds = timed($db, $sql, $warm);

	return 1e6 * $seconds / $rows;
}

sub _against
{
	my ($name, $runs, %f) = @_;

	figure(
		name => "$name, track",
		unit => 'us/event',
		runs => $runs->{track},
		reference => $runs->{hand},
		against => 'by hand',
		%f);
	figure(
		name => "$name, bare INSERT",
		unit => 'us/event',
		runs => $runs->{bare},
		reference => $runs->{hand},
		against => 'by hand');
	return;
}

sub _triggers
{
	my ($rows) = @_;

	make($db, trigger_schema());

	my $insert = sub {
		my ($table, $warm) = @_;

		psql($db, "TRUNCATE shop.$table");
		return _per_event($rows,
			"INSERT INTO shop.$table SELECT * FROM shop.orders;", <<"SQL");
BEGIN;
INSERT INTO shop.$table SELECT * FROM shop.orders LIMIT 1;
ROLLBACK;
SQL
	};
	my %runs = alternate(
		rounds(5, 3),
		track => sub { return $insert->('tracked') },
		hand => sub { return $insert->('by_hand') },
		bare => sub { return $insert->('bare') });

	_against('trigger', \%runs, least => 0.45, aim => 0.4);
	return;
}

sub _commits
{
	my $order = <<'SQL';
(VALUES (:id::bigint, ' Customer.' || :id || '@Example.com ', '+49 (30) 1234567', 'c-' || :id, 12.34, 'EUR', 'sku-1', 2))
	AS o (id, email, phone, customer, total, currency, sku, quantity)
SQL
	my $next = q{'order-' || nextval('shop.order_number')};
	my %script = (
		track => 'SELECT ' . track_call('o', $next) . " FROM $order;",
		hand => hand_statement('o', $next, "$order, ") . ';',
		bare => q{INSERT INTO hand.plain (payload) VALUES (:id || ' }
		  . 'x' x 480 . q{');},);

	psql($db, 'CREATE SEQUENCE shop.order_number CACHE 100');
	for my $clients (1, 4)
	{
		for my $durable ('on', 'off')
		{
			my $run = sub {
				my ($name) = @_;

				empty_queues($db);
				return 1e6 / pgbench(
					$db,
					"\\set id random(1, 1000000000)\n$script{$name}\n",
					clients => $clients);
			};

			local $ENV{PGOPTIONS} = "-c synchronous_commit=$durable";
			my %runs = alternate(
				rounds(3),
				map {
					my $name = $_;
					($name => sub { return $run->($name) })
				} qw(track hand bare));

			_against(
				"commits, $clients "
				  . ($clients > 1 ? 'sessions' : 'session')
				  . ", synchronous_commit $durable",
				\%runs);
		}
	}
	return;
}

# Measure the event of the minimal reference, in a loop.
sub _minimal
{
	my ($rows) = @_;
	my %loop = (
		track => [ _loop('PERFORM ' . minimal_call('o')), TRACK_WARM ],
		minimal => [ _loop(minimal_statement('o')), HAND_WARM ]);

	empty_queues($db);
	psql($db, $loop{$_}[0]) for sort keys %loop;
	note(same_payloads($db, 'hand.minimal', 'event')
		  . ' payloads of the minimal reference are those of track');

	my %runs = alternate(
		rounds(5, 3),
		map {
			my $l = $loop{$_};
			($_ => sub { return _per_event($rows, @$l) })
		} sort keys %loop);

	figure(
		name => 'loop, track against minimal',
		unit => 'us/event',
		runs => $runs{track},
		reference => $runs{minimal},
		against => 'minimal',
		least => 0.95,
		aim => 0.8);
	return;
}

sub run
{
	my ($stub) = @_;
	my $rows = scaled(100_000, 500);

	$stub->database($db);
	set_conf('pinterest_capi.dispatch' => 'off');
	make_orders($db, $rows);
	make($db, hand_schema());

	# check that both do the same
	psql($db, _loop('PERFORM ' . track_call('o')));
	psql($db, _loop(hand_statement('o')));
	note(same_payloads($db, 'hand.event', 'payload')
		  . ' payloads by hand are those of track');

	my %loop = (
		track => [ _loop('PERFORM ' . track_call('o')), TRACK_WARM ],
		hand => [ _loop(hand_statement('o')), HAND_WARM ],
		bare => [
			_loop(
					q{INSERT INTO hand.plain (payload) VALUES (o.id || '}
				  . 'x' x 480 . q{')}),
			''
		],);
	my %runs = alternate(
		rounds(5, 3),
		map {
			my $l = $loop{$_};
			($_ => sub { return _per_event($rows, @$l) })
		} sort keys %loop);

	_against('loop', \%runs, least => 0.57, aim => 0.5);
	_minimal($rows);

	%runs = alternate(
		rounds(5, 3),
		track => sub {
			return _per_event(
				$rows,
				'SELECT count('
				  . track_call('o')
				  . ') FROM shop.orders AS o;',
				TRACK_WARM);
		},
		hand => sub {
			return _per_event($rows,
				hand_statement('o', undef, 'shop.orders AS o, ') . ';',
				HAND_WARM);
		},
		bare => sub {
			return _per_event($rows,
					q{INSERT INTO hand.plain (payload) SELECT o.id || '}
				  . 'x' x 480
				  . q{' FROM shop.orders AS o;});
		});
	_against('statement', \%runs);

	_triggers($rows);
	_commits();
	set_conf('pinterest_capi.dispatch' => 'on');
	return;
}

1;
