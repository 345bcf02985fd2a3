# A token that is revoked during a stream of events costs no attempt and no
# event, and the worker sends nothing more until an operator acts.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use JSON::PP      ();
use List::Util    qw(max);
use PinterestStub qw(:DEFAULT sql track pauses);
use POSIX         qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new(accounts => ['601']);
my $node = setup_node('token', $stub,
	conf => 'pinterest_capi.max_concurrent_requests = 1');

sub new_token
{
	my ($token) = @_;

	is( sql(sprintf(
				q{SELECT pinterest_capi.configure_destination('%s', '%s')},
				PinterestStub::TAG, $token)),
		'Your destination is configured and ready.',
		'another token is configured');
	return;
}

# Track events in the background, one a transaction, until told to stop.
sub stream
{
	my ($name) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr('postgres'), '-c' => qq{
				DO \$\$
				BEGIN
					FOR n IN 1 .. 100000 LOOP
						PERFORM pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}',
							'{"em": "a\@example.com"}', event_id => '$name-' || n, destination => 'default');
						COMMIT;
						EXIT WHEN EXISTS (SELECT FROM enough);
					END LOOP;
				END\$\$},
			'-c' =>
			  "SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE '$name-%'"
		],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err);

	# Stop it, and return its number of events.
	return sub {
		sql('INSERT INTO enough VALUES (1)');
		$run->finish or die $err;
		sql('TRUNCATE enough');
		return 0 + $out;
	};
}

sql('CREATE TABLE enough (n integer)');
my $token = PinterestStub::TOKEN;

