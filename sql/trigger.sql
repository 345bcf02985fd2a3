-- track_trigger: rows of an application's tables become events; whatever is
-- wrong with a value is recorded and the row is written all the same.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
\set VERBOSITY default
SET timezone = 'UTC';

INSERT INTO pinterest_capi.destination (destination) VALUES ('default'), ('second');
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout', properties => '{search_string}');
SELECT pinterest_capi.allow_event('Newsletter');
CREATE VIEW seen AS
	SELECT event_id, event_name, sent_as, destination, status,
		CASE WHEN status <> 'queued' THEN reason END AS reason, warnings,
		payload - 'event_time' - 'event_id' AS payload
	FROM pinterest_capi.dispatch_status;

CREATE TABLE orders (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	number text,
	customer_email text,
	total text,
	currency text,
	status text,
	ordered_at timestamptz,
	note text
);
CREATE TABLE order_lines (order_id integer, sku text, price numeric(10,2), quantity integer);
INSERT INTO order_lines VALUES (1, 'sku-1', 9.90, 2), (1, 'sku-2', 5, 1);

-- a role that may write orders and nothing else
CREATE ROLE regress_pcapi_shop;
GRANT INSERT, UPDATE, SELECT ON orders TO regress_pcapi_shop;
GRANT SELECT ON order_lines TO regress_pcapi_shop;

CREATE TRIGGER pinterest AFTER INSERT ON orders FOR EACH ROW
	WHEN (NEW.status = 'paid')
	EXECUTE FUNCTION pinterest_capi.track_trigger('Order Placed', 'email=customer_email', 'value=total', 'currency=currency',
		'order_id=id', 'event_id=number', 'event_time=ordered_at', 'search_string=note', 'language:=en',
		'contents=(SELECT jsonb_agg(jsonb_build_object(''id'', sku, ''item_price'', price, ''quantity'', quantity) ORDER BY sku) FROM public.order_lines WHERE order_id = $1.id)');

SET ROLE regress_pcapi_shop;
INSERT INTO orders (number, customer_email, total, currency, status) VALUES
	('good', ' Ann@Example.com', '24.80', 'eur', 'paid'),
	('second row', 'bob@example.com', '5', 'EUR', 'paid'),
	('open', 'bob@example.com', '5', 'EUR', 'new');
-- everything that data can do; each row is written
INSERT INTO orders (number, customer_email, total, currency, status, note, ordered_at) VALUES
	('no e-mail', NULL, '1', 'EUR', 'paid', NULL, NULL),
	('bad e-mail', 'ann at example', '1', 'EUR', 'paid', NULL, NULL),
	('total is text', 'a@example.com', 'twelve', 'EUR', 'paid', NULL, NULL),
	('NaN', 'a@example.com', 'NaN', 'EUR', 'paid', NULL, NULL),
	('Infinity', 'a@example.com', 'Infinity', 'EUR', 'paid', NULL, NULL),
	('negative', 'a@example.com', '-1', 'EUR', 'paid', NULL, NULL),
	('no total', 'a@example.com', NULL, 'EUR', 'paid', NULL, NULL),
	('no currency', 'a@example.com', '1', NULL, 'paid', NULL, NULL),
	('megabyte', 'a@example.com', '1', 'EUR', 'paid', repeat('x', 1000000), NULL),
	('long number', 'a@example.com', repeat('9', 1000000), 'EUR', 'paid', NULL, NULL),
	('future', 'a@example.com', '1', 'EUR', 'paid', NULL, clock_timestamp() + interval '1 day'),
	('ten days old', 'a@example.com', '1', 'EUR', 'paid', NULL, clock_timestamp() - interval '10 days'),
	('infinite', 'a@example.com', '1', 'EUR', 'paid', NULL, 'infinity');
SELECT count(*) FROM pinterest_capi.dispatch_status;
RESET ROLE;
SELECT count(*) AS rows_written FROM orders;
SELECT event_id, event_name, sent_as, destination, status, reason, warnings FROM seen ORDER BY event_id COLLATE "C";
SELECT jsonb_pretty(payload) FROM seen WHERE event_id = 'good';
SELECT payload #> '{user_data,em}' = jsonb_build_array(encode(sha256('ann@example.com'), 'hex')) AS hashed FROM seen WHERE event_id = 'good';
SELECT payload #> '{custom_data,contents}' AS contents FROM seen WHERE event_id = 'second row';
SELECT length(payload #>> '{custom_data,search_string}') AS clipped FROM seen WHERE event_id = 'megabyte';

-- an event that nobody allows; a name that is long
CREATE TABLE other (id integer, e text, at date, j jsonb, a text[], b boolean, n numeric, f float8, by bytea, x text);
CREATE TRIGGER unknown_event AFTER INSERT ON other FOR EACH ROW WHEN (NEW.x = 'unknown')
	EXECUTE FUNCTION pinterest_capi.track_trigger('Nobody Allowed This', 'em=e', 'event_id=id');
INSERT INTO other (id, e, x) VALUES (100, 'a@example.com', 'unknown');
SELECT * FROM seen WHERE event_id = '100';

-- types other than text, and where they go
CREATE TRIGGER types AFTER INSERT ON other FOR EACH ROW WHEN (NEW.x = 'types')
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=a', 'external_id=n', 'value=f', 'currency:=CHF', 'opt_out=b', 'contents=j',
		'event_time=at', 'event_id=id', 'order_id=by', 'db=at', 'destination:=default', 'action_source:=offline');
