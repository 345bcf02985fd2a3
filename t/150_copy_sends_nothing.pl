# A copy of a server's files sends nothing until an operator says that it is
# the server that sends; the server itself goes on, whatever happens to it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql track clean_log crash);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sys::Hostname;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('original', $stub,
	conf =>
	  "wal_level = replica\nmax_wal_senders = 2\nshared_preload_libraries = 'pinterest_capi'\n"
);
my $host = hostname();

# Wait until the worker has polled the queue twice and reports that it is
# held.
sub is_held
{
	my ($copy, $name, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $copy->poll_query_until(
			$database // 'postgres', q{
			SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE state = 'held' AND last_cycle_at > started_at + interval '1 second'}
		),
		"$name: the worker is held");
	return;
}

# ---- waiting events in a base backup ----

# Production has confirmed that it sends, which the copy holds too.
$node->safe_psql('postgres',
	q{ALTER SYSTEM SET pinterest_capi.dispatch = on});
$node->reload;
$node->safe_psql('postgres',
	q{SELECT pinterest_capi.pause_destination('default')});
track($node, "waits-$_") for 1 .. 5;
$node->backup('base');
$node->safe_psql('postgres',
	q{SELECT pinterest_capi.resume_destination('default')});
ok($stub->wait_count(processed => 5),
	'the original sends the waiting events');
my $before = $stub->count->{requests};

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->append_conf('postgresql.conf', 'pinterest_capi.dispatch = off');
$copy->start;

# Only the pause is undone, in the tables: the copy is held without it.
$copy->safe_psql('postgres',
	q{UPDATE pinterest_capi._destination_state SET paused_at = NULL, paused_reason = NULL}
);
is($copy->safe_psql('postgres', 'SHOW pinterest_capi.dispatch'),
	'on', 'what ALTER SYSTEM has set is stronger than postgresql.conf');
track($copy, 'of-a-tester');
is_held($copy, 'a restored base backup');
my $reason =
  qr/not ready: this looks like a copy of the server on host "\Q$host\E"/;
like(
	$copy->safe_psql(
		'postgres',
		q{SELECT status || ': ' || message FROM pinterest_capi.destination_status}
	),
	qr/^not ready: .*$reason/,
	'destination_status says why');
like($_, qr/^queued\|.*$reason/, 'so does each event that waits')
  for split /\n/,
  $copy->safe_psql('postgres',
	q{SELECT DISTINCT status, reason FROM pinterest_capi.dispatch_status});
like(
	$copy->safe_psql(
		'postgres',
		q{SELECT status || ': ' || advice FROM pinterest_capi.doctor() WHERE "check" = 'dispatch'}
	),
	qr/^error: .*copy of the server.*resume_destination\('default'\)/,
	'doctor says what to do');
unlike(
	$copy->safe_psql(
		'postgres',
		q{SELECT string_agg(advice, E'\n') FROM pinterest_capi.doctor()}),
	qr/has no access token/,
	'and nothing that is wrong');
is($copy->safe_psql('postgres', q{SELECT pinterest_capi.flush('30 s')}),
	't', 'flush waits for nothing that is held');
my @lines = slurp_file($copy->logfile) =~
  /(LOG:  nothing is sent from this server: this looks like a copy)/g;
is(scalar @lines, 1, 'one line in the log');
$copy->restart;
is_held($copy, 'the same after a restart');
is($stub->count->{requests}, $before, 'no request was sent');

# ---- until an operator says that the copy sends ----

my ($status, $out, $err) = $copy->psql(
	'postgres', q{
	LISTEN pinterest_capi;
	SELECT pinterest_capi.resume_destination('default');
	SELECT pinterest_capi.flush()});
like(
	$err,
	qr/NOTICE:  this server sends from now on/,
	'resume_destination says what it does');
like(
	$out,
	qr/notification "pinterest_capi" with payload "\{"destination": "default", "status": "ready"/,
	'who listens is told');
ok($stub->wait_count(processed => 6), 'and the copy sends');
like(
	slurp_file($copy->logfile),
	qr/LOG:  this server sends again/,
	'which the log says');
like(
	$copy->safe_psql(
		'postgres',
		q{SELECT status, message FROM pinterest_capi.destination_status}),
	qr/^ready\|ready/,
	'it is ready');
is( $copy->safe_psql(
		'postgres',
		q{SELECT status FROM pinterest_capi.doctor() WHERE "check" = 'dispatch'}
	),
	'ok',
	'doctor is content');
$copy->restart;
track($copy, 'claimed');
$stub->arrives('claimed', 'also after a restart');
$copy->stop;

# ---- the original goes on ----

