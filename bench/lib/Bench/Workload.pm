# Bench/Workload.pm
#	  The measured events, and hand-written queues for the same events, as the
#	  references.
#
# shop.orders holds what an application knows of its orders.  Two references queue
# the same payloads as track, built by jsonb_build_object, with the same hashes.
# Neither has gates, consent, or a check of any value, and neither wakes a worker:
# all that is in their favour.
#	by hand		hand.event and hand.queue: the columns, keys and indexes that a queue
#				with retries, a history and several destinations needs; e-mail, phone
#				and external id; ON CONFLICT for the repeated event
#	minimal		hand.minimal: a bigserial key, a unique event id, and the event as one
#				jsonb; the SHA-256 of the trimmed, lower-cased e-mail and external id;
#				one plain INSERT, which fails for the repeated event.  It is the least
#				that sends the event once: who has sent it deletes the row
# hand.plain is for one INSERT of a payload and nothing else.
package Bench::Workload;

use strict;
use warnings;

use Bench;
use Exporter qw(import);

our @EXPORT =
  qw(make_orders make hand_schema trigger_schema same_payloads empty_queues
  track_call hand_statement minimal_call minimal_statement TRACK_WARM HAND_WARM
  event_tables retry_table waits_in_retry);

# Return an order's row as a function of its number.  $n: an expression.
sub _order
{
	my ($n) = @_;

	return <<"SQL";
$n AS id, ' Customer.' || $n || '\@Example.com ' AS email,
	'+49 (30) ' || 1000000 + $n % 9000000 AS phone, 'c-' || $n % 1000003 AS customer,
	round(5 + $n % 20000 / 100.0, 2) AS total, 'EUR' AS currency,
	'sku-' || $n % 997 AS sku, (1 + $n % 4)::integer AS quantity
SQL
}

sub make_orders
{
	my ($database, $rows) = @_;

	psql($database, <<"SQL");
CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE shop.orders AS SELECT @{[ _order('n') ]} FROM generate_series(1::bigint, $rows) AS n;
ALTER TABLE shop.orders ADD PRIMARY KEY (id);
VACUUM ANALYZE shop.orders;
SQL
	return;
}

# Return the arguments of track for an order: $o.id and so on
sub track_call
{
	my ($o, $event_id) = @_;

	$event_id //= "'order-' || $o.id";
	return <<"SQL";
pinterest_capi.track('Checkout',
	jsonb_build_object('value', $o.total, 'currency', $o.currency, 'order_id', $o.id::text, 'product_id', $o.sku, 'quantity', $o.quantity),
	jsonb_build_object('email', $o.email, 'phone', $o.phone, 'external_id', $o.customer),
	event_id => $event_id)
SQL
}

# Return the custom_data of an order, as both references build it.
sub _custom_data
{
	my ($o) = @_;

	return <<"SQL";
jsonb_build_object(
	'currency', $o.currency,
	'value', $o.total::text,
	'order_id', $o.id::text,
	'contents', jsonb_build_array(jsonb_build_object('id', $o.sku, 'quantity', $o.quantity)),
	'content_ids', jsonb_build_array($o.sku),
	'num_items', $o.quantity)
SQL
}

# Return the same by hand; $from: the FROM item of $o and a comma, empty for
# variables.
sub hand_statement
{
	my ($o, $event_id, $from) = @_;

	$event_id //= "'order-' || $o.id";
	$from     //= '';
	return <<"SQL";
WITH e AS (
	INSERT INTO hand.event (created_at, event_time, dest, event_id, event_name, sent_as, payload)
	SELECT clock_timestamp(), now(), 1, x.event_id, 'Checkout', 'checkout',
		jsonb_build_object(
			'event_name', 'checkout',
			'action_source', 'web',
			'event_time', extract(epoch FROM now())::bigint,
			'event_id', x.event_id,
			'user_data', jsonb_build_object(
				'em', jsonb_build_array(encode(sha256(convert_to(lower(btrim($o.email)), 'UTF8')), 'hex')),
				'ph', jsonb_build_array(encode(sha256(convert_to(regexp_replace($o.phone, '[^0-9]', '', 'g'), 'UTF8')), 'hex')),
				'external_id', jsonb_build_array(encode(sha256(convert_to($o.customer, 'UTF8')), 'hex'))),
			'custom_data', @{[ _custom_data($o) ]})
	FROM ${from}LATERAL (SELECT $event_id AS event_id) AS x
	ON CONFLICT (event_id, event_name, dest) DO NOTHING
	RETURNING id, dest)
INSERT INTO hand.queue (id, dest) SELECT id, dest FROM e
SQL
}

# Return the arguments of track for the event of the minimal reference.
sub minimal_call
{
	my ($o) = @_;

	return track_call($o) =~ s/'phone', \Q$o\E\.phone, //r;
}

