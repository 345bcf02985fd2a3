# The stub of Pinterest's API, which the other tests rely on, accepts and
# refuses what the API accepts and refuses, and counts requests and events
# right.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP ();
use PinterestStub;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $hash = sha256_hex('jane.doe@example.com');
my $url = $stub->url . '/ad_accounts/' . PinterestStub::ACCOUNT . '/events';
my @head = (
	'-H' => 'Authorization: Bearer ' . PinterestStub::TOKEN,
	'-H' => 'Content-Type: application/json');

sub event
{
	my (%change) = @_;
	my $without = delete $change{without};
	my %event = (
		event_name => 'checkout',
		action_source => 'web',
		event_time => 1767225600,
		event_id => 'order-1',
		user_data => { em => [$hash] },
		%change);

	delete $event{$without} if defined $without;
	return \%event;
}

sub post
{
	my ($body, @options) = @_;
	my $file = $stub->{dir} . '/body';

	open my $out, '>', $file or die "$file: $!";
	print $out ref $body ? JSON::PP::encode_json($body) : $body;
	close $out;

	my ($status, $answer, $version) =
	  $stub->curl(@head, '--data-binary', "\@$file", @options, $url);
	my $decoded = eval { JSON::PP::decode_json($answer) };

	return ($status, $decoded, $version, $answer);
}

