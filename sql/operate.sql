-- Pause, resume, cancel, purge, replay, flush: what operators do. Nothing is sent here.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = notice;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '3', 'second');
SELECT pinterest_capi.pause_destination();
SELECT pinterest_capi.pause_destination('second');
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout');
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout', 'second');
CREATE VIEW seen AS SELECT event_id, destination, status, regexp_replace(reason, ' as [0-9a-f-]{36}$', ' as (id)') AS reason, attempts, finished_at IS NOT NULL AS finished
	FROM pinterest_capi.dispatch_status ORDER BY id;
CREATE FUNCTION place(id text, source text DEFAULT 'web') RETURNS text LANGUAGE sql AS $$
	SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => id,
		action_source => source, destination => 'default')
$$;

-- pausing
SELECT place('p-1');
SELECT * FROM seen;
SELECT pinterest_capi.pause_destination();
SELECT destination, status, split_part(message, ';', 1) AS message, queued, retrying, oldest_queued_at IS NOT NULL AS oldest FROM pinterest_capi.destination_status ORDER BY 1;
SELECT pinterest_capi.pause_destination('nowhere');
SELECT pinterest_capi.resume_destination('nowhere');
SELECT pinterest_capi.pause_destination(NULL);
-- disabled: resuming ends the pause, and nothing leaves all the same
UPDATE pinterest_capi.destination SET enabled = false;
SELECT pinterest_capi.resume_destination();
SELECT pinterest_capi.resume_destination();
SELECT destination, status FROM pinterest_capi.destination_status ORDER BY 1;
SELECT * FROM seen;
SELECT pinterest_capi.flush();

-- cancelling
SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'both');
SELECT pinterest_capi.cancel('both', 'second');
SELECT pinterest_capi.cancel('both');
SELECT pinterest_capi.cancel('both');
SELECT pinterest_capi.cancel('unknown');
SELECT pinterest_capi.cancel(NULL);
SELECT pinterest_capi.cancel('both', 'nowhere');
SELECT * FROM seen WHERE event_id = 'both';
-- a long event_id is stored as its hash, and found by what was given
SELECT place(repeat('i', 201)) = encode(sha256(repeat('i', 201)::bytea), 'hex') AS hashed;
SELECT pinterest_capi.cancel(repeat('i', 201));
SELECT pinterest_capi.purge('0');
-- a row that is in a request says so; a worker that starts takes over such requests, so let it
DO $$
BEGIN
	FOR turn IN 1..1000 LOOP
		EXIT WHEN EXISTS (SELECT FROM pinterest_capi.worker_status);
		PERFORM pg_sleep(0.02);
	END LOOP;
END
$$;
SELECT count(*) AS workers FROM pinterest_capi.worker_status;
SELECT place('leased');
INSERT INTO pinterest_capi._lease (dest, taken_at, ids) SELECT q.dest, now(), array_agg(q.id)
	FROM pinterest_capi._event AS q WHERE q.event_id = 'leased' GROUP BY q.dest;
SELECT pinterest_capi.flush('0'), pinterest_capi.cancel('leased'), pinterest_capi.flush('0');
SELECT status, reason, warnings FROM pinterest_capi.dispatch_status WHERE event_id = 'leased';
DELETE FROM pinterest_capi._lease;
SELECT pinterest_capi.flush('0');
SELECT pinterest_capi.purge('0');
SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'both');
SELECT pinterest_capi.cancel('both');

-- replaying
SELECT pinterest_capi.replay('default', 'cancelled', dry_run => true);
SELECT pinterest_capi.replay('default', 'cancelled');
SELECT * FROM seen WHERE event_id = 'both';
SELECT pinterest_capi.replay('default');
SELECT pinterest_capi.replay('default', 'queued');
SELECT pinterest_capi.replay('default', NULL);
SELECT pinterest_capi.replay('nowhere');
SELECT pinterest_capi.replay(NULL);
SELECT pinterest_capi.cancel('both');
SELECT pinterest_capi.replay('default', 'cancelled', 'other event');
SELECT pinterest_capi.replay('default', 'cancelled', until => now() - interval '1 hour');
SELECT pinterest_capi.replay('default', 'cancelled', 'ORDER placed', since => now() - interval '1 hour', new_event_id => true, event_time_now => true);
SELECT d.status, d.event_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS new_id, d.payload ->> 'event_id' = d.event_id AS same_in_payload,
	(d.payload ->> 'event_time')::bigint = floor(extract(epoch FROM d.event_time)) AS same_time, d.payload - 'event_id' - 'event_time' = o.payload - 'event_id' - 'event_time' AS rest
	FROM pinterest_capi.dispatch_status AS d, pinterest_capi.dispatch_status AS o
	WHERE d.id = (SELECT max(id) FROM pinterest_capi.dispatch_status) AND o.event_id = 'both' AND o.destination = 'default';
