# Without a certificate that is valid for the API's name, nothing is sent.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track worker_polls);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('tls', $stub);

sub paused
{
	my ($id, $why, $name) = @_;

	ok( $node->poll_query_until(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status', 'paused'),
		"$name: the destination is paused")
	  or diag(
		$node->safe_psql(
			'postgres', 'SELECT * FROM pinterest_capi.destination_status'));
	like(
		$node->safe_psql(
			'postgres',
			'SELECT message FROM pinterest_capi.destination_status'),
		$why,
		"$name: the view says why");
	is(sql_status($node, $id, "status, attempts, reason LIKE '%paused%'"),
		'queued|0|t', "$name: the event waits");
	my $count = $stub->count;
	is($count->{requests}, 0, "$name: no request was made");
	is($count->{events}, 0, "$name: nothing was received");
	cmp_ok($count->{tls_errors} + $count->{connections},
		'>', 0, "$name: although the server was asked");
	return;
}

sub recovers
{
	my ($id, $name) = @_;

	$node->safe_psql('postgres',
		"SELECT pinterest_capi.resume_destination('default')");
	ok( $stub->wait_count(processed => 1),
		"$name: sent once the fault is gone");
	ok( $node->poll_query_until(
			'postgres',
			"SELECT status FROM pinterest_capi.dispatch_status WHERE event_id = '$id'",
			'sent'),
		"$name: the row says so");
	is($stub->count->{duplicates}, 0, "$name: once");
	return;
}

# the sound case, to compare with
track($node, 'trusted');
ok($stub->wait_count(processed => 1),
	'a certificate from the authority in ca_file is taken');

# an unknown authority
$stub->stop;
$stub->start('server');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.ca_file',
	"'$stub->{dir}/stranger-ca.pem'");
$node->reload;
track($node, 'stranger');
paused('stranger', qr/certificate/i, 'unknown authority');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.ca_file',
	"'" . $stub->ca_file . "'");
$node->reload;
recovers('stranger', 'unknown authority');

# the system's authorities don't know it either
$stub->stop;
$stub->start('server');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.ca_file', "''");
$node->reload;
track($node, 'system');
paused('system', qr/certificate/i, 'not in the system\'s store');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.ca_file',
	"'" . $stub->ca_file . "'");
$node->reload;
recovers('system', 'not in the system\'s store');

# the right authority, another host
$stub->stop;
$stub->start('other');
track($node, 'other');
paused('other', qr/certificate|name/i, 'wrong name');
$stub->stop;
$stub->start('server');
recovers('other', 'wrong name');

# Plain HTTP to another machine is refused, and only a superuser sets api_url.
for my $url (
	'http://api.example.com/v5', 'https://user:pw@localhost/v5',
	'ftp://localhost/', 'https://')
{
	my ($code, undef, $err) = $node->psql('postgres',
		"UPDATE pinterest_capi.destination SET api_url = '$url'");
	isnt($code, 0, "$url is refused");
	like($err, qr/violates check constraint/, 'by the table');
}

# Plain HTTP to this machine is accepted, in test mode too; no server listens
# there.
$stub->reset;
$node->safe_psql('postgres',
	"UPDATE pinterest_capi.destination SET api_url = 'http://127.0.0.1:1/v5', test_mode = true"
);
like(
	$node->safe_psql(
		'postgres', 'SELECT pinterest_capi.verify_destination()'),
	qr/^The test event could not be sent: no connection/,
	'http to this machine is tried');
track($node, 'loopback');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT reason LIKE 'no connection%' FROM pinterest_capi.dispatch_status WHERE event_id = 'loopback'}
	),
	'by events too');
$node->safe_psql('postgres',
	"SELECT pinterest_capi.cancel('loopback'); SELECT pinterest_capi.resume_destination()"
);
$node->safe_psql('postgres',
		"UPDATE pinterest_capi.destination SET api_url = '"
	  . $stub->url
	  . "', test_mode = false");

# a missing file
$stub->reset;
$node->adjust_conf('postgresql.conf', 'pinterest_capi.ca_file',
	"'/nonexistent/ca.pem'");
$node->reload;
track($node, 'no-file');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status = 'queued' AND reason IS NOT NULL FROM pinterest_capi.dispatch_status WHERE event_id = 'no-file'}
	),
	'a ca_file that is not there: the event waits, with a reason');
worker_polls($node);
is($stub->count->{requests}, 0, 'and nothing is sent');
$node->adjust_conf('postgresql.conf', 'pinterest_capi.ca_file',
	"'" . $stub->ca_file . "'");
$node->reload;
recovers('no-file', 'ca_file');

$node->stop;
$stub->stop;
done_testing();