# Return the same by hand.
sub minimal_statement
{
	my ($o) = @_;
	my $hash = sub {
		return
		  "jsonb_build_array(encode(sha256(convert_to(lower(btrim($_[0])), 'UTF8')), 'hex'))";
	};

	return <<"SQL";
INSERT INTO hand.minimal (event_id, event) VALUES ('order-' || $o.id,
	jsonb_build_object(
		'event_name', 'checkout',
		'action_source', 'web',
		'event_time', extract(epoch FROM now())::bigint,
		'event_id', 'order-' || $o.id,
		'user_data', jsonb_build_object('em', @{[ $hash->("$o.email") ]}, 'external_id', @{[ $hash->("$o.customer") ]}),
		'custom_data', @{[ _custom_data($o) ]}))
SQL
}

# Run statements, each given without its semicolon.
sub hand_schema
{
	return (
		'CREATE SCHEMA hand',
		<<'SQL', <<'SQL', 'CREATE INDEX ON hand.queue (dest, due_at) WHERE due_at IS NOT NULL', <<'SQL', <<'SQL');
CREATE TABLE hand.event (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	created_at timestamptz NOT NULL,
	event_time timestamptz NOT NULL,
	dest integer NOT NULL,
	visitor bytea,
	event_id text NOT NULL,
	event_name text NOT NULL,
	sent_as text,
	warnings text[],
	payload jsonb,
	UNIQUE (event_id, event_name, dest)
)
SQL
CREATE TABLE hand.queue (
	id bigint NOT NULL,
	dest integer NOT NULL,
	attempts integer NOT NULL DEFAULT 0,
	http_status integer,
	due_at timestamptz,
	first_attempt_at timestamptz,
	last_attempt_at timestamptz,
	error text,
	warnings text[],
	PRIMARY KEY (dest, id)
)
SQL
CREATE TABLE hand.plain (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	payload text NOT NULL
)
SQL
CREATE TABLE hand.minimal (
	id bigserial PRIMARY KEY,
	event_id text NOT NULL UNIQUE,
	event jsonb NOT NULL
)
SQL
}

# Create tables of orders: with track_trigger, with the same by hand, with no
# trigger.
sub trigger_schema
{
	my $columns =
	  '(id bigint PRIMARY KEY, email text, phone text, customer text, total numeric, currency text, sku text, quantity integer)';

	return (
		'CREATE SCHEMA IF NOT EXISTS shop',
		map({ "CREATE TABLE shop.$_ $columns" } qw(tracked by_hand bare)),
		<<'SQL', <<"SQL", 'CREATE TRIGGER t AFTER INSERT ON shop.by_hand FOR EACH ROW EXECUTE FUNCTION hand.enqueue()');
CREATE TRIGGER t AFTER INSERT ON shop.tracked FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Checkout', 'email=email', 'phone=phone', 'external_id=customer',
		'value=total', 'currency=currency', 'order_id=id', 'product_id=sku', 'quantity=quantity', 'event_id=id')
SQL
CREATE FUNCTION hand.enqueue() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	@{[ hand_statement('NEW', 'NEW.id::text') ]};
	RETURN NULL;
END \$\$
SQL
}

sub make
{
	my ($database, @statements) = @_;

	psql($database, join ";\n", @statements);
	return;
}

# Compare the events in a table by hand with those that track queued; die if they
# differ.
sub same_payloads
{
	my ($database, $table, $column) = @_;
	my $differs = value($database, <<"SQL");
SELECT count(*) FROM (
	SELECT event_id, payload::jsonb - 'event_time' AS p FROM pinterest_capi._event) AS a
	FULL JOIN (SELECT event_id, $column - 'event_time' AS p FROM $table) AS b USING (event_id)
WHERE a.p IS DISTINCT FROM b.p
SQL
	my $events =
	  value($database, 'SELECT count(*) FROM pinterest_capi._event');

	die "no events to compare\n" unless $events > 0;
	die "$differs of $events payloads differ from those by hand\n"
	  unless $differs == 0;
	return $events;
}

# ---- the extension's own tables ----

# Return the tables that an event goes through.
sub event_tables
{
	my ($database) = @_;

	return ('_event', '_outcome', retry_table($database));
}

# Return the name of the table of events that wait for a retry.
sub retry_table
{
	my ($database) = @_;

	return value($database,
		q{SELECT CASE WHEN to_regclass('pinterest_capi._retry') IS NULL THEN '_queue' ELSE '_retry' END}
	);
}

# Return whether an event that waits for its first attempt has a row in that table.
sub waits_in_retry
{
	my ($database) = @_;

	return value($database,
		"SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = 'pinterest_capi.@{[ retry_table($database) ]}'::regclass AND attname = 'due_at'"
	) eq 't';
}

# Empty all queues, and run a checkpoint so that the next is far away.
sub empty_queues
{
	my ($database) = @_;

	psql(
		$database,
		'TRUNCATE ' . join ', ',
		map { "pinterest_capi.$_" } event_tables($database), '_lease');
	psql($database,
		'TRUNCATE hand.event, hand.queue, hand.plain, hand.minimal')
	  if value($database, q{SELECT to_regclass('hand.event') IS NOT NULL}) eq
	  't';
	psql($database, 'CHECKPOINT');
	return;
}

# Track a first event in a session, which loads the library and makes the
# plans.
use constant TRACK_WARM => <<'SQL';
BEGIN;
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'warm');
ROLLBACK;
SQL
use constant HAND_WARM => "SELECT sha256('a');\n";

1;
