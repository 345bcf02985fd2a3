# An extension whose owner is no superuser works in full: the worker sends and
# every function works as that owner, who still may not read the server's files.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $files = PostgreSQL::Test::Utils::tempdir();
my $token = PinterestStub::TOKEN;
my $token_file = "$files/token";
append_to_file($token_file, "$token\n");
chmod 0600, $token_file;
my $configure =
  "SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '$token', '@{[PinterestStub::ACCOUNT]}')";

my $node = PostgreSQL::Test::Cluster->new('owner');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"pinterest_capi.ca_file = '@{[$stub->ca_file]}'");
$node->start;
$node->safe_psql('postgres',
	'CREATE ROLE installer SUPERUSER LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE tracker'
);
$node->safe_psql(
	'postgres',
	"CREATE EXTENSION pinterest_capi; $configure; UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'; SELECT pinterest_capi.allow_event('checkout')",
	connstr => $node->connstr('postgres') . ' user=installer');
$node->safe_psql('postgres',
	'REASSIGN OWNED BY installer TO plain; DROP OWNED BY installer; DROP ROLE installer'
);
is( $node->safe_psql(
		'postgres',
		q{SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'pinterest_capi'::regnamespace}
	),
	'plain',
	'REASSIGN OWNED: an owner without superuser has all objects');
$node->safe_psql(
	'postgres',
	q{CREATE TABLE caught (who name); GRANT INSERT ON caught TO PUBLIC;
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN NULL; END $$;
	CREATE TRIGGER note AFTER INSERT ON pinterest_capi._lease EXECUTE FUNCTION note();
	ALTER TABLE pinterest_capi._lease ENABLE ALWAYS TRIGGER note});
$node->safe_psql('postgres',
	q{SELECT pinterest_capi.grant_access('tracker', 'track')});
my $plain = $node->connstr('postgres') . ' user=plain';
$node->safe_psql('postgres',
	q{SET ROLE tracker; SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "p@example.com"}', 'v', event_id => 'of-plain')}
);
ok(poll(sub { $stub->received('of-plain') }), 'events are sent');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'of-plain'}
	),
	'and are settled');
is($node->safe_psql('postgres', 'SELECT DISTINCT who FROM caught'),
	'plain', 'the worker works as the owner');
for my $call (
	[ 'pause_destination()', qr/^$/, 'destination_status', 'default|paused' ],
	[ 'resume_destination()', qr/^$/, 'destination_status', 'default|ready' ],
	[ 'verify_destination()', qr/^Pinterest accepted the test event/ ],
	[ q{identify('v', '{"em": "p@example.com"}')}, qr/^$/ ],
	[ q{allow_event('lead')}, qr/^$/ ],
	[ q{disallow_event('lead')}, qr/^t$/ ],
	[ q{replay('default', 'sent')}, qr/^1$/ ],
	[ 'flush()', qr/^t$/ ],
	[ q{forget('v')}, qr/^2$/ ],
	[ q{purge('0')}, qr/^\d+$/ ],
	[ q{grant_access('tracker', 'operate')}, qr/^$/ ],
	[ q{revoke_access('tracker', 'operate')}, qr/^$/ ],
	[
		$configure =~ s/^SELECT pinterest_capi\.//r,
		qr/^Your destination is configured and ready/
	])
{
	my ($function, $answer, $view, $row) = @$call;

	like(
		$node->safe_psql(
			'postgres',
			"SELECT pinterest_capi.$function",
			connstr => $plain),
		$answer,
		'this owner may ' . $function =~ s/\(.*//sr);
	is( $node->safe_psql(
			'postgres',
			"SELECT destination, status FROM pinterest_capi.$view",
			connstr => $plain),
		$row,
		"and sees it in $view") if $view;
}
is( $node->safe_psql(
		'postgres',
		"SELECT count(*) FROM pinterest_capi.$_",
		connstr => $plain),
	'1',
	"and reads $_") for qw(worker_status destination_status);

# The owner owns the table of secrets, but must not read the server's files.
my (undef, $owner_error) = run_command(
	[
		'psql',
		'-XAtq',
		'-d',
		$plain,
		'-c',
		"SELECT pinterest_capi.configure_destination('1', 'file:$token_file', '2')"
	]);
like(
	$owner_error,
	qr/permission denied to use an access token file/,
	'this owner may name no file');
$node->safe_psql('postgres',
	"SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', 'file:$token_file', '@{[PinterestStub::ACCOUNT]}')"
);
my $requests = $stub->count->{requests};
$node->safe_psql('postgres',
	q{SELECT pinterest_capi.track('Checkout', '{"value": 3, "currency": "EUR"}', '{"em": "q@example.com"}', event_id => 'by-owners-file')}
);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT message ~ 'owner is no member of pg_read_server_files' FROM pinterest_capi.destination_status}
	),
	'nor is a file read for an owner without the right, whichever role named it'
);
is($stub->count->{requests}, $requests, 'and nothing was sent');
$node->safe_psql('postgres',
	'GRANT pg_read_server_files TO plain; SELECT pinterest_capi.resume_destination()'
);
ok(poll(sub { $stub->received('by-owners-file') }), 'with the right, it is');
unlike(
	slurp_file($node->logfile),
	qr/PANIC|TRAP:|server process .* was terminated/,
	'no such word in the log');
$node->stop;
$stub->stop;
done_testing();
