# Sessions and workers go on when a new version is installed under a running
# server: its library beside the old one that they have loaded, its script
# before or after that, and then ALTER EXTENSION UPDATE.
#
# The server is a copy of the installed one, so that the test can put files
# there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename qw(dirname);
use File::Copy     qw(copy);
use PinterestStub
  qw(:DEFAULT track_sql track clean_log server_copy sql new_worker worker_pid);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- the server's copy ----

my ($root, $install_path, %directory) = server_copy();
my $pg_config = "$directory{bindir}/pg_config";
my $top = "$FindBin::RealBin/..";
my $library = "$root$directory{pkglibdir}/pinterest_capi.so";
my $scripts = "$root$directory{sharedir}/extension";
my ($default) =
  slurp_file("$top/pinterest_capi.control") =~ /default_version = '(.*)'/;

# ---- a newer library: the same with a function more ----

my $newer = "$root/newer";
mkdir $newer or die $!;
system_or_bail(
	'sh',
	'-c',
	'tar -C "$1" -c Makefile pinterest_capi.control pinterest_capi.[co] src | tar -C "$2" -x',
	'sh',
	$top,
	$newer);
append_to_file("$newer/src/queue/newer.c", <<'C');
#include "pinterest_capi.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(pcapi_sql_newer);
Datum
pcapi_sql_newer(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(101);
}
C
system_or_bail('make', '-s', '-C', $newer, "PG_CONFIG=$pg_config");
copy($library, "$root/old.so") or die $!;

# as make install does: another file under the same name
sub install_library
{
	my ($from) = @_;

	unlink $library;
	copy($from, $library) or die $!;
	chmod 0755, $library;
	return;
}

# its script: more columns everywhere, a function, a view with one more column
my @tables =
  qw(destination allowed_event consent_rule _destination_state _secret _visitor _suppression _event _retry _outcome _lease _worker);
append_to_file(
	"$scripts/pinterest_capi--$default--next.sql",
	join "\n",
	(   map {
			"ALTER TABLE pinterest_capi.$_ ADD COLUMN newer text DEFAULT 'x';"
		} @tables),
	q{CREATE FUNCTION pinterest_capi._newer() RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'pcapi_sql_newer';},
	q{CREATE OR REPLACE VIEW pinterest_capi.worker_status AS
		SELECT pg_catalog.current_database() AS database, w.pid, w.state, w.started_at,
			w.last_cycle_at, w.in_flight_requests, w.last_error, 'x' AS newer FROM pinterest_capi._worker_state() AS w;},
	'');

# ---- the cluster ----

