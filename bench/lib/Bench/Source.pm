# Bench/Source.pm
#	  Measure the cost of an event to a session of a source, where the extension
#	  can't be installed, against the extension's.
#
# One server with wal_level = logical has both, a database each.  Nothing
# subscribes, and the extension sends nothing.
#	track		PL/pgSQL: a call of track for each of many orders, in one transaction
#	trigger		an INSERT of many orders, on a table with track_trigger
# All are compared with the extension's track in the same round.
package Bench::Source;

use strict;
use warnings;

use Bench;
use Bench::Workload;

my $of_extension = 'bench_extension';
my $of_source = 'bench_source';

sub _make
{
	my ($rows) = @_;

	fresh_database($_) for $of_extension, $of_source;
	psql(
		$of_extension, q{
		CREATE EXTENSION pinterest_capi;
		INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
		SELECT pinterest_capi.allow_event('Checkout')});
	psql($of_source,
		"SET client_min_messages = warning;\n\\i $Bench::top/sources/pinterest_capi_source.sql"
	);
	for my $database ($of_extension, $of_source)
	{
		make_orders($database, $rows);
		psql($database, <<'SQL');
CREATE TABLE shop.tracked (LIKE shop.orders INCLUDING ALL);
CREATE TRIGGER t AFTER INSERT ON shop.tracked FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Checkout', 'email=email', 'phone=phone', 'external_id=customer',
		'value=total', 'currency=currency', 'order_id=id', 'product_id=sku', 'quantity=quantity', 'event_id=id');
SQL
	}
	return;
}

# Return the microseconds an event.
sub _per_event
{
	my ($database, $rows, $sql, $warm) = @_;

	psql($database, 'TRUNCATE shop.tracked');
	if ($database eq $of_extension) { empty_queues($database) }
	else { psql($database, 'TRUNCATE pinterest_capi._call; CHECKPOINT') }
	return 1e6 * timed($database, $sql, $warm) / $rows;
}

sub run
{
	my $rows = scaled(100_000, 500);
	my $server = new_server('source', 'pinterest_capi.dispatch = off');
	my %way = (
		track => [
			"DO \$bench\$ DECLARE o record; BEGIN FOR o IN SELECT * FROM shop.orders LOOP\nPERFORM "
			  . track_call('o')
			  . ";\nEND LOOP; END \$bench\$;\n",
			TRACK_WARM
		],
		trigger => [
			"INSERT INTO shop.tracked SELECT * FROM shop.orders;\n",
			"BEGIN;\nINSERT INTO shop.tracked SELECT * FROM shop.orders LIMIT 1;\nROLLBACK;\n"
		]);
	my @measures;

	for my $name (sort keys %way)
	{
		for my $database ($of_extension, $of_source)
		{
			push @measures, "$database $name" =>
			  sub { return _per_event($database, $rows, @{ $way{$name} }) };
		}
	}

	my $ok = eval {
		at_server(
			$server,
			sub {
				_make($rows);
				my %runs = alternate(rounds(5), @measures);

				for my $name (sort keys %way)
				{
					figure(
						name => "source, $name",
						unit => 'us/event',
						runs => $runs{"$of_source $name"},
						reference => $runs{"$of_extension track"},
						against => "the extension's track",
						least => 3,
						aim => $name eq 'track' ? 2 : 2.5);
				}
				figure(
					name => "extension, trigger",
					unit => 'us/event',
					runs => $runs{"$of_extension trigger"},
					reference => $runs{"$of_extension track"},
					against => "the extension's track");
			});
		1;
	};
	my $error = $@;

	stop_servers();
	die $error unless $ok;
	return;
}

1;
