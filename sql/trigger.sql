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

-- mappings that can't be meant: the row is written, its event is rejected, and a session is told once
CREATE TABLE bad (id integer, e text);
CREATE FUNCTION try(VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER bad AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(%s)',
		(SELECT string_agg(quote_literal(a), ', ') FROM unnest(arguments) AS a));
	INSERT INTO bad VALUES (1, 'a@example.com');
	DROP TRIGGER bad ON bad;
	RETURN (SELECT concat_ws(' | ', event_name, destination, status, reason, warnings) FROM pinterest_capi.dispatch_status ORDER BY id DESC LIMIT 1);
END $$;
\set SHOW_CONTEXT never
SELECT try('');
SELECT try('Newsletter', 'email');
SELECT try('Newsletter', '=e');
SELECT try('Newsletter', 'jane@example.com');
SELECT try('Newsletter', 'jane@example.com=e');
SELECT try('Newsletter', 'e_mail=e');
SELECT try('Newsletter', 'email=nothing');
SELECT try('Newsletter', 'em=ctid');
SELECT try('Newsletter', 'ph=e', 'ph=id');
SELECT try('Newsletter', 'action_source:=phone');
SELECT try('Newsletter', 'fn=(SELECT)');
SELECT try('Newsletter', 'ln=(SELECT 1; SELECT 2)');
SELECT try('Newsletter', 'ct=(1), (2)');
SELECT try('Newsletter', 'st=(1) INTO made');
SELECT try('Newsletter', 'zp=(SELECT e FROM nowhere)');
SELECT try('Newsletter', 'country=(1) UNION ALL SELECT 2');
SELECT try('Newsletter', 'value=($1.e::integer)');
SELECT try('Newsletter', 'epik=(SELECT x FROM (VALUES (''a''), (''b'')) AS v (x))');
-- the same again: no second WARNING
SELECT try('Newsletter', 'zp=(SELECT e FROM nowhere)');
-- the row is found by what of its mapping is right
CREATE TRIGGER found AFTER INSERT ON bad FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'value=(1 / ($1.id - 390))', 'em=e', 'event_time:=2020-01-01 00:00:00+00', 'event_id=(''order-'' || $1.id)');
INSERT INTO bad VALUES (390, 'a@example.com'), (391, 'a@example.com');
SELECT event_id, destination, status, reason, event_time FROM pinterest_capi.dispatch_status WHERE event_id ~ '^order-39' ORDER BY 1;
-- and is tracked once it can be
CREATE OR REPLACE TRIGGER found AFTER INSERT ON bad FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e', 'event_id=(''order-'' || $1.id)');
INSERT INTO bad VALUES (390, 'a@example.com');
SELECT event_id, destination, status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'order-390' ORDER BY id;
DROP TRIGGER found ON bad;
SELECT try('Newsletter', 'email:=a@example.com', 'destination:=nowhere', 'event_id:=nowhere');
SELECT count(*) FROM bad;
TRUNCATE bad;

-- a type of somebody's own, whose output function fails
CREATE TYPE odd;
CREATE FUNCTION odd_in(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION odd_out(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'enum_out';
CREATE TYPE odd (INPUT = odd_in, OUTPUT = odd_out, LIKE = integer);
CREATE TYPE pair AS (a integer, b odd);
CREATE TABLE odds (id integer, o odd, os odd[], p pair);
CREATE TRIGGER odds_1 AFTER INSERT ON odds FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'external_id=o', 'event_id=id');
CREATE TRIGGER odds_2 AFTER INSERT ON odds FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'ln=os', 'event_id=(''os'' || $1.id)');
CREATE TRIGGER odds_3 AFTER INSERT ON odds FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'fn=p', 'event_id=(''p'' || $1.id)');
INSERT INTO odds VALUES (395, '1', '{1}', ROW(1, '1'));
SELECT event_id, status, reason FROM seen WHERE event_id IN ('395', 'os395', 'p395') ORDER BY 1;

