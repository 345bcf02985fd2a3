# A request that the API may have processed is never repeated in silence: the
# attempts equal the deliveries, and a warning says where an outcome is
# unknown.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql sent);
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('repeats', $stub);

sub track
{
	my ($name, $n) = @_;

	sql(qq{SELECT count(pinterest_capi.track('Checkout', jsonb_build_object('value', 1, 'currency', 'USD', 'content_ids',
		(SELECT jsonb_agg(md5(n::text || x)) FROM generate_series(1, 20) AS x)), '{"em": "a\@example.com"}', event_id => '$name-' || n))
		FROM generate_series(1, $n) AS n});
	return;
}

# Return events by how often they have arrived, as rows and as the stub count
# it.
sub by_rows
{
	my ($name) = @_;

	return sql(
		qq{SELECT attempts, coalesce('outcome of an earlier attempt unknown' = ANY (warnings), false), count(*)
		FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$name-%' GROUP BY 1, 2 ORDER BY 1, 2}
	);
}

sub by_server
{
	my %times;

	$times{ $_->{event}{event_id} }++ for $stub->received;
	my %n;
	$n{$_}++ for values %times;
	return join ' ', map { "$_: $n{$_}" } sort keys %n;
}

# a connection is kept, and ends once the server has read the request
for my $version ('2', '1.1')
{
	if ($version eq '1.1')
	{
		$stub->stop;
		$stub->{options} = [ @{ $stub->{options} }, '--http1' ];
		$stub->start('server');
	}
	for my $n (1, 300)
	{
		for my $cut ('after', 'lost')
		{
			my $name = "v$version-$n-$cut";

			track("warm-$name", 1);
			sent($node, "warm-$name", 1,
				"HTTP/$version: a connection is there");
			$stub->reset;
			$stub->script({ cut => $cut });
			track($name, $n);
			sent($node, $name, $n,
				"it ends after a request of $n events was read ($cut): sent");
			is( ($stub->requests)[0]{http_version},
				$version eq '2' ? '2.0' : '1.1',
				"by HTTP/$version");
			is(by_server(), "2: $n", 'the server has had each twice');
			is(by_rows($name), "2|t|$n",
				'and so say the rows, with a warning');
		}
	}

	# repeated, one event at a time
	track("warm-many-$version", 1);
	sent($node, "warm-many-$version", 1,
		"HTTP/$version: a connection is there");
	$stub->reset;
	$stub->script({ times => 3, cut => 'lost' });
	track("v$version-many", 1);
	sent($node, "v$version-many", 1, 'three times in a row: sent');
	is(by_server(), '4: 1', 'the server has had it four times');
	is(by_rows("v$version-many"), '4|t|1', 'and so says the row');
}

# A gateway that got no answer doesn't know the outcome either.
for my $status (502, 504)
{
	$stub->reset;
	$stub->script({ status => $status, body => '<html>' });
	track("gateway-$status", 1);
	sent($node, "gateway-$status", 1, "$status: sent again");
	is(by_rows("gateway-$status"), '2|t|1', 'with a warning');
}

# The server was down before anything could be sent: no attempt, no warning.
track('idle', 1);
sent($node, 'idle', 1, 'a connection is there');
$stub->reset;
$stub->down;
track('down', 1);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT reason LIKE 'no connection%' FROM pinterest_capi.dispatch_status WHERE event_id = 'down-1'}
	),
	'the server is down: no connection');
$stub->up;
sent($node, 'down', 1, 'it is back: sent');
is(by_rows('down'), '1|f|1', 'at the first attempt, without a warning');
is(by_server(), '1: 1', 'and once');

$node->stop;
$stub->stop;
done_testing();