sub refused
{
	my ($body, $message, $name) = @_;
	my ($status, $answer) = post($body);

	is($status, 400, "$name: refused");
	like($answer->{message} // '', $message, "$name: says why");
	return;
}

# valid requests
my ($status, $answer, $version) = post({ data => [ event() ] });
is($status, 200, 'a right request');
is($version, '2', 'by HTTP/2');
is($answer->{num_events_processed}, 1, 'processed');
like(
	$answer->{events}[0]{warning_message},
	qr/external_id is missing.*click_id is missing/,
	'with warnings');
(undef, undef, $version) = post({ data => [ event() ] }, '--http1.1');
is($version, '1.1', 'and by HTTP/1.1');
is($stub->count->{duplicates}, 1, 'a repeated event is noticed');
is(($stub->received('order-1'))[1]{seen_before}, JSON::PP::true,
	'and marked');
is_deeply($stub->count->{lapses}, [], 'nothing careless in it');

my @full = (
	event(
		user_data => {
			client_ip_address => '203.0.113.9',
			client_user_agent => 'x',
			click_id => 'abc'
		},
		custom_data => {
			value => '72.39',
			currency => 'USD',
			num_items => 2,
			content_ids => ['a'],
			contents => [ { id => 'a', item_price => '1.50', quantity => 2 } ]
		},
		app_info => { app_id => '1', window_width => 10 },
		device_info => { os_family => 'ios', languages => ['en'] },
		opt_out => JSON::PP::false,
		language => 'en'));
($status) = post({ data => \@full });
is($status, 200, 'all kinds of fields');
($status) = post({ data => [ map { event(event_id => "n$_") } 1 .. 1000 ] });
is($status, 200, 'a thousand events');

# invalid requests, each with one fault
refused('{"data":', qr/not JSON/, 'broken JSON');
refused("{\"data\":[\"\xff\"]}", qr/UTF-8/, 'broken UTF-8');
refused('[]', qr/not of type 'object'/, 'an array');
refused({}, qr/'data' is a required property/, 'no data');
refused({ data => [] }, qr/too short/, 'no event');
refused({ data => [ map { event() } 1 .. 1001 ] },
	qr/too long/, '1001 events');
refused(
	{ data => [ event() ], x => 1 },
	qr/'x' was unexpected/,
	'an unknown key beside data');

for my $key (qw(event_name action_source event_time event_id user_data))
{
	refused(
		{ data => [ event(without => $key) ] },
		qr/'$key' is a required property/,
		"no $key");
}
refused(
	{ data => [ event(event_time => '1767225600') ] },
	qr/not of type 'integer'/,
	'a time as text');
refused(
	{ data => [ event(event_name => undef) ] },
	qr/null is not of type 'string'/,
	'null for a name');
refused(
	{ data => [ event(category_name => 'x') ] },
	qr/'category_name' was unexpected/,
	'an unknown key');
refused(
	{ data => [ event(custom_data => { x => 1, y => 2 }) ] },
	qr/'x', 'y' were|'y', 'x' were/,
	'unknown custom data');
refused(
	{ data => [ event(custom_data => { value => 72.39 }) ] },
	qr/not of type 'string'/,
	'a value as number');
refused(
	{ data => [ event(custom_data => { num_items => '2' }) ] },
	qr/not of type 'integer'/,
	'a count as text');
refused(
	{ data => [ event(custom_data => { contents => [ { sku => 'x' } ] }) ] },
	qr/'sku' was unexpected/,
	'an unknown key of a line');
refused(
	{ data => [ event(user_data => { em => $hash }) ] },
	qr/not of type 'array'/,
	'em as text');
refused(
	{ data => [ event(user_data => { click_id => 'abc' }) ] },
	qr/not valid under any/,
	'a click id alone');
refused(
	{
		data => [ event(user_data => { client_ip_address => '203.0.113.9' }) ]
	},
	qr/not valid under any/,
	'an IP alone');
refused(
	{ data => [ event(device_info => { os_family => 'beos' }) ] },
	qr/is not one of/,
	'an unknown system');
refused({ data => [ event(app_info => { app_id => 'x' x 201 }) ] },
	qr/too long/, 'a long id');
refused(
	{ data => [ event(device_info => { battery_level => 101 }) ] },
	qr/greater than the maximum/,
	'too much battery');
refused(
	{ data => [ event(), event(event_id => 7) ] },
	qr/7 is not of type/,
	'one wrong event refuses all');
is(scalar(grep { $_->{verdict} ne 'none' } $stub->received),
	1003, 'no event of a refused request was processed');

# request line and headers
sub answered
{
	my ($expected, $code, $name, @curl) = @_;
	my ($got, $body) = $stub->curl(@curl);

	is($got, $expected, $name);
	is(eval { JSON::PP::decode_json($body)->{code} }, $code, "$name: code");
	return;
}
my @json = ('-d', '{}', '-H', 'Content-Type: application/json');
answered(401, 2, 'no token', @json, $url);
answered(401, 2, 'a wrong token',
	@json, '-H', 'Authorization: Bearer wrong', $url);
answered(403, 29, 'another account',
	@head, '-d', '{}', $stub->url . '/ad_accounts/123/events');
answered(400, 4196, 'an account that is no number',
	@head, '-d', '{}', $stub->url . '/ad_accounts/abc/events');
answered(404, 2, 'another path', @head, '-d', '{}',
	$stub->url . '/ad_accounts');
answered(405, 2, 'GET', @head, $url);
answered(415, 4196, 'another content type',
	$head[0], $head[1], '-d', '{}', $url);
answered(400, 4196, 'an unknown query parameter',
	@head, '-d', '{}', "$url?is_test=true");

# test mode
$stub->reset;
$url .= '?test=true';
(undef, $answer) =
  post({ data => [ map { event(event_id => "t$_") } 1 .. 21 ] });
is($answer->{num_events_processed}, 20, 'a test request: no more than 20');
is($stub->count->{processed}, 0, 'and they count for nothing');
$url =~ s/\?.*//;

# events that the API accepts, and the stub counts as lapses
$stub->reset;
post(
	{
		data => [
			event(
				event_name => 'order_placed',
				language => undef,
				event_source_url =>
				  'https://shop.example/?mail=jane@example.com',
				user_data => { em => ['jane.doe'], ph => [], em_ail => 'x' },
				custom_data => { value => '1e3', currency => 'usd' })
		]
	});
is_deeply(
	[ sort @{ $stub->count->{lapses} } ],
	[
		'custom_data.currency is no currency code',
		'custom_data.value is no decimal number',
		'event.event_source_url looks like an e-mail address',
		'event.language is null',
		'event.user_data.ph is an empty array',
		'event_name is none of the standard ones',
		'user_data.em is not hashed',
		'user_data.em_ail is unknown',
	],
	'careless events are noticed');

# scripts
$stub->reset;
$stub->script(
	{
		status => 429,
		headers => { 'Retry-After' => '7' },
		body => { code => 8, message => 'slow' }
	},
	{ cut => 'before' },
	{ cut => 'after' },
	{ cut => 'lost' },
	{ garbage => 1 },
	{ fail => { 'order-1' => 'no such thing' } },
	{ refuse => ['order-1'] },
	{ messages => 'omit' },
	{ messages => 'null' },
	{
		body => {
			num_events_received => 1,
			num_events_processed => 1,
			events => []
		}
	});
($status, $answer) = post({ data => [ event() ] });
is("$status $answer->{message}", '429 slow', 'a scripted status and body');
for my $cut (1 .. 3)
{
	($status) = post({ data => [ event() ] });
	is($status, '000', 'a cut connection');
}
is( join(' ', map { $_->{verdict} } $stub->received),
	'none none processed',
	'cut: before the body, after it, and the answer alone');
($status, $answer) = post({ data => [ event() ] });
ok($status == 200 && !defined $answer, 'garbage');
(undef, $answer) =
  post({ data => [ event(), event(event_id => 'order-2') ] });
is( $answer->{events}[0]{error_message},
	'no such thing',
	'a failure of one event');
is($answer->{num_events_processed}, 1, 'and of one alone');
($status) = post({ data => [ event(event_id => 'order-2'), event() ] });
is($status, 400, 'a batch refused because of one');
(undef, $answer) = post({ data => [ event() ] });
ok(!exists $answer->{events}[0]{error_message}, 'no message at all');
(undef, $answer) = post({ data => [ event() ] });
ok( exists $answer->{events}[0]{error_message}
	  && !defined $answer->{events}[0]{error_message},
	'null as message');
(undef, $answer) = post({ data => [ event() ] });
is_deeply($answer->{events}, [], 'an answer that does not add up');
($status) = post({ data => [ event() ] });
is($status, 200, 'after the script: the ordinary answer');
ok( !eval { $stub->script({ stauts => 500 }); 1 },
	'a script with a misspelt key is refused');
ok( !eval { $stub->script({ unkind => 'rude' }); 1 },
	'and one with an unkindness that there is not');

$stub->reset;
$stub->script(
	{ account => '123', status => 500 },
	{ refuse => ['order-1'], refusal => 422 });
($status) = post({ data => [ event() ] });
is($status, 422,
	'a rule of another account is left for that one; a refusal with another status'
);
$stub->take_token('pina_next');
($status) = post({ data => [ event() ] });
is($status, 401, 'another token is taken: the old one is refused');
$stub->take_token(PinterestStub::TOKEN);

# answers that break HTTP's rules, as curl reports them
my $text = '"num_events_received":1';
for my $case (

	# kind, n, options; status, pattern of the body, curl's complaint
	[ size => 60_000, [], 200, qr/^ {60000}$/, qr/^$/ ],
	[
		escapes => 1000,
		[], 200, qr/^\{"message":"(\\u0041){100,}"\}$/, qr/^$/
	],
	[
		entries => 1000,
		[], 200, qr/^\{"events":\[\{\}(,\{"a":1\}){100,}\]\}$/, qr/^$/
	],
	[ trickle => 1, [], 200, qr/$text/, qr/^$/ ],
	[
		trickle => 1000,
		[ '--max-time' => 2 ], 200, qr/^.{1,5}$/, qr/timed out/
	],
	[ bomb => 60_000, ['--compressed'], 200, qr/^ {60000}$/, qr/^$/ ],
	[ flood => 30, ['--http1.1'], 200, qr/$text/, qr/^$/ ],
	[ early => 3, [], 200, qr/$text/, qr/^$/ ],
	[ early => 3, ['--http1.1'], 200, qr/$text/, qr/^$/ ],
	[
		longer => 1,
		['--http1.1'], 200, qr/$text/, qr/bytes (?:remaining|missing)/
	],
	[ shorter => 1, ['--http1.1'], 200, qr/$text[^}]*\}\]$/, qr/^$/ ],
	[ raw => 0, ['--http1.1'], '000', qr/^/, qr/HTTP/ ],
	[ reset => 2, [], '000', qr/^$/, qr/HTTP\/2 stream/ ],
	[ goaway => 11, [], '000', qr/^$/, qr/./ ],
	[ leaving => 0, [], 200, qr/$text/, qr/^$/ ])
{
	my ($kind, $n, $options, $expected, $like, $complains) = @$case;

	$stub->reset;
	$stub->script({ unkind => $kind, n => $n });
	my ($got, $body, undef, $err) =
	  $stub->curl(@head, '--data-binary', "\@$stub->{dir}/body", @$options,
		$url);
	is($got, $expected, "$kind $n @$options: status");
	like($body, $like, "$kind $n: body");
	like($err, $complains, "$kind $n: what curl says");
}

