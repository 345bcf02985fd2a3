# Each HTTP status means one thing for the events of a request and for their
# destination.  Events fail only for statuses that concern the events
# themselves.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Utils;
use Test::More;

my @statuses = 200 .. 599;
my @accounts = map { 1000 + $_ } @statuses;
my $stub = PinterestStub->new(accounts => \@accounts);
my $node = setup_node('statuses', $stub);

# docs/design.md, "Answers": the event's status, whether an attempt is counted, a
# warning that it may have been processed, and whether the destination is paused
my %kinds = (
	unread => 'retrying|t|t|',
	pause => 'queued|f|f|paused',
	failed => 'failed|t|f|',
	retry => 'retrying|t|f|',
	unknown => 'retrying|t|t|',
	throttled => 'queued|f|f|');
my %special = (
	400 => 'failed',
	413 => 'failed',
	422 => 'failed',
	408 => 'retry',
	421 => 'retry',
	425 => 'retry',
	429 => 'throttled',
	499 => 'unknown',
	502 => 'unknown',
	504 => 'unknown',
	520 => 'unknown',
	524 => 'unknown',
	598 => 'unknown',
	511 => 'pause');

sub kind
{
	my ($status) = @_;

	return $special{$status}
	  // ($status < 300 ? 'unread' : $status < 500 ? 'pause' : 'retry');
}

# Each case has a destination of its own, and the same answer to all its
# requests.
sql(join ';',
	map {
		sprintf q{
	INSERT INTO pinterest_capi.destination (destination, tag_id, ad_account_id, api_url) VALUES ('s%1$s', '%2$s', '1%1$s', '%4$s');
	SELECT pinterest_capi.configure_destination('%2$s', '%3$s', '1%1$s', 's%1$s');
	SELECT pinterest_capi.allow_event('checkout', destination => 's%1$s')},
		  $_, PinterestStub::TAG, PinterestStub::TOKEN, $stub->url
	} @statuses);
$stub->script(
	map {
		+{
			account => 1000 + $_ . '',
			times => 0,
			status => $_,
			body => $_ == 204
			  || $_ == 205
			  || $_ == 304 ? '' : { code => 7, message => "So it is ($_)." }
		}
	} @statuses);
sql(join ';',
	map {
		qq{
	SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
		event_id => 'event-$_', destination => 's$_')}
	} @statuses);
ok( $node->poll_query_until(
		'postgres', q{
	SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'event-%' AND status = 'queued'
		AND coalesce(reason, '') !~ '^(destination paused: HTTP|HTTP 429)'}),
	'all were answered');

my %row = map { /^(\d+)\|(.*)$/ } split /\n/, sql(
	q{
	SELECT substr(s.destination, 2), s.status, s.attempts > 0,
		coalesce('outcome of an earlier attempt unknown' = ANY (s.warnings), false),
		CASE WHEN d.status = 'paused' AND d.message NOT LIKE '%times in a row%' THEN 'paused' END
	FROM pinterest_capi.dispatch_status AS s JOIN pinterest_capi.destination_status AS d USING (destination)
	WHERE s.event_id LIKE 'event-%'});
my %of_kind;
for my $status (@statuses)
{
	my $kind = kind($status);

	push @{ $of_kind{$kind} }, $status;
	is($row{$status}, $kinds{$kind}, "$status: $kind") if $special{$status};
}
for my $kind (sort keys %of_kind)
{
	my @other =
	  grep { ($row{$_} // '') ne $kinds{$kind} } @{ $of_kind{$kind} };

	is(join(' ', map { "$_: $row{$_}" } @other),
		'', "$kind: " . scalar(@{ $of_kind{$kind} }) . ' statuses');
}
is( sql(q{SELECT message FROM pinterest_capi.destination_status WHERE destination = 's406'}
	),
	'destination paused: HTTP 406: So it is (406). (code 7); events go to '
	  . $stub->url
	  . ', not to Pinterest',
	'a pause says why');
sql(q{SELECT pinterest_capi.drop_destination(destination) FROM pinterest_capi.destination WHERE destination <> 'default'}
);

# ---- a whole batch ----

sub track_batch
{
	my ($name, $n) = @_;

	sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
			event_id => '$name-' || n)) FROM generate_series(1, $n) AS n});
	return;
}

