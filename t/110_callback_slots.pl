# The extension takes at most one callback slot of each kind.  A process has
# few slots and is ended when they are used up, so a session in which other
# libraries have taken all but one must still work.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- in the source: one call of each function that takes a slot ----

my %calls;
my $root = "$FindBin::RealBin/..";
for my $file ("$root/pinterest_capi.c", glob("$root/src/*/*.c"))
{
	my $text = slurp_file($file) =~ s{/\*.*?\*/}{}gsr;

	$calls{$1}++
	  while $text =~
	  /\b(CacheRegister\w+Callback|Register(?:Sub)?XactCallback|RegisterResourceReleaseCallback|before_shmem_exit|on_shmem_exit|on_proc_exit|object_access_hook\s*=)/g;
}
is(join(' ', grep { $calls{$_} > 1 } sort keys %calls),
	'', 'no kind of callback is registered in two places');
is($calls{CacheRegisterRelcacheCallback}, 1, 'the counted functions exist');

# ---- in a session ----

my $module = PostgreSQL::Test::Utils::tempdir() . '/callback_slots.so';
chomp(my $include = `$ENV{PG_CONFIG} --includedir-server`);
system_or_bail('cc', '-shared', '-fPIC', '-O', "-I$include", '-o', $module,
	"$root/test/callback_slots.c");

my $node = PostgreSQL::Test::Cluster->new('slots');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);

# nothing is sent
$node->append_conf('postgresql.conf', "pinterest_capi.dispatch = off\n");
$node->start;
$node->safe_psql(
	'postgres', qq{
	CREATE EXTENSION pinterest_capi;
	INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
	SELECT pinterest_capi.allow_event('lead');
	CREATE FUNCTION take_relcache_slots(integer) RETURNS void LANGUAGE c AS '$module';
	CREATE TABLE orders (id integer, email text);
	CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION
		pinterest_capi.track_trigger('lead', 'email=email', 'event_id=id', 'order_id=(SELECT \$1.id)')}
);

# The server itself registers callbacks at first use: for plans and types.
my $warm_up =
  'SELECT DISTINCT relname FROM pg_class ORDER BY 1 LIMIT 1; SELECT ROW(1, 2) = ROW(1, 2);';

# Return how many slots are free after these statements, by using them up in a
# session of its own.
sub left
{
	my ($sql) = @_;
	my ($code, $out, $err) = $node->psql(
		'postgres',
		"$warm_up $sql; SELECT take_relcache_slots(100)",
		on_error_stop => 0);
	my @taken = $err =~ /slot (\d+)/g;

	like(
		$err,
		qr/FATAL: .*out of relcache_callback_list slots/,
		"the slots end: $sql");
	return $taken[-1];
}
my $without = left('SELECT');
is( left(
		q{
	INSERT INTO orders VALUES (1, 'a@shop.example');
	SELECT pinterest_capi.track('lead', '{}', '{"em": "a@shop.example"}');
	SELECT count(*) FROM pinterest_capi.preview('lead');
	SELECT pinterest_capi.identify('v', '{"em": "a@shop.example"}');
	SELECT pinterest_capi.forget('v');
	SELECT pinterest_capi.cancel(event_id => '1');
	SELECT pinterest_capi.flush('1 ms');
	SELECT count(*) FROM pinterest_capi.worker_status, pinterest_capi.doctor()}),
	$without - 1,
	'a session that has used all of the extension has taken one');

my $order = q{INSERT INTO orders VALUES (2, 'b@shop.example');
	SELECT event_id, status FROM pinterest_capi.dispatch_status WHERE event_id = '2'};
is( $node->safe_psql('postgres',
		"$warm_up SELECT take_relcache_slots($without - 1); $order") =~
	  s/^.*\n(?=2)//sr,
	'2|queued',
	'an order in a session where one slot is left');

# The server ends a process that asks for a slot when none is free.  Where the
# library is preloaded, this is never a session of a shop's order because of
# the extension.
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'\n");
$node->restart;
is( $node->safe_psql('postgres',
		"$warm_up SELECT take_relcache_slots($without - 1); $order" =~
		  s/\b2\b/3/gr) =~ s/^.*\n(?=3)//sr,
	'3|queued',
	'preloaded, the one is there before others take the rest');

$node->stop;
done_testing();
