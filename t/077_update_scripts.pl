# An updated extension is the same as a freshly installed one, whatever the
# version it comes from.  CREATE EXTENSION and DROP EXTENSION leave nothing in
# the database, make install and make uninstall nothing on the disk.
#
# The update scripts stand where the server looks for them, and made-up
# versions must not go into the system's folder.  So the server runs from a
# copy.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Cwd           ();
use File::Find    ();
use PinterestStub qw(:DEFAULT server_copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = Cwd::abs_path("$FindBin::RealBin/..");
my ($root, $install_path, %directory) = server_copy();
my $pg_config = "$directory{bindir}/pg_config";

my $stub = PinterestStub->new;
my $node =
  PostgreSQL::Test::Cluster->new('update', install_path => $install_path);
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"log_statement = none\npinterest_capi.ca_file = '@{[$stub->ca_file]}'\n"
	  . "max_worker_processes = 30\n");
$node->start;
my $ours = "$root$directory{sharedir}/extension";
is( $node->safe_psql(
		'postgres', 'SELECT setting FROM pg_config WHERE name = $$SHAREDIR$$'
	),
	"$root$directory{sharedir}",
	'the server looks for scripts in the copy');

my $number = 0;
my ($default) =
  slurp_file("$top/pinterest_capi.control") =~ /default_version = '(.*)'/;

# Return the objects that CREATE EXTENSION, and an update where $to is given,
# makes in a new database.
sub catalog
{
	my ($version, $to, $in_between) = @_;
	my $database = 'd' . ++$number;
	my ($code, $out, $err);

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database,
		"CREATE EXTENSION pinterest_capi VERSION '$version'");
	$in_between->($database) if $in_between;
	if (defined $to)
	{
		($code, undef, $err) = $node->psql($database,
			"ALTER EXTENSION pinterest_capi UPDATE TO '$to'");
		is($code, 0, "from $version to $to") or diag($err);
	}
	($code, $out, $err) =
	  $node->psql($database, slurp_file("$top/test/catalog.sql"));
	die "catalog.sql: $err" if $code != 0 || $err ne '';
	return ([ split /\n/, $out ], $database);
}