# a request that hangs, and a stub that is stopped
$stub->reset;
$stub->script({ hang => JSON::PP::true });
my ($out, $err) = ('', '');
my $hanging = IPC::Run::start(
	[
		'curl', '-sS', '--max-time', '60', '--cacert', $stub->ca_file, @head,
		'-d', JSON::PP::encode_json({ data => [ event() ] }), $url
	],
	'<' => \undef,
	'>' => \$out,
	'2>' => \$err);
ok($stub->wait_count(hanging => 1), 'a request hangs');
is($stub->count->{processed}, 0, 'not processed meanwhile');
$stub->release;
$hanging->finish;
like($out, qr/"num_events_processed":1/, 'and goes on when released');
$stub->down;
($status) = post({ data => [ event() ] });
is($status, '000', 'no server listens');
$stub->up;
($status) = post({ data => [ event() ] });
is($status, 200, 'and there again');

# certificates
my (undef, undef, undef, $why) =
  $stub->curl(@head, '-d', '{}', '--cacert', "$stub->{dir}/stranger-ca.pem",
	$url);
like($why, qr/certificate/, 'an unknown authority');
$stub->stop;
$stub->start('other');
(undef, undef, undef, $why) = $stub->curl(@head, '-d', '{}', $url);
like($why, qr/name|certificate/, 'a certificate for another host');
is($stub->count->{requests}, 0, 'and no request came of it');
$stub->stop;

# old servers
$stub->{options} = [ '--http1', '--account' => '123' ];
$stub->start('server');
(undef, undef, $version) = post({ data => [ event() ] });
is($version, '1.1', 'HTTP/1.1 alone');
($status) = $stub->curl(@head, '--data-binary', "\@$stub->{dir}/body",
	$stub->url . '/ad_accounts/123/events');
is($status, 200, 'a second account');

# the README's stand-in, when a stub is running already
my $said = '';
IPC::Run::run(
	[ "$FindBin::RealBin/../demo/stub", $stub->{port} ],
	'>' => \my $ignored,
	'2>' => \$said,
	IPC::Run::timeout(60));
isnt($?, 0, 'a port that is in use ends it');
is( $said,
	"Port $stub->{port} of this machine is in use: another stand-in may be running. End it, or name another port.\n",
	'with a sentence');
$stub->stop;

done_testing();
