# While a destination fails, it and its events say so: also while a request
# that tests whether it still fails is in flight, after a reload and with
# another worker.  An answer ends it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT track clean_log sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('failing', $stub,
	conf => "pinterest_capi.request_timeout = 120s\n");

sub message
{
	return sql('SELECT message FROM pinterest_capi.destination_status');
}
sub reason { return sql_status($node, $_[0], 'reason') }

# an answer that asks to wait, and then a request that hangs
sub probed
{
	my ($id, %answer) = @_;

	$stub->reset;
	$stub->script({%answer}, { hang => JSON::PP::true, times => 0 });
	track($node, $id);
	ok($stub->wait_count(hanging => 1),
		"$id: a request that tests the API is in flight");
	return;
}

for my $case (
	[ unavailable => 503, qr/^HTTP 503/ ],
	[ limited => 429, qr/^HTTP 429/ ])
{
	my ($id, $status, $expected) = @$case;

	probed($id, status => $status);
	like(message(), $expected,
		"$id: meanwhile the destination says why it fails");
	like(reason($id), $expected, 'so does its event');
	track($node, "$id-2");
	like(reason("$id-2"), $expected, 'and one that is tracked now');
	$node->reload;
	like(message(), $expected, 'after a reload');
	my $worker = sql('SELECT pid FROM pinterest_capi.worker_status');
	sql("SELECT pg_terminate_backend($worker)");
	ok( $node->poll_query_until(
			'postgres',
			"SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE pid <> $worker"
		),
		'another worker');
	like(message(), $expected, 'which does not say otherwise');
	$stub->reset;
	$stub->release;
	becomes($node, $_, 'status', 'sent', "$_: sent") for $id, "$id-2";
	ok(poll(sub { message() =~ /^ready/ }), 'then it is ready');
}

# Whatever it says of the events, an answer ends the failure.
$stub->reset;
$stub->script({ status => 503 }, { status => 400, times => 0 });
track($node, 'refused');
becomes($node, 'refused', 'status', 'failed',
	'an event that is refused, after the destination failed');
ok(poll(sub { message() =~ /^ready/ }), 'the destination fails no longer');

# a token that can't be read
$stub->reset;
my $file = "$stub->{dir}/token";
sql("SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', 'file:$file')"
);
track($node, 'token');
ok(poll(sub { message() =~ /access token file cannot be read/ }),
	'a token file that is not there');
my $gaps = 0;
my $until = time() + 4;
ok( poll(
		sub {
			$gaps++
			  unless message()   =~ /access token file/
			  && reason('token') =~ /access token file/;
			time() > $until;
		}),
	'for some attempts');
is($gaps, 0, 'is said all the time');
append_to_file($file, PinterestStub::TOKEN);
becomes($node, 'token', 'status', 'sent', 'and is sent once it is there');
ok(poll(sub { message() =~ /^ready/ }), 'then it is ready');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
