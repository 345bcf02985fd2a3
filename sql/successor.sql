-- replay(new_event_id => true): what was replayed under another id is never replayed again, its successor may be. Nothing is sent here.
SET client_min_messages = error;
CREATE EXTENSION pinterest_capi;
SET client_min_messages = notice;
INSERT INTO pinterest_capi.destination (destination, enabled) VALUES ('default', false);
SELECT pinterest_capi.allow_event('Order', 'Checkout');
CREATE VIEW seen AS
	SELECT d.id, d.event_id = 'a' AS original, d.status, d.reason LIKE 'replayed as %' AS replayed,
		d.reason = 'replayed as ' || (SELECT n.event_id FROM pinterest_capi._event AS n WHERE n.id > d.id ORDER BY n.id LIMIT 1) AS as_the_next, d.payload IS NOT NULL AS payload
	FROM pinterest_capi.dispatch_status AS d;
CREATE FUNCTION cancel_all() RETURNS bigint LANGUAGE sql AS
	$$ SELECT sum(pinterest_capi.cancel(event_id)) FROM pinterest_capi.dispatch_status WHERE status = 'queued' $$;

SELECT pinterest_capi.track('Order', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'a', action_source => 'offline');
SELECT cancel_all();
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true, dry_run => true);
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT * FROM seen ORDER BY id;
-- neither with a new id, nor with its own, however it is looked for
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT pinterest_capi.replay('default', 'cancelled');
SELECT pinterest_capi.replay('default', 'cancelled', dry_run => true);
SELECT pinterest_capi.replay('default', 'cancelled', since => now() - interval '1 day', event_time_now => true);
SELECT pinterest_capi.replay('default', 'cancelled', since => now() - interval '1 day', new_event_id => true);
-- whatever its status is
UPDATE pinterest_capi._outcome SET status = s.status FROM (VALUES ('sent')) AS s (status);
SELECT pinterest_capi.replay('default', 'sent', new_event_id => true);
UPDATE pinterest_capi._outcome SET status = 'expired';
SELECT pinterest_capi.replay('default', 'expired', event_time_now => true);
UPDATE pinterest_capi._outcome SET status = 'failed', error = 'an error';
SELECT pinterest_capi.replay('default');
-- its successor, under its own id and under another one
SELECT cancel_all();
SELECT pinterest_capi.replay('default', 'cancelled');
SELECT cancel_all();
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT * FROM seen ORDER BY id;
-- of an event without a payload there is no successor
SELECT cancel_all();
UPDATE pinterest_capi._event SET payload = NULL;
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT * FROM seen ORDER BY id;
-- what was handed over isn't final here
SELECT pinterest_capi.replay('default', 'queued', new_event_id => true);
-- any number, in steps
SELECT count(pinterest_capi.track('Order', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}')) FROM generate_series(1, 21000);
INSERT INTO pinterest_capi._outcome (id, dest, finished_at, status) SELECT id, dest, now(), 'cancelled' FROM pinterest_capi._waiting;
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT count(*), count(DISTINCT reason) FROM pinterest_capi.dispatch_status WHERE reason LIKE 'replayed as %' AND error IS NULL;
DELETE FROM pinterest_capi.destination;
SELECT status, count(*) FROM pinterest_capi.dispatch_status GROUP BY status ORDER BY status;
SELECT pinterest_capi.purge('0');
SELECT count(*) FROM pinterest_capi._event;

DROP FUNCTION cancel_all;
DROP VIEW seen;
DROP EXTENSION pinterest_capi;
