# After all kinds of calls no raw identifier and no token is on disk: not in
# the tables, not in the WAL, not in the server's log, not in a dump.
#
# An application may write raw values into its own tables, and an administrator
# may have statements logged (log_statement, log_min_duration_statement).
# Those copies are theirs.  So log_statement is none here, and raw values stand
# in calls alone; the extension's own messages are logged at every level.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Find;
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('privacy', $stub,
	conf =>
	  "log_min_messages = debug1\nlog_error_verbosity = verbose\nwal_level = replica\n"
	  . "full_page_writes = on\nautovacuum = off");

# Rare words, so that a hit can't be chance; in parts, so that a value cut short or re-cased is a hit too.
my %raw = (
	email => 'Quokkazelda.Wombatworth@vexilloquark.example',
	phone => '+49 176 80817263',
	first_name => 'Ysabranthe',
	last_name => 'Okonkwollow',
	city => 'Llanfairpwll',
	zip => 'QZ77 4XJ',
	date_of_birth => '1931-07-23',
	external_id => 'customer-zyx98417263',
	maid => '5cf0d2d1-9b61-4f0e-8c5a-77e1bd4a2c19');
my @traces = (
	'quokkazelda', 'vexilloquark',
	'80817263', '4917680817263',
	'ysabranthe', 'okonkwollow',
	'llanfairpwll', 'qz774xj',
	'qz77 4xj', 'zyx98417263',
	'5cf0d2d1-9b61', '19310723',
	'1931-07-23', 'visitor-jabberwock',
	'pina_testonly', '5c1b7f0e9d3a4286',
	'pina_second', 'pina_bad');

my $user =
  '{' . join(', ', map { qq{"$_": "$raw{$_}"} } sort keys %raw) . '}';
my $secret_mail = $raw{email};

# every kind of call, valid and invalid
$node->safe_psql('postgres', <<"SQL");
SELECT pinterest_capi.allow_event('signup');
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '$user', event_id => 'p1');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '$user', visitor_id => 'visitor-jabberwock', event_id => 'p2');
SELECT pinterest_capi.track('nobody allowed this', '{}', '$user', event_id => 'p3');
SELECT pinterest_capi.track('Checkout', '{"value": "NaN", "currency": "USD"}', '$user', event_id => 'p4');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"first_name": "$raw{first_name}"}', event_id => 'p5');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "$raw{email}"}', event_id => 'p6', event_time => now() - interval '10 days');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "$raw{email}"}', event_id => 'p7', event_time => now() + interval '1 day');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD", "page_url": "https://shop.example/thanks?mail=$raw{email}"}', '{"em": "$raw{email}"}', event_id => 'p8');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD", "$raw{email}": "x", "email": "$raw{email}"}', '{"em": "$raw{email}", "$raw{phone}": "x"}', event_id => 'p9');
SELECT pinterest_capi.normalize_identifier('em', '$raw{email}');
SELECT pinterest_capi.hash_identifier('ph', '$raw{phone}');
BEGIN;
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '$user', event_id => 'p10');
ROLLBACK;
SQL
for my $call (
	"pinterest_capi.track('', '{}', '$user')",
	"pinterest_capi.track(NULL, '{}', '$user')",
	"pinterest_capi.track('Checkout', '\"$raw{email}\"', '$user')",
	"pinterest_capi.track('Checkout', '{}', '[\"$raw{email}\"]')",
	"pinterest_capi.track('Checkout', '{}', '$user', action_source => '$raw{email}')",
	"pinterest_capi.track('Checkout', '{}', '$user', destination => '$raw{email}')",
	"pinterest_capi.hash_identifier('$raw{email}', '$raw{email}')",
	"pinterest_capi.configure_destination('$raw{email}', 'pina_bad_token')",
	"pinterest_capi.configure_destination('2617998078212', 'pina_bad token')",
	"pinterest_capi.configure_destination('2617998078212', 'pina_bad_token', 'abc')",
	"pinterest_capi.configure_destination('2617998078212', 'pina_bad_token', '1', '')"
  )
{
	my ($code, undef, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
	my $name = $call =~ s/\(.*//sr;

	isnt($code, 0, "$name: a call that can't be meant is an error");
	like($err, qr/ERROR:  22023/, "$name: 22023");
	my ($message) = $err =~ /(ERROR:.*?)(?:\nLINE |\z)/s;
	unlike($message, qr/quokkazelda|pina_bad/i,
		"$name: which quotes no value");
}

# Triggers: the application's table is its own and temporary, but its e-mail
# address must not be copied.
$node->safe_psql('postgres', <<"SQL");
CREATE UNLOGGED TABLE orders (id int, total text);
CREATE FUNCTION secret() RETURNS text LANGUAGE sql AS \$\$ SELECT pg_catalog.reverse('@{[scalar reverse $raw{email}]}') \$\$;
CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Order Placed', 'email=(SELECT public.secret())', 'value=total', 'currency:=USD', 'event_id=id');
INSERT INTO orders VALUES (1, '12.50'), (2, 'NaN'), (3, 'a lot');
SQL

# a second token that replaces the first, and answers that repeat the request
$node->safe_psql('postgres',
	q{SELECT pinterest_capi.configure_destination('2617998078212', 'pina_second_token_77123', '549755885175')}
);
$node->safe_psql('postgres',
	q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "x@example.com"}', event_id => 'privacy-canary')}
);
ok( $node->poll_query_until(
		'postgres', 'SELECT status FROM pinterest_capi.destination_status',
		'paused'),
	'a wrong token pauses');
$stub->script(
	{
		status => 401,
		body => {
			code => 2,
			message => 'Token ' . PinterestStub::TOKEN . ' is unknown.'
		}
	});
$node->safe_psql(
	'postgres',
	sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', '%s')},
		PinterestStub::TAG, PinterestStub::TOKEN));