my $stub = PinterestStub->new;
my $node = setup_node('update', $stub, install_path => $install_path);
is(sql(q{SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'}),
	dirname($library), 'the server is the copy');

# Return which library a process has mapped: the installed file, or a deleted
# one.
sub has_current
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/maps") =~ /pinterest_capi\.so$/m ? 1 : 0;
}

# Call every function once, in a session that began before.
sub everything
{
	my ($session, $id) = @_;

	# a notice is no error
	for my $statement (
		'SET client_min_messages = warning',
		track_sql($id),
		track_sql("$id-cancelled"),
		q{SELECT pinterest_capi.identify('v', '{"em": "u@example.com"}', '{"ads": true}')},
		q{SELECT pinterest_capi.capture_click('v', 'https://shop.example/?epik=dj0yJnU9click')},
		q{SELECT status FROM pinterest_capi.preview('Checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'v')},
		q{SELECT pinterest_capi.allow_event('lead')},
		q{SELECT pinterest_capi.disallow_event('lead')},
		q{SELECT pinterest_capi.flush()},
		q{SELECT pinterest_capi.verify_destination()},
		q{SELECT pinterest_capi.pause_destination()},
		q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "c@example.com"}', event_id => '}
		. $id
		. q{-last')},
		"SELECT pinterest_capi.cancel('$id-last')",
		q{SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true)},
		q{SELECT pinterest_capi.replay('default', 'cancelled')},
		q{SELECT pinterest_capi.resume_destination()},
		q{SELECT pinterest_capi.flush()},
		q{SELECT pinterest_capi.forget('v')},
		q{DELETE FROM pinterest_capi._suppression},
		q{SELECT pinterest_capi.purge('1 hour')},
		q{SELECT count(*) FROM pinterest_capi.dispatch_status},
		q{SELECT count(*) FROM pinterest_capi.destination_status},
		q{SELECT count(*) FROM pinterest_capi.worker_status},
		q{SELECT count(*) FROM pinterest_capi.event_quality},
		q{SELECT count(*) FROM pinterest_capi.compliance_report},
		q{SELECT pinterest_capi.configure_destination('}
		. PinterestStub::TAG . q{', '}
		. PinterestStub::TOKEN . q{')})
	{
		$session->query($statement);
		is($session->{stderr}, '',
			"$id: " . substr($statement, 0, 60) =~ s/\(.*//sr)
		  if $session->{stderr} ne '';
		$session->{stderr} = '';
	}
	$stub->arrives($id, "$id: all functions work, and its event is sent");
	return;
}

# ---- the library alone ----

my $old = $node->background_psql('postgres', on_error_stop => 0);
my $old_pid = $old->query_safe('SELECT pg_backend_pid()');
everything($old, 'before');
$stub->hang($node, 'installed-under-it');
install_library("$newer/pinterest_capi.so");
my $worker = worker_pid($node);
is(has_current($old_pid) . has_current($worker),
	'00',
	'a newer library is there; a session and the worker have the old one');
$stub->release;
$stub->arrives('installed-under-it', 'the event in flight arrives');
everything($old, 'old-session-old-worker');
my $new = $node->background_psql('postgres', on_error_stop => 0);
my $new_pid = $new->query_safe('SELECT pg_backend_pid()');
everything($new, 'new-session-old-worker');
is(has_current($new_pid), 1, 'this session has the newer one');
new_worker($node, 'a worker that starts now');
is(has_current(worker_pid($node)), 1, 'has the newer one too');
everything($old, 'old-session-new-worker');
everything($new, 'new-session-new-worker');

# ---- the script ----

# to the version it has, to one that doesn't exist, into another schema
my ($notice, $refused) = ('', '');
$node->psql(
	'postgres',
	'ALTER EXTENSION pinterest_capi UPDATE',
	stderr => \$notice);
like(
	$notice,
	qr/^psql:<stdin>:1: NOTICE:  version "\Q$default\E" of extension "pinterest_capi" is already installed$/,
	'ALTER EXTENSION UPDATE to the version that it has: a notice');
$node->psql(
	'postgres',
	q{ALTER EXTENSION pinterest_capi UPDATE TO '99'},
	stderr => \$refused);
like(
	$refused,
	qr/ERROR:  extension "pinterest_capi" has no update path from version "\Q$default\E" to version "99"/,
	'to one that there is not: the server\'s error');
$node->psql(
	'postgres',
	'ALTER EXTENSION pinterest_capi SET SCHEMA public',
	stderr => \$refused);
like($refused, qr/does not support SET SCHEMA/, 'its schema stays');

$stub->hang($node, 'updated-under-it');
sql(q{ALTER EXTENSION pinterest_capi UPDATE TO 'next'});
is( sql(q{SELECT extversion FROM pg_extension WHERE extname = 'pinterest_capi'}
	),
	'next',
	'ALTER EXTENSION UPDATE, while a request hangs');
$stub->release;
$stub->arrives('updated-under-it', 'the event in flight arrives');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT status = 'sent' FROM pinterest_capi.dispatch_status WHERE event_id = 'updated-under-it'}
	),
	'and is settled');
everything($new, 'newer-script');
is($new->query('SELECT pinterest_capi._newer()'),
	'101', 'the new functions exist');
everything($old, 'older-library-in-the-session');
$old->query('SELECT pinterest_capi._newer()');
like(
	$old->{stderr},
	qr/ERROR:  could not find function "pcapi_sql_newer" in file/,
	'but not for a session with the old library: the server\'s error');
$old->{stderr} = '';
everything($old, 'which-goes-on');

# an older library with the newer script, worker included: a package that was taken back
install_library("$root/old.so");
new_worker($node, 'a worker with the older library');
my $back = $node->background_psql('postgres', on_error_stop => 0);
everything($back, 'older-library-newer-script');
$_->quit for $old, $new, $back;
my $created = 'other';
sql("CREATE DATABASE $created");
install_library("$newer/pinterest_capi.so");
$node->safe_psql($created, q{CREATE EXTENSION pinterest_capi VERSION 'next'});
is($node->safe_psql($created, 'SELECT pinterest_capi._newer()'),
	'101', 'CREATE EXTENSION goes the way of the updates');

# ---- preloaded: all processes have the postmaster's library until a restart ----

install_library("$root/old.so");
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pinterest_capi'");
$node->restart;
install_library("$newer/pinterest_capi.so");
new_worker($node, 'preloaded: a worker that starts after that');
is(has_current(worker_pid($node)), 0, 'still has the old library');
track($node, 'preloaded');
$stub->arrives('preloaded', 'and sends');
my (undef, undef, $missing) =
  $node->psql('postgres', 'SELECT pinterest_capi._newer()');
like(
	$missing,
	qr/could not find function "pcapi_sql_newer"/,
	'the new functions don\'t exist');
$node->restart;
is(sql('SELECT pinterest_capi._newer()'),
	'101', 'until the server is restarted');
track($node, 'restarted');
$stub->arrives('restarted', 'and it sends');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
	),
	'nothing waits');
clean_log($node);
$node->stop;
$stub->stop;
done_testing();
