# Requests use the configured proxy and TLS 1.2 or later, go to the API alone,
# and end at their timeout.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Socket::INET;
use IPC::Run      ();
use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql track);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $stub = PinterestStub->new;

# The server's environment names proxies, which must have no effect.
my $node = do
{
	local @ENV{qw(https_proxy ALL_PROXY no_proxy NO_PROXY)} =
	  ('http://127.0.0.1:1', 'http://127.0.0.1:1', 'localhost', 'localhost');
	setup_node('egress', $stub);
};
my $accepted = qr/^Pinterest accepted the test event\b/;

sub verify { return sql('SELECT pinterest_capi.verify_destination()') }

# Start a proxy; {seen} returns the requests that it got.
sub start_proxy
{
	my (@options) = @_;
	my $proxy = { stdin => '', stdout => '', stderr => '' };

	$proxy->{process} = IPC::Run::start(
		[
			'node', "$FindBin::RealBin/../test/stub/proxy.js",
			'--until-eof', @options
		],
		'<' => \$proxy->{stdin},
		'>' => \$proxy->{stdout},
		'2>' => \$proxy->{stderr},
		IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
	$proxy->{process}->pump
	  until $proxy->{stdout} =~ /\n/ || !$proxy->{process}->pumpable;
	$proxy->{url} =
	  'http://127.0.0.1:' . JSON::PP::decode_json($proxy->{stdout})->{port};
	$proxy->{seen} = sub {
		$proxy->{process}->pump_nb;
		my (undef, @lines) = split /\n/, $proxy->{stdout};
		return map { JSON::PP::decode_json($_) } @lines;
	};
	return $proxy;
}
sub stop_proxy { $_[0]{process}->kill_kill(grace => 5); return }

# ---- proxy ----

track($node, 'direct');
becomes($node, 'direct', 'status', 'sent',
	'without a proxy, whatever the environment says');

# An idle connection from before the setting must not be used past the proxy.
my $proxy = start_proxy();
set_conf($node, proxy => $proxy->{url});
$stub->reset;
track($node, 'proxied');
becomes($node, 'proxied', 'status, attempts', 'sent|1', 'through a proxy');
my @seen = $proxy->{seen}->();
is(scalar(@seen), 1, 'which was asked once') or diag(explain(\@seen));
is( "$seen[0]{method} $seen[0]{target}",
	"CONNECT localhost:$stub->{port}",
	'by CONNECT, for the API\'s host');
ok(!$seen[0]{authorized}, 'and has not seen the token');
is(($stub->requests)[0]{http_version},
	'2.0', 'HTTP/2 goes through the tunnel');
track($node, 'proxied-too');
becomes($node, 'proxied-too', 'status', 'sent', 'another event');
is(scalar($proxy->{seen}->()), 1, 'goes through the same tunnel');

# Plain HTTP to this machine uses a tunnel too, so that the proxy doesn't see
# the token.
sql("UPDATE pinterest_capi.destination SET api_url = 'http://localhost:$stub->{control_port}/v5'"
);
verify();
@seen = $proxy->{seen}->();
is( "$seen[-1]{method} "
	  . ($seen[-1]{authorized} ? 'with' : 'without')
	  . ' the token',
	'CONNECT without the token',
	'http is tunnelled as well');
sql("UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'");

# TLS ends at the API, not at the proxy
$stub->stop;
$stub->start('other');
track($node, 'intercepted');
ok( $node->poll_query_until(
		'postgres', 'SELECT status FROM pinterest_capi.destination_status',
		'paused'),
	'another certificate behind the proxy: paused');
like(sql('SELECT message FROM pinterest_capi.destination_status'),
	qr/certificate/, 'for its certificate');
is($stub->count->{requests}, 0, 'and nothing was sent');
$stub->stop;
$stub->start('server');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'intercepted', 'status, attempts',
	'sent|1', 'resumed: it is sent');

# A proxy that refuses: its Retry-After is not the API's.
stop_proxy($proxy);
for my $status (407, 502, 403, 429)
{
	$proxy = start_proxy('--status' => $status);
	set_conf($node, proxy => $proxy->{url});
	track($node, "proxy-$status");
	becomes(
		$node,
		"proxy-$status",
		"status, attempts, reason LIKE 'no connection%$status%'",
		'queued|0|t',
		"a proxy that answers $status: no connection");
	is( sql(q{SELECT backoff_until < now() + interval '10 minutes' FROM pinterest_capi._destination_state WHERE destination = 'default'}
		),
		't',
		'and no hour of waiting');
	sql("SELECT pinterest_capi.cancel('proxy-$status'); SELECT pinterest_capi.resume_destination()"
	);
	stop_proxy($proxy);
}
track($node, 'no-proxy');
becomes($node, 'no-proxy', "status, attempts, reason LIKE 'no connection%'",
	'queued|0|t', 'a proxy that is not there: no connection');