ok( poll(
		sub {
			grep { ($_->{status} // 0) == 401 && !$_->{hanging} }
			  $stub->requests;
		}),
	'an answer that quotes the token');
ok( $node->poll_query_until(
		'postgres', 'SELECT status FROM pinterest_capi.destination_status',
		'paused'),
	'pauses too');
unlike(
	$node->safe_psql(
		'postgres', 'SELECT * FROM pinterest_capi.destination_status'),
	qr/pina_/,
	'and the view does not quote it');
$node->safe_psql(
	'postgres',
	sprintf(
		q{SELECT pinterest_capi.configure_destination('%s', '%s')},
		PinterestStub::TAG, PinterestStub::TOKEN));
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status IN ('queued', 'retrying')}
	),
	'all is done');
cmp_ok($stub->count->{processed}, '>=', 5, 'events were sent');
is_deeply([ grep { /hashed|e-mail/ } @{ $stub->count->{lapses} } ],
	[], 'with nothing raw in them');
cmp_ok(
	scalar(
		grep {
			($_->{event}{user_data}{em} // [''])->[0] eq
			  sha256_hex(lc $secret_mail)
		} $stub->received),
	'>',
	0,
	'but with the hash of the e-mail address');

# what a user sees
for my $view (
	qw(dispatch_status destination_status worker_status destination allowed_event)
  )
{
	my $rows =
	  $node->safe_psql('postgres', "SELECT * FROM pinterest_capi.$view");
	my @hits = grep { $rows =~ /\Q$_\E/i } @traces;
	is_deeply(\@hits, [], "$view shows no raw value");
}

# a dump
my ($dump, $errors) = ('', '');
IPC::Run::run(
	[ 'pg_dump', '-d', $node->connstr('postgres') ],
	'>' => \$dump,
	'2>' => \$errors) or die "pg_dump: $errors";
is_deeply([ grep { $dump =~ /\Q$_\E/i } @traces ],
	[], 'no raw value is in a dump');

# The disk: two checkpoints write the buffers, so that the WAL has it all as
# well.
my $data = $node->data_dir;
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop;

sub hits
{
	my ($where, @files) = @_;
	my @found;

	for my $file (@files)
	{
		open my $in, '<:raw', $file or next;
		local $/;
		my $bytes = <$in> // '';
		close $in;
		my $lower = lc $bytes;
		push @found,
		  map { "$file: $_" } grep { index($lower, $_) >= 0 } @traces;
	}
	is_deeply(\@found, [], "no raw value in $where");
	return;
}

my (@data, @wal);
find(
	{
		no_chdir => 1,
		wanted => sub {
			return unless -f $_;
			if   (m{/pg_wal/}) { push @wal, $_ }
			else               { push @data, $_ }
		}
	},
	$data);
cmp_ok(scalar(@data), '>', 100, 'the data directory is there');
cmp_ok(scalar(@wal), '>', 0, 'the WAL is there');
cmp_ok(-s $node->logfile, '>', 1000, 'the log is there');
hits('the data directory', @data);
hits('the WAL', @wal);

# psql's own LINE excerpts are the client's; the server logs an error's statement only if it isn't hidden
hits('the log', $node->logfile);

# The search finds what is there: an event's id is no secret.
for my $place ([ 'the data directory', @data ], [ 'the WAL', @wal ])
{
	my ($where, @files) = @$place;
	my $seen = grep { index(slurp_file($_), 'privacy-canary') >= 0 } @files;

	cmp_ok($seen, '>', 0, "the search would have found it in $where");
}

$stub->stop;
done_testing();