# With one request at a time exactly one is refused, with several those in
# flight.
for my $concurrent (1, 4)
{
	my $name = "stream$concurrent";

	set_conf($node, max_concurrent_requests => $concurrent);
	$stub->reset;
	my $stop = stream($name);
	ok( $stub->wait_count(processed => 20),
		"$concurrent at a time: events are sent");
	my $revoked = "${token}_$concurrent";
	$stub->take_token($revoked);
	pauses($node, 'the token is revoked: the destination is paused');
	my $before = $stub->count;
	my $tracked = sql(q{SELECT max(id) FROM pinterest_capi._event});
	ok( poll(
			sub {
				sql(q{SELECT max(id) FROM pinterest_capi._event}) >
				  $tracked + 100;
			}),
		'events go on coming');
	my $n = $stop->();
	is(sql('SELECT pinterest_capi.flush()'), 't', 'nothing of it is due');
	my $after = $stub->count;
	is($after->{requests}, $before->{requests}, 'no request has followed');

	my @refused = grep { $_->{status} == 401 } $stub->requests;
	cmp_ok(scalar(@refused), '<=', $concurrent,
		scalar(@refused) . ' was refused, no more than were in flight');

	# Any of the requests in flight may be answered first.
	cmp_ok(
		max(map { $_->{number} } $stub->requests),
		'<',
		$refused[0]{number} + $concurrent,
		'after it, none but those in flight');
	is( sql(qq{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$name-%' AND status NOT IN ('sent', 'queued')}
		),
		'0',
		'no event has failed');
	is( sql(qq{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$name-%' AND status = 'queued' AND attempts > 0}
		),
		'0',
		'none has an attempt for it');

	new_token($revoked);
	is(sql('SELECT pinterest_capi.flush()'),
		't', 'which sends the waiting events');
	is( sql(qq{SELECT status, attempts, count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$name-%' GROUP BY 1, 2}
		),
		"sent|1|$n",
		"all $n events were sent, each at its first attempt");
	my $count = $stub->count;
	is($count->{distinct}, $n, 'all of them arrived');
	is($count->{duplicates}, 0, 'none twice');
	$token = $revoked;
}

# A request with the old token is answered after the new token was set.
sql("UPDATE pinterest_capi.destination SET batch_size = 1 WHERE destination = 'default'"
);
$stub->reset;
$stub->script(
	{
		hang => JSON::PP::true,
		status => 401,
		body => { code => 2, message => 'Authentication failed.' }
	},
	{
		status => 401,
		body => { code => 2, message => 'Authentication failed.' }
	});
track($node, 'straggler', destination => 'default');
ok($stub->wait_count(hanging => 1), 'a request hangs');
track($node, 'refused', destination => 'default');
pauses($node, 'another one is refused: paused');
$stub->take_token("${token}_new");
new_token("${token}_new");
becomes($node, 'refused', 'status, attempts', 'sent|1',
	'the new token sends');
$stub->release;
becomes($node, 'straggler', 'status, attempts',
	'sent|1', 'the old one is refused once more: the event goes again');
is( sql(q{SELECT status FROM pinterest_capi.destination_status WHERE destination = 'default'}
	),
	'ready',
	'and the destination is not paused for that');

# A request with the token that is still configured is refused: that pauses
# again.
$stub->reset;
$stub->script({ hang => JSON::PP::true, status => 401 });
track($node, 'resumed', destination => 'default');
ok($stub->wait_count(hanging => 1), 'a request hangs');
sql('SELECT pinterest_capi.pause_destination(); SELECT pinterest_capi.resume_destination()'
);
$stub->release;
pauses($node, 'resumed meanwhile with the same token: paused');
becomes($node, 'resumed', 'status, attempts', 'queued|0', 'the event waits');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'resumed', 'status', 'sent', 'and is sent');

# a destination that is dropped while its request is being refused
$stub->reset;
add_destination($node, $stub, 'shortlived', '601');
sql(sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', '%s', '601', 'shortlived')},
		PinterestStub::TAG, "${token}_new"));
my $offset = -s $node->logfile;
for my $status (401, 503)
{
	$stub->reset;
	$stub->script(
		{ hang => JSON::PP::true, status => $status, account => '601' });
	track($node, "dropped-$status", destination => 'shortlived');
	ok($stub->wait_count(hanging => 1), "$status: a request hangs");
	sql("SELECT pinterest_capi.drop_destination('shortlived')");
	$stub->release;
	ok( $node->poll_query_until(
			'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._lease'),
		'its destination is dropped, the answer is settled');
	is( sql(q{SELECT paused_at IS NULL, failing_since IS NULL, backoff_until IS NULL, last_error IS NULL
			FROM pinterest_capi._destination_state WHERE destination = 'shortlived'}),
		't|t|t|t',
		'and writes nothing for the dropped destination');
	becomes(
		$node, "dropped-$status",
		'status, reason',
		'cancelled|destination dropped',
		'the event is cancelled');
	add_destination($node, $stub, 'shortlived', '601');
	sql(sprintf(
			q{SELECT pinterest_capi.configure_destination('%s', '%s', '601', 'shortlived')},
			PinterestStub::TAG, "${token}_new"));
	track($node, "again-$status", destination => 'shortlived');
	becomes($node, "again-$status", 'status', 'sent',
		'the name is used again and works');
}
unlike(
	slurp_file($node->logfile, $offset),
	qr/"shortlived" is paused/,
	'no session is notified of a pause');

# A token file that is a pipe: opening it would block for ever, and all
# destinations with it.
mkfifo("$stub->{dir}/pipe", oct(600)) or die "mkfifo: $!";
sql(sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', 'file:%s/pipe', '601', 'shortlived')},
		PinterestStub::TAG, $stub->{dir}));
track($node, 'pipe', destination => 'shortlived');
becomes(
	$node,
	'pipe',
	q{status, attempts, reason LIKE '%no regular file%'},
	'queued|0|t',
	'a pipe instead of a token file: the event waits and says why');
track($node, 'beside', destination => 'default');
becomes($node, 'beside', 'status', 'sent', 'others are sent meanwhile');

unlike(slurp_file($node->logfile), qr/\Q$token\E/, 'no token in the log');

$node->stop;
$stub->stop;
done_testing();