-- an expression that writes to its own table, and changes what names mean, while it is evaluated
CREATE FUNCTION nested(id integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	EXECUTE format('CREATE TEMP TABLE temp_%s ()', id);
	IF id < 398 THEN INSERT INTO public.within VALUES (id + 1); END IF;
	RETURN 'a@example.com';
END $$;
CREATE TABLE within (id integer);
CREATE TRIGGER within AFTER INSERT ON within FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'event_id=id', 'value=(1)', 'em=(nested($1.id))', 'currency=(''EUR'')');
INSERT INTO within VALUES (396);
SELECT event_id, status, reason, payload #>> '{custom_data,currency}' AS currency FROM seen WHERE event_id ~ '^39[678]$' ORDER BY 1;

-- triggers of other kinds do no harm
SELECT pinterest_capi.track_trigger();
CREATE TABLE kinds (id integer, e text);
CREATE VIEW kinds_view AS SELECT id, e FROM kinds;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OR DELETE ON kinds FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e');
CREATE TRIGGER before_statement BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON kinds EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e');
CREATE TRIGGER after_statement AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kinds EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter');
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON kinds_view FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger();
INSERT INTO kinds VALUES (1, 'a@example.com'), (2, 'b@example.com'), (3, 'c@example.com');
UPDATE kinds SET e = 'd@example.com' WHERE id = 2;
DELETE FROM kinds WHERE id = 3;
INSERT INTO kinds_view VALUES (4, 'e@example.com');
UPDATE kinds_view SET e = 'f@example.com' WHERE id = 1;
DELETE FROM kinds_view WHERE id = 1;
SELECT * FROM kinds ORDER BY id;
TRUNCATE kinds;
SELECT event_name, status, reason, count(*) FROM seen WHERE reason LIKE 'not a row%' GROUP BY 1, 2, 3 ORDER BY 1;
-- a deleted row
CREATE TABLE gone (id integer, e text);
CREATE TRIGGER gone AFTER DELETE ON gone FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e', 'event_id=id');
INSERT INTO gone VALUES (480, 'a@example.com');
DELETE FROM gone;
SELECT event_id, status FROM seen WHERE event_id = '480';
-- a temporary table takes rows where nothing else does
CREATE TEMP TABLE basket (id integer);
CREATE TRIGGER basket AFTER INSERT ON basket FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'event_id=id');
BEGIN READ ONLY;
INSERT INTO basket VALUES (481), (482);
COMMIT;
SELECT * FROM basket;
DROP TABLE basket;
-- a deferred one fires at COMMIT
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON gone DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=(SELECT x FROM nowhere)', 'event_id=id');
BEGIN;
INSERT INTO gone VALUES (483, 'a@example.com');
COMMIT;
SELECT event_id, status, reason FROM seen WHERE event_id = '483';

-- a table that changes under a cached mapping
CREATE TRIGGER changes AFTER INSERT OR UPDATE ON bad FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Newsletter', 'em=e', 'event_id=id');
INSERT INTO bad VALUES (400, 'a@example.com');
ALTER TABLE bad DROP COLUMN e, ADD COLUMN e text, ADD COLUMN first text;
INSERT INTO bad VALUES (401, 'b@example.com');
UPDATE bad SET id = 402 WHERE id = 401;
ALTER TABLE bad RENAME COLUMN e TO mail;
INSERT INTO bad VALUES (403, 'b@example.com');
ALTER TABLE bad RENAME COLUMN mail TO e;
INSERT INTO bad VALUES (404, 'b@example.com');
SELECT event_id, status, reason, payload #> '{user_data,em}' = jsonb_build_array(encode(sha256('b@example.com'), 'hex')) AS second_address
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

DROP TABLE orders, order_lines, other, bad, parted, addressed, gone;
DROP TABLE kinds CASCADE;
DROP TABLE within, temp_396, temp_397, temp_398;
DROP FUNCTION nested;
DROP TYPE odd CASCADE;
DROP TABLE odds;
DROP TYPE pair;
DROP DOMAIN mail;
DROP VIEW seen;
DROP FUNCTION try;
DROP ROLE regress_pcapi_shop;
DROP EXTENSION pinterest_capi;
