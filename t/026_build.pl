# The extension builds and installs in the ways that PGXS and pg_regress
# expect, is linked with its libraries, and works after CREATE EXTENSION alone.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/..";

sub names
{
	return [ sort map { m{([^/]+)\.\w+$} } glob "$top/$_[0]" ];
}

# What PGXS would run and install, as make prints it.  A test that it leaves
# out, or that has no expected output, would go unnoticed otherwise.
my ($said) = run_command(
	[
		'make',
		'-s',
		'-C',
		$top,
		'--eval=say: ; @echo "$(REGRESS);$(ISOLATION);$(EXTENSION);$(TAP_TESTS)"',
		'say'
	]);
my ($regress, $isolation, $extension, $tap) = split /;/, $said;
my $expected = [ sort @{ names('sql/*.sql') }, @{ names('specs/*.spec') } ];
cmp_ok(scalar(@$expected), '>', 20, 'there are tests in sql and specs');
is_deeply([ split / /, $regress ],
	names('sql/*.sql'), 'make installcheck runs each test in sql');
is_deeply(
	[ split / /, $isolation ],
	names('specs/*.spec'),
	'and each in specs');
is($tap, 1, 'and those in t');
is_deeply([ grep { !-s "$top/expected/$_.out" } @$expected ],
	[], 'each has an expected output');
is_deeply(names('*.control'), [$extension],
	'the extension has its control file');

my ($libdir) =
  PostgreSQL::Test::Utils::run_command([ 'pg_config', '--pkglibdir' ]);
my ($linked) = PostgreSQL::Test::Utils::run_command(
	[ 'ldd', "$libdir/pinterest_capi.so" ]);
like($linked, qr/\b$_\.so/, "linked with $_")
  for qw(libcurl libcrypto libutf8proc);

my $stub = PinterestStub->new;
my $node = PostgreSQL::Test::Cluster->new('build');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"pinterest_capi.ca_file = '@{[$stub->ca_file]}'\n");
$node->start;
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
	'', 'nothing is preloaded');
configure($node, $stub, 'postgres');

# a user's whole first session: the extension, a trigger, the status
$node->safe_psql(
	'postgres', q{
	CREATE TABLE orders (id integer PRIMARY KEY, email text, total numeric, currency text);
	CREATE TRIGGER pinterest AFTER INSERT ON orders FOR EACH ROW
		EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'email=email', 'value=total', 'currency=currency', 'order_id=id', 'event_id=id');
	INSERT INTO orders VALUES (1, 'Jane@Shop.Example', 12.50, 'EUR')});
ok($stub->wait_count(processed => 1), 'a row becomes an event at Pinterest');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status FROM pinterest_capi.dispatch_status WHERE event_id = '1'},
		'sent'),
	'and a row that says so');
my ($entry) = $stub->received('1');
is_deeply(
	$entry->{event}{user_data},
	{ em => [ sha256_hex('jane@shop.example') ] },
	'with the hashed address');
is( $node->safe_psql(
		'postgres',
		q{SELECT sent_as, destination, attempts, http_status FROM pinterest_capi.dispatch_status}
	),
	'checkout|default|1|200',
	'attempts and answer');

$node->stop;
$stub->stop;
done_testing();
