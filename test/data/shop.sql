-- A shop's tables as in test/data/shop, and the trigger that makes an invoice a Checkout

CREATE TABLE customer (
	customer_id integer PRIMARY KEY,
	first_name text, last_name text, company text, address text, city text, state text,
	country text, postal_code text, phone text, email text
);

CREATE TABLE invoice (
	invoice_id integer PRIMARY KEY,
	customer_id integer NOT NULL REFERENCES customer,
	invoice_date timestamp NOT NULL,
	total numeric NOT NULL
);

-- lines are written before their invoice, which is what fires
CREATE TABLE invoice_line (
	invoice_line_id integer PRIMARY KEY,
	invoice_id integer NOT NULL,
	track_id integer NOT NULL,
	track_name text, genre text,
	unit_price numeric NOT NULL,
	quantity integer NOT NULL
);
CREATE INDEX ON invoice_line (invoice_id);

SELECT pinterest_capi.allow_event('Order Placed', send_as => 'Checkout');

CREATE TRIGGER pinterest_checkout AFTER INSERT ON invoice FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Order Placed',
		'email=(SELECT c.email FROM public.customer AS c WHERE c.customer_id = $1.customer_id)',
		'phone=(SELECT c.phone FROM public.customer AS c WHERE c.customer_id = $1.customer_id)',
		'value=total', 'currency:=USD', 'order_id=invoice_id',
		'event_id=(SELECT ''invoice-'' || $1.invoice_id)',
		'contents=(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
				''id'', l.track_id::text, ''item_price'', l.unit_price, ''quantity'', l.quantity,
				''item_name'', l.track_name, ''item_category'', l.genre) ORDER BY l.invoice_line_id)
			FROM public.invoice_line AS l WHERE l.invoice_id = $1.invoice_id)');
