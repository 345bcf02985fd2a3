# Triggers track on partitioned tables, on their partitions, and on partitions
# that are another server's.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('shop', $stub);

# Return an order's value as it was sent, so that a wrong column is noticed.
sub value_of
{
	my ($id) = @_;

	return $node->safe_psql(
		'postgres', qq{
		SELECT string_agg((payload -> 'custom_data' ->> 'value') || ' ' || (payload -> 'custom_data' ->> 'order_id'), ', ')
		FROM pinterest_capi.dispatch_status WHERE event_id = '$id'});
}

# Columns of a partition may stand in another order, and have gaps.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE orders (id int, placed date, email text, total numeric, currency text) PARTITION BY RANGE (placed);
	CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
	CREATE TABLE orders_2026 (gap int, currency text, total numeric, email text, placed date, id int);
	ALTER TABLE orders_2026 DROP COLUMN gap;
	ALTER TABLE orders ATTACH PARTITION orders_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
	CREATE TRIGGER pinterest AFTER INSERT ON orders FOR EACH ROW
		EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'email=email', 'value=total', 'currency=currency',
			'order_id=id', 'event_id=(''order-'' || $1.id)');
	INSERT INTO orders VALUES (1, '2025-06-01', 'a@example.com', 10, 'EUR'), (2, '2026-06-01', 'a@example.com', 20, 'EUR')}
);
is(value_of('order-1'), '10 1', 'a row that is routed to a partition');
is(value_of('order-2'), '20 2', 'to one whose columns stand otherwise');

$node->safe_psql('postgres',
	q{INSERT INTO orders_2026 (id, placed, email, total, currency) VALUES (3, '2026-07-01', 'a@example.com', 30, 'EUR')}
);
is(value_of('order-3'), '30 3',
	'a row that is inserted into the partition itself');

# attached later, and with a partition of its own
$node->safe_psql(
	'postgres', q{
	CREATE TABLE orders_2027 (email text, id int, total numeric, placed date, currency text) PARTITION BY LIST (currency);
	CREATE TABLE orders_2027_eur (currency text, placed date, total numeric, id int, email text);
	INSERT INTO orders_2027_eur VALUES ('EUR', '2027-01-01', 5, 100, 'a@example.com');
	ALTER TABLE orders_2027 ATTACH PARTITION orders_2027_eur FOR VALUES IN ('EUR');
	ALTER TABLE orders ATTACH PARTITION orders_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
	INSERT INTO orders VALUES (4, '2027-02-01', 'a@example.com', 40, 'EUR')});
is(value_of('order-4'), '40 4',
	'a partition that is attached later has the trigger, two levels down');
is(value_of('order-100'), '', 'its rows are no new rows');

# in the session that has used the trigger before
is( $node->safe_psql(
		'postgres', q{
		INSERT INTO orders VALUES (5, '2025-02-01', 'a@example.com', 50, 'EUR');
		ALTER TABLE orders DETACH PARTITION orders_2025;
		CREATE TABLE orders_2025b (total numeric, currency text, email text, id int, placed date);
		ALTER TABLE orders ATTACH PARTITION orders_2025b FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		INSERT INTO orders VALUES (6, '2025-02-01', 'a@example.com', 60, 'EUR');
		INSERT INTO orders_2025 VALUES (7, '2025-02-01', 'a@example.com', 70, 'EUR');
		SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id IN ('order-5', 'order-6', 'order-7')}
	),
	'2',
	'a partition is exchanged: the new one has the trigger, the detached one has not'
);
is(value_of('order-6'), '60 6', 'with its own columns');

$node->safe_psql(
	'postgres', qq{COPY orders FROM stdin;
8\t2026-01-01\ta\@example.com\t80\tEUR
9\t2027-01-01\ta\@example.com\t90\tEUR
\\.
});
is(value_of('order-8') . ', ' . value_of('order-9'), '80 8, 90 9', 'COPY');

# An UPDATE that moves a row deletes and inserts: the INSERT fires, and the same event_id makes it no second event.
$node->safe_psql('postgres',
	q{UPDATE orders SET placed = '2027-03-01' WHERE id = 8});
is(value_of('order-8'), '80 8',
	'a row that an UPDATE moves to another partition is no second event');

# ---- a partition on another server ----

SKIP:
{
	skip 'postgres_fdw is not installed',
	  6
	  unless $node->safe_psql(
		'postgres',
		q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}
	  );

	my $shard = PostgreSQL::Test::Cluster->new('shard');
	my ($host, $port) = ($shard->host, $shard->port);

	$shard->init;
	$shard->append_conf('postgresql.conf', 'log_statement = none');
	$shard->start;
	$shard->safe_psql('postgres',
		'CREATE TABLE orders_far (id int, placed date, email text, total numeric, currency text)'
	);
	$node->safe_psql(
		'postgres', qq{
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER shard FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres', batch_size '100');
		CREATE USER MAPPING FOR CURRENT_USER SERVER shard;
		CREATE FOREIGN TABLE orders_2030 PARTITION OF orders FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')
			SERVER shard OPTIONS (table_name 'orders_far');
		INSERT INTO orders SELECT 200 + i, date '2030-01-01' + i, 'a\@example.com', i, 'EUR' FROM generate_series(1, 150) AS i}
	);
	is( $node->safe_psql(
			'postgres',
			q{SELECT count(*), count(DISTINCT payload -> 'custom_data' ->> 'value') FROM pinterest_capi.dispatch_status WHERE event_id ~ '^order-(2..|3..)$'}
		),
		'150|150',
		'rows that are routed to a foreign partition are tracked here');
	is($shard->safe_psql('postgres', 'SELECT count(*) FROM orders_far'),
		'150', 'and stored there');
	$node->safe_psql('postgres',
		q{INSERT INTO orders_2030 VALUES (400, '2030-05-05', 'a@example.com', 4, 'EUR')}
	);
	is(value_of('order-400'), '4 400',
		'one that is inserted into the foreign table itself');
	$shard->safe_psql('postgres',
		q{INSERT INTO orders_far VALUES (401, '2030-05-05', 'a@example.com', 4, 'EUR')}
	);
	is(value_of('order-401'), '',
		'rows that others write on the other server fire no trigger here');

	# the remote part fails: neither row nor event
	$shard->safe_psql('postgres',
		'ALTER TABLE orders_far ADD CHECK (total < 1000)');
	isnt(
		$node->psql(
			'postgres',
			q{INSERT INTO orders VALUES (402, '2030-05-05', 'a@example.com', 2000, 'EUR')}
		),
		0,
		'refused by the other server');
	is(value_of('order-402'), '', 'and not tracked');
	ok($stub->wait_count(processed => 159), 'all are sent');
	$shard->stop;
}

my $queued = $node->safe_psql('postgres', 'SELECT pinterest_capi.flush()');
is($queued, 't', 'nothing is left');
is($stub->count->{duplicates}, 0, 'none was sent twice');
$node->stop;
$stub->stop;
done_testing();
