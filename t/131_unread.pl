# Answers are read in whatever encoding they come.  A 2xx answer that can't be
# read may have been a success, so the request is not repeated without end.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql track);
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('unread', $stub,
	conf => "shared_preload_libraries = 'pinterest_capi'\n");

my $outcome =
  q{status, attempts, coalesce('outcome of an earlier attempt unknown' = ANY (warnings), false)};

# ---- answers that can be read ----

for my $version (2, 1)
{
	if ($version == 1)
	{
		$stub->stop;
		$stub->{options} = [ @{ $stub->{options} }, '--http1' ];
		$stub->start('server');
	}
	for my $case (
		[ gzip => 0 ],
		[ deflate => 1 ],
		[ br => 2 ],
		[ 'gzip twice' => 3 ],
		[ identity => 4 ])
	{
		my ($name, $n) = @$case;

		$stub->reset;
		$stub->script({ unkind => 'packed', n => $n });
		track($node, "$version-$n");
		becomes($node, "$version-$n", $outcome, 'sent|1|f',
			"HTTP/$version: $name is read");
		like(($stub->requests)[0]{accept_encoding} // '',
			qr/\bgzip\b/, 'and the request said what it takes')
		  if $n == 0;
	}

	# Headers that aren't the answer's must not make the worker wait for an
	# hour.
	for my $kind ('hinted', 'trailed')
	{
		$stub->reset;
		$stub->script({ unkind => $kind });
		track($node, "$version-$kind");
		becomes($node, "$version-$kind", $outcome, 'sent|1|f',
			"HTTP/$version: $kind, the answer is taken");
		track($node, "$version-$kind-next");
		becomes($node, "$version-$kind-next", $outcome, 'sent|1|f',
			'and the next event does not wait', 20);
	}
}

# ---- answers that can't be read: three times, then an operator must act ----

sub pauses
{
	my ($id, $deliveries, $like, $what) = @_;

	ok( $node->poll_query_until(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status', 'paused'),
		"$what: paused"
	) or diag(sql('SELECT * FROM pinterest_capi.destination_status'));
	like(sql('SELECT message FROM pinterest_capi.destination_status'),
		$like, 'with the reason');
	is($stub->count->{requests}, $deliveries, "after $deliveries requests");
	is( sql_status(
			$node,
			$id,
			'status, attempts, '
			  . q{'outcome of an earlier attempt unknown' = ANY (warnings)}),
		"retrying|$deliveries|t",
		'the event waits, and says that it may have arrived');
	return;
}

sub resumes
{
	my ($id, $attempts) = @_;

	$stub->reset;
	sql('SELECT pinterest_capi.resume_destination()');
	becomes($node, $id, $outcome, "sent|$attempts|t", 'resumed: it is sent');
	return;
}

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN pinterest_capi');
for my $case (
	[
		'a portal',
		{ body => '<html>Welcome to the hotel</html>' },
		qr/HTTP 200 with a body that can't be read, 3 times in a row; the events may have been processed/
	],
	[
		'nothing',
		{ status => 204, body => '' },
		qr/HTTP 204 with a body that can't be read, 3 times/
	],
	[
		'counts that contradict',
		{
			body => {
				num_events_received => 7,
				events => [ { status => 'processed' } ]
			}
		},
		qr/HTTP 200 with entries or counts that don't add up, 3 times/
	],
	[
		'half an answer',
		{ unkind => 'longer', n => 10 },
		qr/no complete answer: .*, 3 times in a row/
	],
	[
		'an encoding that nobody knows',
		{ unkind => 'packed', n => 5 },
		qr/no complete answer: .*, 3 times in a row/
	],
	[
		'what is no gzip',
		{ unkind => 'packed', n => 6 },
		qr/no complete answer: .*, 3 times in a row/
	],
	[
		'far too much',
		{ unkind => 'size', n => 5 * 1024 * 1024 },
		qr/no complete answer: it is longer than any answer should be, 3 times in a row/
	],
	[
		'far too much, packed',
		{ unkind => 'bomb', n => 50 * 1024 * 1024 },
		qr/no complete answer: it is longer than any answer should be, 3 times in a row/
	])
{
	my ($what, $rule, $like) = @$case;
	my $id = $what =~ tr/ /-/r;

	$stub->reset;
	$stub->script({ times => 0, %$rule });
	track($node, $id);
	pauses($id, 3, $like, $what);
	resumes($id, 4);
}
my $heard = $listener->query_safe('SELECT 1');
like(
	$heard,
	qr/"status": ?"paused", ?"message": ?"HTTP 200 with a body that can't be read, 3 times in a row/,
	'NOTIFY tells of it');
$listener->quit;
like(
	sql(q{SELECT advice FROM pinterest_capi.doctor() WHERE "check" = 'connection'}
	) // '',
	qr/^The API took events/,
	'all is well again');

# In a row: an answer that can be read in between resets the count.
$stub->reset;
$stub->script({ times => 2, body => '<html>' },
	{}, { times => 2, body => '<html>' });
track($node, 'first');
becomes($node, 'first', $outcome, 'sent|3|t', 'twice a portal, then the API');
track($node, 'second');
becomes($node, 'second', $outcome, 'sent|3|t', 'and again: not paused');

# Batches in flight together count as one.
sql('UPDATE pinterest_capi.destination SET batch_size = 1');
$stub->reset;
$stub->script({ times => 4, hang => JSON::PP::true, body => '<html>' });
track($node, "round-$_") for 1 .. 4;
ok($stub->wait_count(hanging => 4), 'four requests are in flight at once');
$stub->release;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 4 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'round-%' AND status = 'sent'}
	),
	'all four come back from a portal: sent after that, without a pause');
sql('UPDATE pinterest_capi.destination SET batch_size = DEFAULT');

# A new worker goes on with the count of the one before.
$stub->reset;
$stub->script(
	{ times => 0, body => '<html>', headers => { 'retry-after' => '2' } });
track($node, 'restarted');
becomes($node, 'restarted', 'attempts', 1, 'one more answer from a portal');
$node->restart;
pauses(
	'restarted', 2,
	qr/HTTP 200 with a body that can't be read/,
	'another one after a restart');
resumes('restarted', 3);

$node->stop;
$stub->stop;
done_testing();