INSERT INTO other (id, a, n, f, b, j, at, by, x) VALUES
	(200, '{a@example.com,NULL,b@example.com}', 12.50, 0.1, true, '[{"id": "p"}]', current_date, '\x00ff', 'types'),
	(201, '{}', 'NaN', 'NaN', NULL, '"text"', current_date, NULL, 'types'),
	(202, '{a@example.com}', 'Infinity', '-Infinity', false, '[]', '-infinity', '', 'types');
SELECT event_id, status, reason, warnings, payload - 'user_data' AS payload FROM seen WHERE event_id IN ('200', '201', '202') ORDER BY event_id;
SELECT jsonb_array_length(payload #> '{user_data,em}') AS em,
	payload #> '{user_data,external_id}' = jsonb_build_array(encode(sha256('12.5'), 'hex')) AS external_id
	FROM seen WHERE event_id = '200';

-- destination and action_source from a row: recorded, not raised
CREATE TRIGGER from_data AFTER INSERT ON other FOR EACH ROW WHEN (NEW.x = 'data')
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em:=a@example.com', 'event_id=id', 'destination=e', 'action_source=(($1.a)[1])');
INSERT INTO other (id, e, a, x) VALUES (300, 'default', '{app_ios}', 'data'), (301, 'nowhere', '{web}', 'data'),
	(302, 'default', '{phone}', 'data'), (303, NULL, NULL, 'data');
SELECT event_id, destination, status, reason, warnings, payload ->> 'action_source' AS action_source FROM seen WHERE event_id ~ '^30' ORDER BY event_id;

-- mappings that can't be meant: an error at the first firing, and no row
CREATE TABLE bad (id integer, e text);
CREATE FUNCTION try(VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; hint text;
BEGIN
	EXECUTE format('CREATE TRIGGER bad AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(%s)',
		(SELECT string_agg(quote_literal(a), ', ') FROM unnest(arguments) AS a));
	INSERT INTO bad VALUES (1, 'a@example.com');
	DROP TRIGGER bad ON bad;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', state, message, hint);
END $$;
SELECT try('');
SELECT try('Newsletter', 'email');
SELECT try('Newsletter', 'e_mail=e');
SELECT try('Newsletter', 'email=nothing');
SELECT try('Newsletter', 'email=e', 'email=id');
SELECT try('Newsletter', 'action_source:=phone');
SELECT try('Newsletter', 'email=(SELECT)');
SELECT try('Newsletter', 'email=(SELECT 1; SELECT 2)');
SELECT try('Newsletter', 'email=(SELECT e FROM nowhere)');
SELECT count(*) FROM bad;
-- an expression that fails with some row is that row's matter
SELECT try('Newsletter', 'email=(SELECT x FROM (VALUES (''a@example.com''), (''b@example.com'')) AS v (x))', 'event_id:=two-rows');
SELECT try('Newsletter', 'email:=a@example.com', 'value=(1 / ($1.id - 1))', 'event_id:=division');
SELECT try('Newsletter', 'email:=a@example.com', 'destination:=nowhere', 'event_id:=nowhere');
SELECT event_id, status, reason, warnings FROM seen WHERE event_id IN ('two-rows', 'division', 'nowhere') ORDER BY event_id;
SELECT count(*) FROM bad;
-- not where it belongs
SELECT pinterest_capi.track_trigger();
CREATE TRIGGER before_row BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e');
INSERT INTO bad VALUES (1, 'a@example.com');
DROP TRIGGER before_row ON bad;
CREATE TRIGGER statement AFTER INSERT ON bad EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e');
INSERT INTO bad VALUES (1, 'a@example.com');
DROP TRIGGER statement ON bad;

-- a table that changes under a cached mapping
CREATE TRIGGER changes AFTER INSERT OR UPDATE ON bad FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e', 'event_id=id');
INSERT INTO bad VALUES (400, 'a@example.com');
ALTER TABLE bad DROP COLUMN e, ADD COLUMN e text, ADD COLUMN first text;
INSERT INTO bad VALUES (401, 'b@example.com');
UPDATE bad SET id = 402 WHERE id = 401;
ALTER TABLE bad RENAME COLUMN e TO mail;
INSERT INTO bad VALUES (403, 'b@example.com');
SELECT event_id, status, payload #> '{user_data,em}' = jsonb_build_array(encode(sha256('b@example.com'), 'hex')) AS second_address
	FROM seen WHERE event_id ~ '^40' ORDER BY event_id;

-- elements of a domain
CREATE DOMAIN mail AS text CHECK (VALUE <> '');
CREATE TABLE addressed (id integer, mails mail[]);
CREATE TRIGGER addressed AFTER INSERT ON addressed FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=mails', 'event_id=id');
INSERT INTO addressed VALUES (450, '{a@example.com, NULL, b@example.com}');
SELECT event_id, status, jsonb_array_length(payload #> '{user_data,em}') AS addresses FROM seen WHERE event_id = '450';

-- a partitioned table, and a row that moves
CREATE TABLE parted (id integer, e text, part integer) PARTITION BY LIST (part);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 (part integer, e text, id integer);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES IN (2);
CREATE TRIGGER parted AFTER INSERT ON parted FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e', 'event_id=id');
INSERT INTO parted VALUES (500, 'a@example.com', 1), (501, 'a@example.com', 2);
SELECT event_id, status FROM seen WHERE event_id ~ '^50' ORDER BY event_id;

DROP TABLE orders, order_lines, other, bad, parted, addressed;
DROP DOMAIN mail;
DROP VIEW seen;
DROP FUNCTION try;
DROP ROLE regress_pcapi_shop;
DROP EXTENSION pinterest_capi;
