# A shop's orders arrive once and with the right values.  They are read from
# CSV files and inserted through a trigger, in a database in which only CREATE
# EXTENSION was run.
#
# PINTEREST_CAPI_TEST_ORDERS names another folder with customer.csv, invoice.csv
# and invoice_line.csv of the same shape as those in test/data/shop.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder =
  $ENV{PINTEREST_CAPI_TEST_ORDERS} || "$FindBin::RealBin/../test/data/shop";
my $stub = PinterestStub->new;
my $node = setup_node('shop', $stub);

$node->safe_psql('postgres',
	slurp_file("$FindBin::RealBin/../test/data/shop.sql"));

sub load
{
	my ($table) = @_;

	$node->safe_psql('postgres',
		"\\copy $table FROM '$folder/$table.csv' WITH (FORMAT csv, HEADER)");
	return $node->safe_psql('postgres', "SELECT count(*) FROM $table");
}

note("orders from $folder");
cmp_ok(load('customer'), '>', 0, 'customers are there');
cmp_ok(load('invoice_line'), '>', 0, 'and lines');
is($stub->count->{requests}, 0, 'nothing was sent yet');
my $invoices = load('invoice');
cmp_ok($invoices, '>', 0, 'and invoices');
note("$invoices invoices");

ok($stub->wait_count(processed => $invoices), 'every invoice arrives');
is($node->safe_psql('postgres', 'SELECT pinterest_capi.flush()'),
	't', 'nothing is due');
my $count = $stub->count;
is($count->{processed}, $invoices, 'as many as there are');
is($count->{distinct}, $invoices, 'each');
is($count->{duplicates}, 0, 'exactly once');
is($count->{violations}, 0, 'no request was refused');
is_deeply($count->{lapses}, [], 'nothing careless was sent');

my @sizes = sort { $b <=> $a } map { $_->{events} } $stub->requests;
my @full = ((1000) x int($invoices / 1000), $invoices % 1000 || ());
is_deeply(\@sizes, \@full, 'in full batches');

# Every expected value is computed from the files' rows, not by the extension.
my $expected = JSON::PP->new->utf8->decode(
	$node->safe_psql(
		'postgres', q{
	SELECT json_object_agg('invoice-' || i.invoice_id, json_build_object(
		'email', c.email, 'total', i.total, 'order', i.invoice_id::text,
		'contents', (SELECT json_agg(json_build_array(l.track_id::text, l.unit_price, l.quantity) ORDER BY l.invoice_line_id)
			FROM invoice_line AS l WHERE l.invoice_id = i.invoice_id),
		'items', (SELECT sum(l.quantity) FROM invoice_line AS l WHERE l.invoice_id = i.invoice_id)))
	FROM invoice AS i JOIN customer AS c USING (customer_id)}));
my %wrong;
for my $entry ($stub->received)
{
	my $event = $entry->{event};
	my $row = $expected->{ $event->{event_id} };
	my $custom = $event->{custom_data};

	if (!$row)
	{
		$wrong{event_id}++;
		next;
	}
	my $email = lc($row->{email} =~ s/^\s+|\s+$//gr);
	utf8::encode($email) if utf8::is_utf8($email);
	$wrong{em}++
	  unless "@{ $event->{user_data}{em} // [] }" eq sha256_hex($email);
	$wrong{ph}++
	  unless "@{ $event->{user_data}{ph} // [] }" =~ /^[0-9a-f]{64}$|^$/;
	$wrong{event_name}++ unless $event->{event_name} eq 'checkout';
	$wrong{value}++
	  unless $custom->{value} == $row->{total} && !ref $custom->{value};
	$wrong{currency}++ unless $custom->{currency} eq 'USD';
	$wrong{order_id}++ unless $custom->{order_id} eq $row->{order};
	$wrong{num_items}++ unless $custom->{num_items} == $row->{items};

	my @lines = map { [ $_->{id}, $_->{item_price} + 0, $_->{quantity} ] }
	  @{ $custom->{contents} };
	my @rows =
	  map { [ $_->[0], $_->[1] + 0, $_->[2] ] } @{ $row->{contents} };
	my $text = JSON::PP->new->canonical;
	$wrong{contents}++ unless $text->encode(\@lines) eq $text->encode(\@rows);
	my %ids = map { $_->[0] => 1 } @rows;
	$wrong{content_ids}++ if grep { !$ids{$_} } @{ $custom->{content_ids} };
	$wrong{content_ids}++
	  unless keys %ids ==
	  keys %{ { map { $_ => 1 } @{ $custom->{content_ids} } } };
	$wrong{free_text}++
	  if grep { exists $_->{item_name} || exists $_->{item_category} }
	  @{ $custom->{contents} };
}
is_deeply(\%wrong, {},
	'e-mail hash, value, currency, order, lines and counts of every invoice are right'
);

is( $node->safe_psql(
		'postgres',
		'SELECT status, count(*) FROM pinterest_capi.dispatch_status GROUP BY status'
	),
	"sent|$invoices",
	"dispatch_status says sent for $invoices");
is( $node->safe_psql(
		'postgres',
		'SELECT DISTINCT event_name, sent_as, destination, attempts, http_status FROM pinterest_capi.dispatch_status'
	),
	'Order Placed|checkout|default|1|200',
	'with name, destination, attempts and answer');

# Inserting the same invoices again changes nothing.
$node->safe_psql(
	'postgres', q{
	BEGIN; CREATE TEMP TABLE again AS TABLE invoice; DELETE FROM invoice; INSERT INTO invoice TABLE again; COMMIT;
	SELECT pinterest_capi.flush();
	SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "USD"}', '{"em": "fence@example.com"}', event_id => 'fence')}
);
ok( $stub->wait_count(processed => $invoices + 1),
	'inserted again: only new orders arrive');
is($stub->count->{duplicates}, 0, 'nothing twice');

# Names of goods are sent only in the properties that the allow list names.
$node->safe_psql(
	'postgres', q{
	SELECT pinterest_capi.allow_event('Order Placed', 'Checkout', properties => ARRAY['item_name', 'item_category']);
	INSERT INTO invoice_line VALUES (900001, 900001, 7, 'Ink, blue-black', 'Writing', 7.95, 2);
	INSERT INTO invoice SELECT n, min(customer_id), now(), 1 FROM customer, generate_series(900000, 900001) AS n GROUP BY n}
);
ok($stub->wait_count(processed => $invoices + 3), 'two more orders arrive');
my ($named) = $stub->received('invoice-900001');
is_deeply(
	$named->{event}{custom_data}{contents},
	[
		{
			id => '7',
			item_price => '7.95',
			quantity => 2,
			item_name => 'Ink, blue-black',
			item_category => 'Writing'
		}
	],
	'one with the names of its goods');
my ($bare) = $stub->received('invoice-900000');
ok(!exists $bare->{event}{custom_data}{contents},
	'and one that has no lines');

# A faulty value in an order loses neither the order nor its event.
$node->safe_psql(
	'postgres', q{
	INSERT INTO customer (customer_id, email) VALUES (800001, NULL), (800002, 'no address');
	INSERT INTO invoice VALUES (800001, 800001, now(), 5), (800002, 800002, now(), 5), (800003, 1, now(), 'NaN')}
);
is( $node->safe_psql(
		'postgres', q{
		SELECT event_id, status, reason FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'invoice-80000%' ORDER BY event_id}
	),
	"invoice-800001|suppressed|no identifier\ninvoice-800002|suppressed|no identifier\ninvoice-800003|rejected|invalid value",
	'orders that can\'t be sent are committed, and a row says why');

$node->stop;
$stub->stop;
done_testing();
