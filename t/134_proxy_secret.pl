# The proxy's password is used, and no message, view or log shows it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run      ();
use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql track);
use POSIX         qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('secret', $stub);
my $secret = 'geheim-4711';
my $file = "$stub->{dir}/proxy";

# the file that the setting names
sub write_file
{
	my ($text) = @_;

	unlink $file;
	append_to_file($file, $text);
	return;
}
my %proxy = (stdin => '', stdout => '', stderr => '');
$proxy{process} = IPC::Run::start(
	[ 'node', "$FindBin::RealBin/../test/stub/proxy.js", '--until-eof' ],
	'<' => \$proxy{stdin},
	'>' => \$proxy{stdout},
	'2>' => \$proxy{stderr},
	IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
$proxy{process}->pump
  until $proxy{stdout} =~ /\n/ || !$proxy{process}->pumpable;
my $port = JSON::PP::decode_json($proxy{stdout})->{port};
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN pinterest_capi');

# ---- in a file ----

write_file("http://sh%40p:$secret\@127.0.0.1:$port\n");
set_conf($node, proxy => "file:$file");
track($node, 'in-file');
becomes($node, 'in-file', 'status, attempts',
	'sent|1', 'a proxy whose URL is in a file: sent');
$proxy{process}->pump_nb;
my (undef, @seen) = map { JSON::PP::decode_json($_) } split /\n/,
  $proxy{stdout};
is($seen[-1]{credentials}, "sh\@p:$secret", 'by its user and password');

# ---- values that can't be a proxy ----

my %wrong = (
	'a scheme that is none' => "htp://shop:$secret\@127.0.0.1:3128",
	'a port that is none' => "http://shop:$secret\@127.0.0.1:99999",
	'a port in letters' => "http://shop:$secret\@127.0.0.1:x",
	'half an address' => "http://shop:$secret\@[::1:3128",
	'a NUL in the password' => "http://shop:$secret%00\@127.0.0.1:3128",
	'no host' => "http://shop:$secret\@",
	'no scheme, no port' => "shop:$secret\@127.0.0.1:1:2",
	'nobody there' => "http://shop:$secret\@127.0.0.1:1",
	'nobody there, SOCKS' => "socks5h://shop:$secret\@127.0.0.1:1",
	'nobody there, TLS' => "https://shop:$secret\@127.0.0.1:1",
	'nobody there, IPv6' => "http://shop:$secret\@[::1]:1",
	'no such name' => "http://shop:$secret\@proxy.invalid:3128",
	'another URL of itself in the password' =>
	  "http://shop:http%3A%2F%2F$secret\@127.0.0.1:1",
	'a blank' => "http://shop:$secret \@127.0.0.1:1");
my $n = 0;
for my $how ('in the file', 'in the setting')
{
	for my $what (sort keys %wrong)
	{
		my $id = 'wrong-' . ++$n;

		$node->safe_psql('postgres',
			'SELECT pinterest_capi.resume_destination()');
		if ($how eq 'in the file')
		{
			write_file($wrong{$what});
		}
		else
		{
			# The value is set at the server's start: on a change the server
			# itself logs the value.
			$node->stop;
			$node->adjust_conf('postgresql.conf', 'pinterest_capi.proxy',
				"'$wrong{$what}'");
			$node->start;
		}
		track($node, $id);
		ok( $node->poll_query_until(
				'postgres', qq{
			SELECT reason ~ '(no connection|no request could be made): .' FROM pinterest_capi.dispatch_status WHERE event_id = '$id'}
			),
			"$what, $how: nothing is sent"
		) or diag(sql('SELECT * FROM pinterest_capi.destination_status'));
		unlike(
			sql('SELECT d, f.advice FROM pinterest_capi.destination_status AS d, pinterest_capi.doctor() AS f'
			  )
			  . sql('SELECT w FROM pinterest_capi.worker_status AS w')
			  . sql('SELECT s FROM pinterest_capi.dispatch_status AS s')
			  . sql('SELECT pinterest_capi.report_html()'),
			qr/$secret|4711/,
			'no view shows the password');
		sql("SELECT pinterest_capi.cancel('$id')");
	}
	if ($how eq 'in the file')
	{
		my $heard = $listener->query_safe('SELECT 1');

		like($heard, qr/"paused"/, 'notifications came');
		unlike($heard, qr/$secret/, 'without the password');
		$listener->quit;
		unlike(slurp_file($node->logfile),
			qr/$secret/, 'nor is it in the log');
	}
}
my $log = slurp_file($node->logfile);
unlike($log, qr/$secret/, 'nor is it, from the setting, in the log');
like(
	$log,
	qr/WARNING:  the setting pinterest_capi\.proxy holds a password/,
	'which says that it should not be there');

# ---- files without a proxy ----

mkfifo("$stub->{dir}/pipe", oct(600)) or die "mkfifo: $!";
append_to_file("$stub->{dir}/two", "http://127.0.0.1:1 http://127.0.0.1:2\n");
append_to_file("$stub->{dir}/none", " \n");
for my $case (
	[ "file:$stub->{dir}/pipe" => qr/it is no regular file/ ],
	[ "file:$stub->{dir}/absent" => qr/No such file/ ],
	[ "file:$stub->{dir}/two" => qr/must hold its URL and nothing else/ ],
	[ "file:$stub->{dir}/none" => qr/must hold its URL and nothing else/ ],
	[ 'file:proxy' => qr/not absolute/ ])
{
	my ($setting, $like) = @$case;
	my $id = 'file-' . ++$n;

	set_conf($node, proxy => $setting);
	sql('SELECT pinterest_capi.resume_destination()');
	track($node, $id);
	ok( $node->poll_query_until(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status', 'paused'),
		"$id: paused");
	like(sql('SELECT message FROM pinterest_capi.destination_status'),
		$like, 'with the reason');
}
set_conf($node, proxy => '');
$stub->reset;
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, "file-$n", 'status', 'sent', 'without a proxy: sent');

$proxy{process}->kill_kill(grace => 5);
$node->stop;
$stub->stop;
done_testing();