# Return the lines that only one of the two texts has.
sub difference
{
	my ($updated, $fresh) = @_;
	my (%updated, %fresh);

	$updated{$_}++ for @$updated;
	$fresh{$_}++   for @$fresh;
	return (
		(   map  { "lacks $_" }
			grep { ($updated{$_} // 0) < $fresh{$_} } sort keys %fresh),
		(   map    { "has $_" }
			  grep { ($fresh{$_} // 0) < $updated{$_} } sort keys %updated));
}

# ---- every version that can be updated from ----

my ($fresh) = catalog($default);
cmp_ok(scalar(@$fresh), '>', 500, 'a fresh one has ' . @$fresh . ' lines');
cmp_ok(scalar(grep { /^rights on/ } @$fresh),
	'>', 50, 'rights are among them');
is_deeply([ difference((catalog($default))[0], $fresh) ],
	[], 'two fresh ones are equal');

my %from = map { m{/pinterest_capi--([^-]+)--[^/]+\.sql$} ? ($1 => 1) : () }
  glob("$top/pinterest_capi--*--*.sql");
for my $version (sort keys %from)
{
	ok( -e "$top/pinterest_capi--$version.sql",
		"$version: its script is still there") or next;
	my ($updated) = catalog($version, $default);
	is_deeply([ difference($updated, $fresh) ],
		[], "$version, updated to $default, is a fresh $default");
}
note('no version before ' . $default) unless %from;
is( join(' ',
		sort grep { !$from{$_} && $_ ne $default }
		  map     { m{/pinterest_capi--([^-]+)\.sql$} ? $1 : () }
		  glob("$top/pinterest_capi--*.sql")),
	'',
	'no version without a way on');

# ---- the comparison itself: a made-up next version, and update scripts with a fault each ----

my @changes = (
	'a new function' =>
	  q{CREATE FUNCTION pinterest_capi.answer() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 42'},
	'its comment' =>
	  q{COMMENT ON FUNCTION pinterest_capi.answer() IS 'the answer'},
	'its rights' =>
	  q{REVOKE ALL ON FUNCTION pinterest_capi.answer() FROM PUBLIC},
	'a grant' =>
	  q{GRANT EXECUTE ON FUNCTION pinterest_capi.answer() TO pg_monitor},
	'a new column' =>
	  q{ALTER TABLE pinterest_capi.destination ADD note text DEFAULT 'none'},
	'a comment on a column' =>
	  q{COMMENT ON COLUMN pinterest_capi.destination.note IS 'whatever'},
	'a constraint' =>
	  q{ALTER TABLE pinterest_capi.destination ADD CONSTRAINT note_length CHECK (pg_catalog.length(note) < 100)},
	'an index' =>
	  q{CREATE INDEX _retry_more ON pinterest_capi._retry (last_attempt_at)},
	'a setting of a table' =>
	  q{ALTER TABLE pinterest_capi._retry SET (fillfactor = 80)},
	'a table' => q{CREATE TABLE pinterest_capi._more (id bigint PRIMARY KEY)},
	'what is dumped' =>
	  q{SELECT pg_catalog.pg_extension_config_dump('pinterest_capi._more', '')},
	'a view' => q{CREATE OR REPLACE VIEW pinterest_capi.worker_status AS
		SELECT pg_catalog.current_database() AS database, w.pid, w.state, w.started_at, w.last_cycle_at,
			w.in_flight_requests, pg_catalog.upper(w.last_error) AS last_error FROM pinterest_capi._worker_state() AS w},
	'a trigger' =>
	  q{CREATE TRIGGER _more AFTER DELETE ON pinterest_capi.consent_rule
		FOR EACH STATEMENT EXECUTE FUNCTION pinterest_capi._settings_changed()},
	'a function that changes' =>
	  q{ALTER FUNCTION pinterest_capi.flush(interval) COST 1000},
	'a standard event' =>
	  q{DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW pinterest_capi.standard_event AS '
		|| pg_catalog.replace(pg_catalog.pg_get_viewdef('pinterest_capi.standard_event'::pg_catalog.regclass), '''Lead''', '''Leads'''); END $$},
);
my @names = @changes[ map { 2 * $_ } 0 .. $#changes / 2 ];
my %change = @changes;
my $guard = "\\echo Use \"ALTER EXTENSION\" to load this file. \\quit\n";

sub script
{
	my ($name, @statements) = @_;
	append_to_file("$ours/$name",
		join("\n", $guard, map { "$_;" } @statements) . "\n");
	return;
}

unlink "$ours/pinterest_capi--$default--next.sql";
append_to_file("$ours/pinterest_capi--next.sql",
	slurp_file("$top/pinterest_capi--$default.sql")
	  . join('', map { "$change{$_};\n" } @names));
script("pinterest_capi--$default--next.sql", map { $change{$_} } @names);

my ($next) = catalog('next');
isnt(scalar(difference($next, $fresh)),
	0, 'the made-up version is another one');

# an event is queued, the extension is updated, and the event arrives
my ($updated, $database) = catalog(
	$default, 'next',
	sub {
		my ($in) = @_;

		$node->safe_psql(
			$in, qq{
		SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '@{[PinterestStub::TOKEN]}', '@{[PinterestStub::ACCOUNT]}');
		SELECT pinterest_capi.pause_destination();
		UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}';
		SELECT pinterest_capi.allow_event('checkout');
		SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "EUR"}', '{"em": "a\@example.com"}', event_id => 'kept')}
		);
	});
is_deeply([ difference($updated, $next) ],
	[], 'an update that does all is a fresh one');
$node->safe_psql($database,
	'SELECT pinterest_capi.resume_destination(); SELECT pinterest_capi.flush()'
);
is(sql_status($node, 'kept', 'status', $database),
	'sent', 'events queued before the update are sent after it');

# Without one object the comparison must name it, and the objects that depend
# on it.
my %with = (
	'a new function' => [ 'its comment', 'its rights', 'a grant' ],
	'a new column' => [ 'a comment on a column', 'a constraint' ],
	'a table' => ['what is dumped']);
for my $left_out (@names)
{
	my %out = map { $_ => 1 } $left_out, @{ $with{$left_out} // [] };
	my $version = 'fault' . $number;

	# The version's name is no difference.
	script(
		"pinterest_capi--$default--$version.sql",
		map { $change{$_} } grep { !$out{$_} } @names);
	my ($faulty) = catalog($default, $version);
	my @difference =
	  grep { !/extension: version/ } difference($faulty, $next);
	cmp_ok(scalar(@difference), '>', 0,
		"without $left_out: " . ($difference[0] // 'not noticed'));
}

# ---- DROP EXTENSION leaves nothing ----

sub traces
{
	my ($in) = @_;

	# toast tables of the catalogs and the like are created once
	return $node->safe_psql(
		$in, q{
		SELECT 'class', count(*) FROM pg_class UNION ALL SELECT 'proc', count(*) FROM pg_proc
		UNION ALL SELECT 'type', count(*) FROM pg_type UNION ALL SELECT 'namespace', count(*) FROM pg_namespace
		UNION ALL SELECT 'depend', count(*) FROM pg_depend
		UNION ALL SELECT 'shdepend', count(*) FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		UNION ALL SELECT 'description', count(*) FROM pg_description UNION ALL SELECT 'init_privs', count(*) FROM pg_init_privs
		UNION ALL SELECT 'trigger', count(*) FROM pg_trigger UNION ALL SELECT 'constraint', count(*) FROM pg_constraint
		UNION ALL SELECT 'sequence', count(*) FROM pg_sequence UNION ALL SELECT 'extension', count(*) FROM pg_extension
		UNION ALL SELECT 'db_role_setting', count(*) FROM pg_db_role_setting});
}

sub files
{
	my ($in) = @_;
	my $oid = $node->safe_psql('postgres',
		"SELECT oid FROM pg_database WHERE datname = '$in'");
	my %known = map { $_ => 1 } split /\n/,
	  $node->safe_psql($in,
		'SELECT pg_relation_filenode(oid) FROM pg_class WHERE relfilenode <> 0 OR relisshared OR pg_relation_filenode(oid) IS NOT NULL'
	  );

	$node->safe_psql('postgres', 'CHECKPOINT');
	return grep { !$known{s/[_.].*//r} }
	  map       { m{/(\d+[^/]*)$} ? $1 : () }
	  glob($node->data_dir . "/base/$oid/*");
}

$node->safe_psql('postgres', 'CREATE DATABASE gone');
my $before = traces('gone');
$node->safe_psql(
	'gone', qq{
	CREATE EXTENSION pinterest_capi;
	SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '@{[PinterestStub::TOKEN]}', '@{[PinterestStub::ACCOUNT]}');
	UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}';
	SELECT pinterest_capi.allow_event('checkout');
	SELECT pinterest_capi.identify('v', '{"em": "a\@example.com"}');
	SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "EUR"}', visitor_id => 'v', event_id => 'last');
	CREATE TABLE public.orders (id integer);
	CREATE TRIGGER t AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'order_id=id')}
);
$node->safe_psql('gone', 'SELECT pinterest_capi.flush()');
is(sql_status($node, 'last', 'status', 'gone'),
	'sent', 'an extension that was used');
$node->safe_psql('gone',
	'DROP EXTENSION pinterest_capi CASCADE; DROP TABLE public.orders');
is(traces('gone'), $before,
	'DROP EXTENSION: no object, comment, right or dependency is left');
is_deeply([ files('gone') ], [], 'and no file');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'gone' AND backend_type LIKE 'pinterest_capi%')}
	),
	'and no worker');
is( $node->safe_psql(
		'gone',
		'CREATE EXTENSION pinterest_capi; SELECT count(*) FROM pinterest_capi.dispatch_status'
	),
	'0',
	'it can come back, empty');

# ---- make install, make uninstall ----

my $installed = PostgreSQL::Test::Utils::tempdir();

sub make
{
	my (@what) = @_;

	return system_log('make', '-s', '-C', $top, "PG_CONFIG=$pg_config",
		"DESTDIR=$installed", @what) == 0;
}

sub installed_files
{
	my @files;

	File::Find::find(sub { push @files, s/.*\///r if -f $_ || -l $_ },
		$installed);
	return sort @files;
}

ok(make('install'), 'make install');
is_deeply(
	[ installed_files() ],
	[
		sort "pinterest_capi.so",
		'pinterest_capi.control',
		map { m{([^/]+)$} } glob("$top/pinterest_capi--*.sql")
	],
	'library, control file, and every script of the tree');
ok(make('uninstall'), 'make uninstall');
is_deeply([ installed_files() ], [], 'nothing is left');

done_testing();
