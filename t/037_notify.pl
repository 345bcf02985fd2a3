# A session that listens on the channel pinterest_capi is told once when a
# destination is paused and once when it is ready again, when that is
# committed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql track);
use Test::More;

my $stub = PinterestStub->new(accounts => ['601']);
my $node = setup_node('notify', $stub);
my $listener = $node->background_psql('postgres');
my $heard = '';

$listener->query_safe('LISTEN pinterest_capi');

# Wait for at least this many notifications; return all so far.
sub told
{
	my ($least) = @_;
	my @told;

	ok( poll(
			sub {
				$heard .= $listener->query_safe('SELECT 1');
				@told = map { JSON::PP::decode_json($_) }
				  $heard =~ /with payload "(\{.*?\})" received/g;
				return @told >= $least;
			}),
		"$least notifications") or diag($heard);
	return @told;
}

sub in_words
{
	return [ map { "$_->{destination}: $_->{status}" } @_ ];
}

# ---- by an operator ----

sql('SELECT pinterest_capi.pause_destination(); SELECT pinterest_capi.pause_destination()'
);
sql('SELECT pinterest_capi.resume_destination(); SELECT pinterest_capi.resume_destination()'
);
my @told = told(2);
is_deeply(
	in_words(@told),
	[ 'default: paused', 'default: ready' ],
	'a pause and its end, once each');
is($told[0]{message}, 'by pause_destination', 'with who did it');
$heard = '';

# ---- by an answer ----

add_destination($node, $stub, 'the "other" one', '601');
$stub->script(
	map {
		+{
			status => 401,
			account => $_,
			body => {
				code => 2,
				message => "Say \"please\",\n\x{e4}h, pina_secret?"
			}
		}
	} PinterestStub::ACCOUNT,
	'601');
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'both', destination => destination)
	FROM pinterest_capi.destination});
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 2 FROM pinterest_capi.destination_status WHERE status = 'paused'}
	),
	'401: both destinations are paused');
@told = sort { $a->{destination} cmp $b->{destination} } told(2);
is_deeply(
	in_words(@told),
	[ 'default: paused', 'the "other" one: paused' ],
	'listeners are told of each, in JSON');
like(
	$told[0]{message},
	qr/^HTTP 401: Say "please", .*h, pina_secret\? \(code 2\)$/,
	'with the API\'s message');
is_deeply(
	[ sort keys %{ $told[0] } ],
	[qw(destination message status)],
	'and nothing else');
$heard = '';
sql(sprintf
	  q{SELECT pinterest_capi.resume_destination(); SELECT pinterest_capi.configure_destination('1', '%s', '601', 'the "other" one')},
	PinterestStub::TOKEN);
is_deeply(
	in_words(told(2)),
	[ 'default: ready', 'the "other" one: ready' ],
	'and when they are ready again, by either way');
ok($stub->wait_count(processed => 2), 'the waiting events are sent');
is(sql('SELECT pinterest_capi.flush()'), 't', 'all of it');
sql(q{SELECT pinterest_capi.drop_destination('the "other" one')});
$heard = '';

# ---- no notification ----

# A backoff ends by itself.  The notification after it shows that none came
# before.
$stub->reset;
$stub->script({ status => 503 });
track($node, 'busy');
becomes($node, 'busy', 'status, attempts', 'sent|2', 'a 503, and a success');
sql('BEGIN; SELECT pinterest_capi.pause_destination(); ROLLBACK');
sql('SELECT pinterest_capi.pause_destination()');
is_deeply(in_words(told(1)), ['default: paused'],
	'neither a backoff is told nor a pause that is rolled back');

$listener->quit;
$node->stop;
$stub->stop;
done_testing();