SELECT * FROM seen WHERE event_id = 'both';
-- an event that was too old, with a new time
SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'old',
	event_time => now() - interval '10 days', destination => 'default');
SELECT pinterest_capi.replay('default', 'expired', dry_run => true);
SELECT pinterest_capi.replay('default', 'expired', event_time_now => true);
SELECT status, event_time > now() - interval '1 hour' AS new_time, (payload ->> 'event_time')::bigint > extract(epoch FROM now() - interval '1 hour') AS in_payload
	FROM pinterest_capi.dispatch_status WHERE event_id = 'old';
-- offline events are told of; emptied ones can't be replayed
SELECT place('off', 'offline');
SELECT pinterest_capi.cancel('off'), pinterest_capi.cancel('old');
SELECT pinterest_capi.replay('default', 'cancelled', dry_run => true);
UPDATE pinterest_capi._event SET payload = NULL WHERE event_id = 'old';
SELECT pinterest_capi.replay('default', 'cancelled', dry_run => true);
-- what looks like keys inside of a value is left alone
SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR", "order_id": "\"event_id\":\"x\",\"event_time\":1"}', '{"em": "a@example.com"}',
	event_id => 'quo"te\d', destination => 'second');
SELECT pinterest_capi.cancel('quo"te\d');
SELECT pinterest_capi.replay('second', 'cancelled', new_event_id => true, event_time_now => true);
SELECT payload #>> '{custom_data,order_id}' AS order_id, payload ->> 'event_id' = event_id AS same FROM pinterest_capi.dispatch_status
	WHERE destination = 'second' AND status = 'queued' AND payload #>> '{custom_data,order_id}' IS NOT NULL;

-- purging: final rows alone
SELECT pinterest_capi.purge('-1 day');
SELECT pinterest_capi.purge('1 hour');
SELECT count(*) AS final FROM seen WHERE finished;
SELECT pinterest_capi.purge('0');
SELECT count(*) AS final FROM seen WHERE finished;
SELECT count(*) > 0 AS waiting FROM seen WHERE NOT finished;

-- flush: nothing is due where nothing can go; what this transaction queued isn't yet
SELECT pinterest_capi.flush('-1 second');
SELECT pinterest_capi.flush(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT place('not-yet');
SELECT pinterest_capi.flush('0');
ROLLBACK;

BEGIN READ ONLY;
SELECT pinterest_capi.cancel('p-1');
ROLLBACK;
BEGIN READ ONLY;
SELECT pinterest_capi.purge('1 day');
ROLLBACK;
BEGIN READ ONLY;
SELECT pinterest_capi.replay('default', dry_run => true);
SELECT pinterest_capi.replay('default');
ROLLBACK;

-- verifying: why nothing is sent
SELECT pinterest_capi.verify_destination('nowhere');
SELECT pinterest_capi.verify_destination(NULL);
SELECT pinterest_capi.configure_destination('1', 'pina_secret', destination => 'third') ~ '^Your destination is not ready:' AS not_ready;
SELECT pinterest_capi.verify_destination('third');
BEGIN;
SELECT pinterest_capi.configure_destination('1', 'pina_other', '3', 'third');
SELECT pinterest_capi.verify_destination('third');
ROLLBACK;

-- dropping: what waits is cancelled, the history stays, the token goes; the name starts anew
SELECT pinterest_capi.pause_destination('second');
SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => 'dropped', destination => 'second');
INSERT INTO pinterest_capi.consent_rule VALUES ('theirs', 'second', 'stop', '$.properties.value > 100');
SELECT dest AS number FROM pinterest_capi._destination_state WHERE destination = 'second' \gset
SELECT pinterest_capi.drop_destination('nowhere');
SELECT pinterest_capi.drop_destination(NULL);
SELECT pinterest_capi.drop_destination('second');
SELECT * FROM seen WHERE event_id = 'dropped';
SELECT (SELECT count(*) FROM pinterest_capi._secret WHERE destination = 'second') AS secrets,
	(SELECT count(*) FROM pinterest_capi.allowed_event WHERE destination = 'second') AS allowed,
	(SELECT count(*) FROM pinterest_capi.consent_rule) AS rules,
	(SELECT count(*) FROM pinterest_capi._waiting WHERE dest = :number) AS waiting;
SELECT pinterest_capi.drop_destination('second');
SELECT pinterest_capi.replay('second', 'cancelled');
INSERT INTO pinterest_capi.destination (destination, enabled) VALUES ('second', false);
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '3', 'second');
SELECT dest = :number AS same_number, paused_at, last_error FROM pinterest_capi._destination_state WHERE destination = 'second';
SELECT * FROM seen WHERE event_id = 'dropped';

DROP FUNCTION place;
DROP VIEW seen;
DROP EXTENSION pinterest_capi;
