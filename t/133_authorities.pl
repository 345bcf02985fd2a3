# Requests trust ca_file's authorities instead of the system's, as the file is
# now, also on connections that are open already.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Copy qw(copy);
use Compare;
use PinterestStub qw(:DEFAULT sql track);
use POSIX         qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $file = "$stub->{dir}/current.pem";
my $system = "$stub->{dir}/system";
my $preload = '';

# The system's authorities are the test's, in a folder where OpenSSL finds
# them by hash.
mkdir $system;
my $hash = `openssl x509 -noout -hash -in $stub->{dir}/ca.pem`;
chomp $hash;
copy($stub->ca_file, "$system/$hash.0") or die $!;
if ($^O eq 'linux')
{
	$preload = "$stub->{dir}/certs.so";
	system_or_bail('cc', '-shared', '-fPIC', '-O', '-o', $preload,
		"$FindBin::RealBin/../test/system_certs.c", '-ldl');
}

sub have
{
	my ($from) = @_;

	# Replace the file as a secret manager does: by another file of the same
	# name.
	copy("$stub->{dir}/$from", "$file.new") or die $!;
	rename "$file.new", $file               or die $!;
	return;
}
have('ca.pem');

my $node = do
{
	local @ENV{qw(LD_PRELOAD TEST_CERTS)} = ($preload, $system);
	setup_node('authorities', $stub,
		conf => "pinterest_capi.ca_file = '$file'\n");
};

sub sends
{
	my ($id, $name) = @_;

	track($node, $id);
	becomes($node, $id, 'status, attempts', 'sent|1', $name, 20);
	return;
}

sub pauses
{
	my ($id, $like, $name) = @_;
	my $requests = $stub->count->{requests};

	track($node, $id);
	ok( $node->poll_query_until(
			'postgres',
			'SELECT status FROM pinterest_capi.destination_status', 'paused'),
		"$name: paused");
	like(sql('SELECT message FROM pinterest_capi.destination_status'),
		$like, 'with the reason');
	is($stub->count->{requests}, $requests, 'nothing was sent');
	is(sql_status($node, $id, 'status, attempts'),
		'queued|0', 'the event waits');
	return;
}

sub resumes
{
	my ($id) = @_;

	sql('SELECT pinterest_capi.resume_destination()');
	becomes($node, $id, 'status, attempts', 'sent|1', 'and is sent later',
		20);
	return;
}
my $refused = qr/^destination paused: the server's certificate was refused/;

# ---- the same file, with other authorities ----

sends('first', 'a certificate from the authority in ca_file is taken');
have('stranger-ca.pem');
pauses('rotated', $refused,
	'another authority in the file, without a reload, on a connection that is there'
);
have('ca.pem');
resumes('rotated');

# ---- instead of the system's ----

SKIP:
{
	skip 'the system\'s authorities can be replaced on Linux alone', 8
	  unless $preload;
	set_conf($node, ca_file => '');

	# not by the earlier connection
	$stub->reset;
	sends('system', 'the system knows the authority: taken');
	skip 'libcurl looks for the system\'s authorities elsewhere', 6
	  unless $stub->count->{connections};
	have('stranger-ca.pem');
	set_conf($node, ca_file => $file);
	pauses('instead', $refused,
		'the system knows the authority, ca_file does not');
	set_conf($node, ca_file => '');
	resumes('instead');
	have('ca.pem');
	set_conf($node, ca_file => $file);
}

# ---- files without authorities ----

mkfifo("$stub->{dir}/pipe", oct(600)) or die "mkfifo: $!";
append_to_file("$stub->{dir}/empty.pem", '');
append_to_file("$stub->{dir}/text.pem", "no certificate\n");
mkdir "$stub->{dir}/folder.pem";
my %wrong = (
	'pipe' =>
	  qr/no request could be made: pinterest_capi\.ca_file cannot be read: it is no regular file/,
	'folder.pem' =>
	  qr/no request could be made: pinterest_capi\.ca_file cannot be read: /,
	'empty.pem' =>
	  qr/no request could be made: pinterest_capi\.ca_file is empty/,
	'text.pem' => qr/no request could be made: /,
	'absent.pem' =>
	  qr/no request could be made: pinterest_capi\.ca_file cannot be read: No such file/
);
for my $name (sort keys %wrong)
{
	within(
		'and the worker goes on',
		sub {
			set_conf($node, ca_file => "$stub->{dir}/$name");
			pauses("wrong-$name", $wrong{$name}, $name);
			unlike(
				sql('SELECT message FROM pinterest_capi.destination_status'),
				qr/\Q$stub->{dir}\E/,
				'without its path, which is a superuser\'s');
			set_conf($node, ca_file => $file);
			resumes("wrong-$name");
		});
}

# ---- a proxy that is set while a connection is open ----

sends('before', 'a connection is there');
set_conf($node, proxy => 'http://127.0.0.1:1');
track($node, 'proxied');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT reason LIKE 'no connection%' FROM pinterest_capi.dispatch_status WHERE event_id = 'proxied'}
	),
	'it is not used any more');
set_conf($node, proxy => '');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'proxied', 'status', 'sent', 'without the proxy: sent');

$node->stop;
$stub->stop;
done_testing();
