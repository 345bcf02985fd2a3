# A row that can't be processed delays no other row: one whose payload or page
# is damaged, whose outcome exists already or can't be written, or to which
# somebody else's table refers.  The row is skipped, and doctor() names it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log sql track_sql track new_worker);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new(accounts => [701]);
my $node =
  setup_node('rows', $stub, conf => "fsync = off\nautovacuum = off\n");

sub doctor
{
	return sql(
		q{SELECT coalesce(string_agg(advice, ' '), '') FROM pinterest_capi.doctor() WHERE "check" = 'stuck events'}
	);
}

sub errors
{
	return scalar(() = slurp_file($node->logfile, $_[0]) =~ /ERROR:/g);
}

# while the server is down
sub damage
{
	my ($relation, $bytes, @at) = @_;
	my $file =
	  $node->data_dir . '/' . sql("SELECT pg_relation_filepath($relation)");

	sql('CHECKPOINT');
	$node->stop;
	open my $out, '+<', $file or die "$file: $!";
	binmode $out;
	for my $at (@at)
	{
		seek $out, $at, 0;
		print $out $bytes;
	}
	close $out;
	$node->start;
	return;
}

# ---- rows that people have put back or deleted ----

track($node, 'again', destination => 'default');
becomes($node, 'again', 'status', 'sent', 'an event is sent');
my $from = -s $node->logfile;
my $put_back =
  q{INSERT INTO pinterest_capi._retry (id, dest) SELECT id, dest FROM pinterest_capi._event};

# a row of _retry beside an outcome
sql('SELECT pinterest_capi.pause_destination()',
	$put_back, track_sql('beside', destination => 'default'));
is(sql(q{SELECT pinterest_capi.cancel('again')}),
	'0', 'what has an outcome does not wait');
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'beside', 'status', 'sent', 'those beside it are sent');
ok( $node->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pinterest_capi._retry'),
	'the row put back by hand goes');
is(sql('SELECT pinterest_capi.flush()'), 't', 'nor is anything due');
is($stub->count->{duplicates}, 0, 'and nothing is sent again');

# no outcome, where the worker has been
sql('DELETE FROM pinterest_capi._outcome',
	'UPDATE pinterest_capi._destination_state SET done_below = (SELECT max(id) FROM pinterest_capi._event)'
);
new_worker($node);
is(sql('SELECT pinterest_capi.flush()'),
	't', 'without an outcome: flush() does not wait for them');
is($stub->count->{duplicates}, 0, 'nor are they sent');
is( sql_status($node, 'again', 'status, reason'),
	'queued|outcome missing',
	'dispatch_status says why');
like(
	doctor(),
	qr/^2 of the newest events for "default" have neither an outcome nor a place/,
	'so does doctor()');
my ($remedy) = doctor() =~ /(INSERT INTO .* DO NOTHING);/
  or BAIL_OUT(doctor());
sql($remedy, 'SELECT pinterest_capi._wake()');
becomes($node, $_, 'status', 'sent', "$_: by doctor()'s remedy it is sent")
  for qw(again beside);
is($stub->count->{duplicates}, 2, 'as the same event');
is(doctor(), '', 'doctor() is content');

# ---- an outcome that cannot be written ----

add_destination($node, $stub, 'other', '701');
sql(q{SELECT pinterest_capi.purge('0')},
	q{CREATE UNIQUE INDEX somebodys ON pinterest_capi._outcome (dest, status)}
);
$stub->reset;
sql('SELECT pinterest_capi.pause_destination()',
	(map { track_sql("one-$_", destination => 'default') } 1 .. 3),
	'SELECT pinterest_capi.resume_destination()');
ok($stub->wait_count(processed => 3), 'three events are sent');
ok( poll(
		sub {
			doctor() =~
			  /^2 of the events for "default" cannot be dealt with.*its outcome is known/;
		}),
	'one is written down, doctor() names the others') or diag(doctor());
unlike(doctor(), qr/one-/, 'by no value');
is(sql('SELECT pinterest_capi.flush()'),
	't', 'flush() does not wait for them');
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a@example.com"}', event_id => 'elsewhere', destination => 'other')}
);
becomes($node, 'elsewhere', 'status', 'sent', 'other destinations go on');
track($node, 'one-4', destination => 'default');
ok($stub->wait_count(processed => 5), 'as does its own');
sql('DROP INDEX pinterest_capi.somebodys');
becomes($node, "one-$_", 'status, attempts',
	'sent|1', "one-$_: written down once that is possible")
  for 1 .. 4;
is($stub->count->{processed}, 5, 'and nothing was sent twice');
ok(poll(sub { doctor() eq '' }), 'doctor() is content');
cmp_ok(errors($from), '<=', 1, 'the log is not filled with errors');

# ---- payloads that cannot be read ----

my $large =
  q{SELECT pinterest_capi.track('Checkout', jsonb_build_object('value', 1, 'currency', 'USD',
	'content_ids', (SELECT jsonb_agg(md5(g::text)) FROM generate_series(1, 900) g)), '{"em": "a@example.com"}', event_id => 'damaged', destination => 'default')};