sub outcomes
{
	my ($name) = @_;

	return sql(
		qq{SELECT status, attempts, count(*) FROM pinterest_capi.dispatch_status
		WHERE event_id LIKE '$name-%' GROUP BY 1, 2 ORDER BY 1, 2});
}

sub paused
{
	my ($like, $what) = @_;

	ok( $node->poll_query_until(
			'postgres',
			q{SELECT status FROM pinterest_capi.destination_status}, 'paused'
		),
		"$what: paused");
	like(sql('SELECT message FROM pinterest_capi.destination_status'),
		$like, 'and says why');
	return;
}

sub resumes
{
	my ($name, $n) = @_;

	$stub->reset;
	sql('SELECT pinterest_capi.resume_destination()');
	ok( $node->poll_query_until(
			'postgres', qq{
		SELECT count(*) = $n FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$name-%' AND status = 'sent'}
		),
		'resumed: all are sent');
	is($stub->count->{duplicates}, 0, 'once each');
	return;
}

# A firewall's answer to all requests makes no event fail.
$stub->reset;
$stub->script(
	{ times => 0, status => 406, body => '<html>Not acceptable</html>' });
track_batch('firewall', 1000);
paused(
	qr/HTTP 406 in other words than the API's, as of a proxy or a firewall/,
	'406 for 1000 events');
is(outcomes('firewall'), 'queued|0|1000', 'all wait, without an attempt');
is($stub->count->{requests}, 1, 'after one request');
my ($check) = grep { /^connection\|/ } split /\n/,
  sql(q{SELECT "check", status, advice FROM pinterest_capi.doctor()});
like(
	$check // '',
	qr/^connection\|error\|.*firewall.*resume_destination/,
	'doctor() says what to do'
) or diag(sql('SELECT * FROM pinterest_capi.doctor()'));
resumes('firewall', 1000);

# the same with a status that concerns events
for my $status (400, 413, 422)
{
	$stub->reset;
	$stub->script(
		{
			times => 0,
			status => $status,
			body => '<html>Request blocked</html>'
		});
	track_batch("blocked$status", 200);
	paused(
		qr/HTTP $status in other words than the API's, as of a proxy or a firewall, 10 times in a row/,
		"a firewall's $status for 200 events");
	is( sql("SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'blocked$status-%' AND finished_at IS NOT NULL"
		),
		'0',
		'none has failed');
	cmp_ok($stub->count->{requests},
		'<=', 10 + 3,
		'after ten requests, and those in flight beside the tenth');
	resumes("blocked$status", 200);
}

# one event at a time
$stub->reset;
$stub->script({ times => 0, status => 400, body => '' });
track_batch('alone', 1);
becomes($node, 'alone-1', q{status, attempts > 1},
	'retrying|t', '400 without a word, for one event: tried again');
resumes('alone', 1);

# A firewall that refuses one event: that event is found, and fails.
$stub->reset;
$stub->script(
	{
		times => 0,
		refuse => ['offending-77'],
		page => '<html>Request blocked</html>'
	});
track_batch('offending', 100);
becomes(
	$node,
	'offending-77',
	'status, error',
	q{failed|HTTP 400 in other words than the API's, as of a proxy or a firewall},
	'a firewall blocks one event: it failed');
is(outcomes('offending') =~ s/failed\|\d+/failed|n/r,
	"failed|n|1\nsent|1|99", 'the others are sent');
is(sql('SELECT status FROM pinterest_capi.destination_status'),
	'ready', 'and the destination goes on');

# ---- 421: on a new connection ----

for my $version (2, 1)
{
	if ($version == 1)
	{
		$stub->stop;
		$stub->{options} = [ @{ $stub->{options} }, '--http1' ];
		$stub->start('server');
	}
	$stub->reset;
	track_batch("warm$version", 1);
	resumes("warm$version", 1);
	$stub->script({ status => 421, body => 'Misdirected Request' });
	track_batch("misdirected$version", 10);
	ok( $node->poll_query_until(
			'postgres', qq{
		SELECT count(*) = 10 FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'misdirected$version-%' AND status = 'sent'}
		),
		"HTTP/$version: 421, all are sent");
	is(outcomes("misdirected$version"), 'sent|1|10',
		'at their first attempt');
	cmp_ok($stub->count->{connections}, '>=', 1, 'on another connection');
	is($stub->count->{duplicates}, 0, 'once each');
	track_batch("after$version", 1);
	resumes("after$version", 1);
}

$node->stop;
$stub->stop;
done_testing();
