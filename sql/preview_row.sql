-- preview_row: what the triggers of a table would make of a row, without doing it.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SET timezone = 'UTC';
INSERT INTO pinterest_capi.destination (destination) VALUES ('default'), ('second');
SELECT pinterest_capi.allow_event('lead'), pinterest_capi.allow_event('lead', destination => 'second'), pinterest_capi.allow_event('checkout', destination => 'second');

CREATE TABLE orders (id integer, gone integer, email text, status text, total numeric GENERATED ALWAYS AS (id * 1.5) STORED);
ALTER TABLE orders DROP gone;
CREATE TABLE seen (id integer);
CREATE FUNCTION note(id integer) RETURNS text LANGUAGE sql AS 'INSERT INTO public.seen VALUES ($1) RETURNING id::text';
CREATE TRIGGER a AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'email=email', 'event_id=(''order-'' || $1.id)', 'order_id=(note($1.id))');
CREATE TRIGGER b AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'paid' AND NEW.total > 1)
	EXECUTE FUNCTION pinterest_capi.track_trigger('checkout', 'email=email', 'value=total', 'currency:=EUR', 'event_id=id');
CREATE TRIGGER c AFTER UPDATE OF status ON orders FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status = 'paid')
	EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'email=mail', 'event_id=id');
CREATE TRIGGER d AFTER DELETE ON orders FOR EACH ROW WHEN (OLD.status = 'paid') EXECUTE FUNCTION pinterest_capi.track_trigger('nobody', 'email=email', 'event_id=id');
CREATE TRIGGER e BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'email=email');
CREATE TRIGGER f AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead');
ALTER TABLE orders DISABLE TRIGGER f;
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER g AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION other();
ALTER TABLE orders DISABLE TRIGGER ALL;
INSERT INTO orders (id, email, status) VALUES (1, 'ann@example.com', 'open'), (2, 'bob@example.com', 'paid');
ALTER TABLE orders ENABLE TRIGGER ALL;
ALTER TABLE orders DISABLE TRIGGER f;

CREATE ROLE regress_pcapi_tracker;
SELECT pinterest_capi.grant_access('regress_pcapi_tracker', 'track');
GRANT INSERT ON orders TO regress_pcapi_tracker;
GRANT ALL ON seen TO regress_pcapi_tracker;
SET ROLE regress_pcapi_tracker;
SELECT * FROM pinterest_capi.preview_row(ROW(3, 'a', 'b', 4)::orders);
RESET ROLE;
GRANT SELECT ON orders TO regress_pcapi_tracker;
SET ROLE regress_pcapi_tracker;
SELECT o.id, p.trigger_name, p.destination, p.status, p.reason, p.sent_as, p.payload - 'event_time' - 'user_data' AS payload, p.warnings
	FROM orders AS o, pinterest_capi.preview_row(o) AS p ORDER BY o.id, p.trigger_name, p.destination;
SELECT trigger_name, status FROM pinterest_capi.preview_row((SELECT o FROM orders AS o ORDER BY id LIMIT 1)) WHERE destination IS DISTINCT FROM 'second';
RESET ROLE;
SELECT p.trigger_name, p.payload #> '{user_data,em}' = jsonb_build_array(encode(sha256('bob@example.com'), 'hex')) AS bob
	FROM orders AS o, pinterest_capi.preview_row(o) AS p WHERE o.id = 2 AND p.status = 'queued';
-- in a transaction that may not write
BEGIN READ ONLY;
SELECT trigger_name, status, reason FROM pinterest_capi.preview_row((SELECT o FROM orders AS o WHERE id = 2)) WHERE destination IS DISTINCT FROM 'second';
COMMIT;
-- nothing was written
SELECT count(*) AS events FROM pinterest_capi.dispatch_status;
SELECT count(*) AS notes FROM seen;

-- a row of a domain, a partition, a table without triggers, none at all
CREATE DOMAIN an_order AS orders;
SELECT trigger_name, status FROM pinterest_capi.preview_row((SELECT o::an_order FROM orders AS o WHERE id = 2)) WHERE trigger_name = 'b';
CREATE TABLE parted (id integer, email text) PARTITION BY LIST (id);
CREATE TABLE part_1 (email text, id integer);
ALTER TABLE parted ATTACH PARTITION part_1 FOR VALUES IN (1);
CREATE TRIGGER p AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('lead', 'email=email', 'event_id=id');
INSERT INTO parted VALUES (1, 'ann@example.com');
SELECT trigger_name, destination, status FROM parted AS x, pinterest_capi.preview_row(x);
SELECT trigger_name, destination, status, payload -> 'event_id' AS event_id FROM part_1 AS x, pinterest_capi.preview_row(x);
SET client_min_messages = notice;
SELECT * FROM pinterest_capi.preview_row(ROW(1)::seen);
SELECT * FROM pinterest_capi.preview_row(NULL::orders);
-- what is no row of a table
CREATE VIEW orders_view AS SELECT * FROM orders;
CREATE TYPE pair AS (a integer, b integer);
SELECT * FROM orders_view AS v, pinterest_capi.preview_row(v);
SELECT * FROM pinterest_capi.preview_row((SELECT s FROM (SELECT id, email FROM orders) AS s LIMIT 1));
SELECT * FROM pinterest_capi.preview_row(ROW(1, 2)::pair);
SELECT * FROM pinterest_capi.preview_row(7);

SET client_min_messages = warning;
DROP TABLE orders, seen, parted CASCADE;
DROP FUNCTION note, other;
DROP TYPE pair;
DROP OWNED BY regress_pcapi_tracker;
DROP ROLE regress_pcapi_tracker;
DROP EXTENSION pinterest_capi;