sql('SELECT pinterest_capi.pause_destination()',
	track_sql('before', destination => 'default'),
	$large,
	track_sql('behind', destination => 'default'));
damage(
	q{(SELECT reltoastrelid FROM pg_class WHERE oid = 'pinterest_capi._event'::regclass)},
	"\0" x 8192,
	0);
$from = -s $node->logfile;
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, $_, 'status', 'sent',
	"$_: sent, beside one whose payload is damaged")
  for qw(before behind);
becomes(
	$node, 'damaged',
	'status, reason, attempts',
	'queued|payload cannot be read|0',
	'that waits');
like(
	sql_status($node, 'damaged', 'error'),
	qr/^payload cannot be read: ./,
	'its row says why');
like(
	doctor(),
	qr/^1 of the events for "default" cannot be dealt with.*payload cannot be read/,
	'so does doctor()');
is(sql(q{SELECT pinterest_capi.flush('25 s')}),
	't', 'flush() does not wait for it');
sql(q{UPDATE pinterest_capi.destination SET retry_for = '2 s' WHERE destination = 'default'}
);
becomes(
	$node, 'damaged',
	'status, reason, attempts',
	'failed|payload cannot be read|0',
	'until retry_for is over');
my $log = slurp_file($node->logfile, $from);
is( scalar(() = $log =~ /LOG:.*is put off: id \d+: payload cannot be read/g),
	1,
	'one line in the log');
unlike($log, qr/worker.*ERROR|ERROR:.*chunk/, 'and no error');
sql(q{UPDATE pinterest_capi.destination SET retry_for = '48 hours'});

# ---- a page that cannot be read ----

$node->safe_psql('postgres', $_)
  for 'SELECT pinterest_capi.pause_destination()',
  'DELETE FROM pinterest_capi._outcome', 'DELETE FROM pinterest_capi._event',
  'VACUUM FULL pinterest_capi._event';
sql(map { track_sql("page-$_", destination => 'default') } 1 .. 40);
my $lost =
  sql(q{SELECT count(*) FROM pinterest_capi._event WHERE ctid < '(1,0)'});
cmp_ok($lost, '<', 30, 'there are events on a page beside the damaged one');
damage(q{'pinterest_capi._event'}, "\xff" x 512, 0);
$from = -s $node->logfile;
sql('SELECT pinterest_capi.resume_destination()');
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = 40 - $lost FROM pinterest_capi._outcome WHERE status = 'sent'"
	),
	'those on other pages are sent');
ok( $node->poll_query_until(
		'postgres',
		qq{SELECT count(*) = $lost FROM pinterest_capi._retry WHERE error LIKE 'payload cannot be read: invalid page%'}
	),
	'those on the damaged one are put off');
is( scalar(
		() =
		  slurp_file($node->logfile, $from) =~
		  /LOG:.*are put off, first of them/g),
	1,
	'with one line in the log');

# ---- what other tables refer to ----

$node->safe_psql('postgres', $_)
  for 'SELECT pinterest_capi.pause_destination()',
  'TRUNCATE pinterest_capi._event, pinterest_capi._retry, pinterest_capi._outcome',
  'SELECT pinterest_capi.resume_destination()';
sql(map { track_sql("kept-$_", destination => 'default') } 1 .. 5);
becomes($node, "kept-$_", 'status', 'sent', "kept-$_ is sent") for 1 .. 5;
sql(q{CREATE TABLE audit (event bigint REFERENCES pinterest_capi._event ON DELETE RESTRICT)},
	q{INSERT INTO audit SELECT id FROM pinterest_capi._event WHERE event_id = 'kept-3'},
	q{UPDATE pinterest_capi._outcome SET finished_at = finished_at - interval '31 days'},
	'SELECT pg_reload_conf()');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT string_agg(event_id, ',') = 'kept-3' FROM pinterest_capi._event}
	),
	'retention leaves the one that a foreign key has'
) or diag(sql('SELECT event_id FROM pinterest_capi._event'));
is( sql(q{SELECT count(*) FROM audit JOIN pinterest_capi.dispatch_status ON id = event WHERE status = 'sent'}
	),
	'1',
	'with its outcome');
sql('DROP TABLE audit');
ok( poll(
		sub {
			sql('SELECT pg_reload_conf()',
				q{SELECT count(*) FROM pinterest_capi._event}) =~ /^0$/m;
		}),
	'until it is free');

# a row of _retry without an event
sql(q{INSERT INTO pinterest_capi._retry (id, dest) VALUES (999999, 1)});
track($node, 'last', destination => 'default');
becomes($node, 'last', 'status', 'sent', 'an event is sent');
is(sql('SELECT pinterest_capi.flush()'),
	't', 'flush() does not wait for a row whose event is missing');
like(
	doctor(),
	qr/row in _event is missing \(id 999999\)/,
	'which doctor() names');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