$node->restart;
track($node, 'restarted');
$stub->arrives('restarted', 'after a restart');
crash($node);
$node->start;
track($node, 'crashed');
$stub->arrives('crashed', 'after a crash');
$node->stop;
my $data = $node->data_dir;
rename($data, "$data.moved") && symlink("$data.moved", $data) or die $!;
$node->start;
track($node, 'moved');
$stub->arrives('moved',
	'in a directory that was moved within its file system');
unlike(
	slurp_file($node->logfile),
	qr/nothing is sent from this server/,
	'it was never held');

# ---- cp -a of a stopped server ----

$node->stop;
mkdir $node->backup_dir;
system_or_bail('cp', '-a', "$data.moved", $node->backup_dir . '/cold');
$node->start;
$copy = PostgreSQL::Test::Cluster->new('cold');
$copy->init_from_backup($node, 'cold');
$copy->start;
is_held($copy, 'a copy of the files');
track($copy, 'of-the-copy');
($status, $out, $err) = $copy->psql(
	'postgres',
	sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', '%s')},
		PinterestStub::TAG, PinterestStub::TOKEN));
like(
	$err,
	qr/NOTICE:  this server sends from now on/,
	'configure_destination says the same as resume_destination');
$stub->arrives('of-the-copy', 'and it sends');
$copy->stop;

# ---- a database made of another one ----

$node->safe_psql('postgres', q{CREATE DATABASE pristine});
configure($node, $stub, 'pristine');
$node->safe_psql('postgres', q{CREATE DATABASE cloned TEMPLATE pristine});
track($node, 'of-a-clone', database => 'cloned');
is_held($node, 'CREATE DATABASE ... TEMPLATE', 'cloned');
like(
	$node->safe_psql(
		'cloned', q{SELECT message FROM pinterest_capi.destination_status}),
	qr/looks like a copy of another database on host/,
	'it says so');
track($node, 'of-the-template', database => 'pristine');
$stub->arrives('of-the-template', 'the template itself sends');
is(scalar($stub->received('of-a-clone')), 0, 'the copy does not');
$node->safe_psql('cloned',
	q{SELECT pinterest_capi.resume_destination('default')});
$stub->arrives('of-a-clone', 'until an operator resumes it');

# ---- a setting that names hosts ----

$node->append_conf('postgresql.conf',
	q{pinterest_capi.senders = 'elsewhere, shop-*'});
($status, $out, $err) = $node->psql(
	'postgres', q{
	LISTEN pinterest_capi;
	SELECT pg_reload_conf();
	DO $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM pinterest_capi.worker_status WHERE state = 'held') LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
	END $$;
	SELECT 1});
like($out, qr/"status": "not ready", "message": "host/,
	'who listens is told');
is_held($node, 'senders names other hosts');
like(
	$node->safe_psql(
		'postgres', q{SELECT message FROM pinterest_capi.destination_status}),
	qr/host "\Q$host\E" is not named in pinterest_capi\.senders/,
	'it says so');
like(
	$node->safe_psql(
		'postgres',
		q{SELECT advice FROM pinterest_capi.doctor() WHERE "check" = 'dispatch'}
	),
	qr/ALTER SYSTEM SET pinterest_capi\.senders/,
	'so does doctor');
track($node, 'not-named');
($status, $out, $err) = $node->psql('postgres',
	q{SELECT pinterest_capi.resume_destination('default')});
like(
	$err,
	qr/nothing is sent from this server: host .* is not named.*\n.*HINT:.*add its name to pinterest_capi\.senders/,
	'no message claims that resuming helps, and the right remedy is named');
is( $node->safe_psql(
		'postgres',
		q{SELECT status FROM pinterest_capi.dispatch_status WHERE event_id = 'not-named'}
	),
	'queued',
	'nor does it');
set_conf($node, senders => "elsewhere, \U$host\E");
$stub->arrives('not-named', 'once the host is named it sends');
($status, $out, $err) = $node->psql('postgres',
	q{ALTER SYSTEM SET pinterest_capi.senders = 'a,,b'});
like(
	$err,
	qr/invalid value for parameter "pinterest_capi\.senders"/,
	'a list that is none is refused');

$node->stop;
system_or_bail('cp', '-a', "$data.moved", $node->backup_dir . '/named');
$copy = PostgreSQL::Test::Cluster->new('named');
$copy->init_from_backup($node, 'named');
$copy->append_conf('postgresql.conf', "pinterest_capi.senders = '*'");
$copy->start;
track($copy, 'of-the-named');
$stub->arrives('of-the-named',
	'a copy on a host that is named sends without a person');

$copy->stop;
clean_log($_) for $node, $copy;
$stub->stop;
done_testing();