set_conf($node, proxy => '');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'no-proxy', 'status, attempts', 'sent|1', 'without it: sent');

# ---- time limits ----

sql('SELECT pinterest_capi.resume_destination()');
set_conf($node, connect_timeout => 1, request_timeout => 20);
$proxy = start_proxy('--hang');

# No process accepts: the kernel makes the connection, and no TLS handshake
# follows.
my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
  or die "listen: $!";
for
  my $case ([ 'TLS' => '', 'https://127.0.0.1:' . $silent->sockport . '/v5' ],
	[ 'a proxy' => $proxy->{url}, $stub->url ])
{
	my ($name, $through, $url) = @$case;

	set_conf($node, proxy => $through);
	sql("UPDATE pinterest_capi.destination SET api_url = '$url'");
	my $begin = time();
	like(
		verify(),
		qr/^The test event could not be sent: no connection: .*time(d )?out/i,
		"$name that never answers: no connection");
	my $took = time() - $begin;
	cmp_ok($took, '>=', 1, 'not before connect_timeout');
	cmp_ok($took, '<', 10, 'and not much later: ' . sprintf('%.1f s', $took));
}
stop_proxy($proxy);
set_conf($node, proxy => '', connect_timeout => 5, request_timeout => 2);
sql("UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'");
$stub->reset;
$stub->script({ hang => JSON::PP::true });
my $begin = time();
like(
	verify(),
	qr/^Pinterest gave no verdict on the test event: no complete answer: .*timed out/i,
	'an API that never answers: no verdict');
my $took = time() - $begin;
cmp_ok($took, '>=', 2, 'not before request_timeout');
cmp_ok($took, '<', 12, 'and not much later: ' . sprintf('%.1f s', $took));
$stub->reset;
set_conf($node, request_timeout => 30);

# ---- redirects ----

for my $status (301, 302, 308)
{
	$stub->reset;
	$stub->script(
		{
			status => $status,
			headers => {
					location => $stub->url
				  . '/ad_accounts/'
				  . PinterestStub::ACCOUNT
				  . '/events'
			},
			body => ''
		});
	track($node, "redirect-$status");
	ok( $node->poll_query_until(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status', 'paused'),
		"$status: paused");
	like(
		sql('SELECT message FROM pinterest_capi.destination_status'),
		qr/HTTP $status: redirects are not followed/,
		'with the reason');
	is($stub->count->{requests}, 1, 'and the worker doesn\'t follow it');
	sql('SELECT pinterest_capi.resume_destination()');
	becomes($node, "redirect-$status", 'status, attempts',
		'sent|1', 'resumed: it is sent');
}

# ---- TLS versions ----

my @options = @{ $stub->{options} };
for my $version ('TLSv1.1', 'TLSv1.2', 'TLSv1.3')
{
	$stub->stop;
	$stub->{options} = [ @options, '--tls-max' => $version ];
	$stub->start('server');
	if ($version eq 'TLSv1.1')
	{
		# the server itself supports this version
		my ($status, undef, undef, $err) =
		  $stub->curl('--tlsv1.0', '--tls-max', '1.1', '--ciphers',
			'DEFAULT@SECLEVEL=0', '-d', '{}', $stub->url . '/x');
		is($status, 404,
			"a server that offers $version at most answers who takes it")
		  or diag($err);
		$stub->reset;
		track($node, 'too-old');
		becomes($node, 'too-old',
			"status, attempts, reason LIKE 'no connection%'",
			'queued|0|t', 'the worker does not: no connection');
		is($stub->count->{connections}, 0, 'none came about');
		cmp_ok($stub->count->{tls_errors}, '>', 0, 'although it was tried');
		sql('SELECT pinterest_capi.resume_destination()');
	}
	else
	{
		like(verify(), $accepted, "$version is taken");
		sql('SELECT pinterest_capi.resume_destination()');
		becomes($node, 'too-old', 'status, attempts',
			'sent|1', 'and the waiting events are sent');
	}
}

$node->stop;
$stub->stop;
done_testing();
