/*
 * views.sql
 *	  What a user can look at, and the functions behind it.
 */

------------------------------------------------------------------------------
-- Look
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._worker_state(OUT pid integer, OUT state text,
		OUT started_at timestamptz, OUT last_cycle_at timestamptz,
		OUT in_flight_requests integer, OUT last_error text, OUT last_error_at timestamptz,
		OUT version text, OUT clock_ahead interval, OUT clock_seen_at timestamptz) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1
	AS 'MODULE_PATHNAME', 'pcapi_sql_worker_state';
COMMENT ON FUNCTION pinterest_capi._worker_state() IS
	'internal: what the worker of this database says of itself; no row: there is none';

CREATE VIEW pinterest_capi.worker_status AS
	SELECT pg_catalog.current_database() AS database, w.pid, w.state, w.started_at,
		w.last_cycle_at, w.in_flight_requests, w.last_error
	FROM pinterest_capi._worker_state() AS w;
COMMENT ON VIEW pinterest_capi.worker_status IS
	'the background worker of this database; no row: there is none';
COMMENT ON COLUMN pinterest_capi.worker_status.pid IS
	'process id';
COMMENT ON COLUMN pinterest_capi.worker_status.last_cycle_at IS
	'when it last looked for something to do';
COMMENT ON COLUMN pinterest_capi.worker_status.in_flight_requests IS
	'requests that are out';
COMMENT ON COLUMN pinterest_capi.worker_status.last_error IS
	'of its own work, not of a destination';

CREATE FUNCTION pinterest_capi._hold_reason() RETURNS text
	LANGUAGE c VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'pcapi_sql_hold_reason';
COMMENT ON FUNCTION pinterest_capi._hold_reason() IS
	'internal: why this server sends nothing from this database, whatever its destinations are; null: it sends';

CREATE VIEW pinterest_capi._readiness AS
	SELECT d.destination, s.dest,
		CASE
			WHEN p.publishing THEN 'ready'
			WHEN NOT d.enabled THEN 'disabled'
			WHEN d.tag_id IS NULL OR d.ad_account_id IS NULL OR x.destination IS NULL THEN 'not ready'
			WHEN h.reason IS NOT NULL THEN 'not ready'
			WHEN s.paused_at IS NOT NULL THEN 'paused'
			ELSE 'ready'
		END AS status,
		CASE
			WHEN p.publishing THEN 'waits for the dispatcher'
			WHEN NOT d.enabled THEN 'destination disabled'
			WHEN d.tag_id IS NULL OR d.ad_account_id IS NULL OR x.destination IS NULL THEN
				'destination not ready: ' OPERATOR(pg_catalog.||) pg_catalog.concat_ws(', ',
					CASE WHEN d.tag_id IS NULL THEN 'no Tag ID' END,
					CASE WHEN x.destination IS NULL THEN 'no access token' END,
					CASE WHEN d.ad_account_id IS NULL THEN 'no ad account id' END)
			WHEN h.reason IS NOT NULL THEN 'destination not ready: ' OPERATOR(pg_catalog.||) h.reason
			WHEN s.paused_at IS NOT NULL THEN
				pg_catalog.concat_ws(': ', 'destination paused', s.paused_reason)
			-- until it recovers, also while a request is in flight that tests whether it does
			WHEN s.failing_since IS NOT NULL THEN coalesce(s.backoff_reason, s.last_error)
		END AS reason,
		CASE WHEN s.backoff_until > pg_catalog.clock_timestamp() THEN s.backoff_until END AS backoff_until
	FROM pinterest_capi.destination AS d
		LEFT JOIN pinterest_capi._destination_state AS s ON s.destination OPERATOR(pg_catalog.=) d.destination
		LEFT JOIN pinterest_capi._secret AS x ON x.destination OPERATOR(pg_catalog.=) d.destination
		CROSS JOIN (SELECT EXISTS (SELECT FROM pinterest_capi._publishing) AS publishing) AS p
		CROSS JOIN (SELECT pinterest_capi._hold_reason() AS reason OFFSET 0) AS h;
COMMENT ON VIEW pinterest_capi._readiness IS
	'internal: whether a destination can be sent to, and if not, why';

-- The second bound of the ids has the planner expect few rows, as there are: so it compiles
-- nothing.  OFFSET: each is looked up by its key, whatever the planner believes of the tables'
-- sizes.  dest + 0: no index but that of ids is to be read.
CREATE VIEW pinterest_capi._waiting AS
	SELECT s.dest, n.id, NULL::timestamptz AS due_at, 0 AS attempts
	FROM pinterest_capi._destination_state AS s
		CROSS JOIN LATERAL (
			SELECT e.id FROM pinterest_capi._event AS e
			WHERE e.id > s.done_below AND e.id < 9223372036854775807 AND e.dest + 0 = s.dest
				AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = e.id OFFSET 0)
				AND NOT EXISTS (SELECT FROM pinterest_capi._retry AS q WHERE q.dest = e.dest AND q.id = e.id OFFSET 0)) AS n
	UNION ALL
	SELECT q.dest, q.id, q.due_at, q.attempts FROM pinterest_capi._retry AS q
	WHERE NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = q.id OFFSET 0);
COMMENT ON VIEW pinterest_capi._waiting IS
	'internal: the events that wait: those that were never tried, behind done_below, and those of _retry';

-- Events wait for a number that is of no destination where somebody has written into the
-- tables.  In _retry it is found however old they are, by stepping from one number to the
-- next by the key; among those never tried, the newest are looked at, since no done_below
-- tells from where to search.
CREATE VIEW pinterest_capi._stray AS
	WITH RECURSIVE numbers (dest) AS (
		SELECT (SELECT q.dest FROM pinterest_capi._retry AS q ORDER BY q.dest, q.id LIMIT 1)
		UNION ALL
		SELECT (SELECT q.dest FROM pinterest_capi._retry AS q WHERE q.dest > n.dest ORDER BY q.dest, q.id LIMIT 1)
		FROM numbers AS n WHERE n.dest IS NOT NULL),
	newest AS MATERIALIZED (SELECT coalesce((SELECT v.id FROM pinterest_capi._event AS v ORDER BY v.id DESC LIMIT 1), 0) - 999 AS id),
	nameless (dest, destination) AS MATERIALIZED (
		SELECT n.dest, s.destination
		FROM (SELECT w.dest FROM numbers AS w
				UNION SELECT e.dest FROM pinterest_capi._event AS e
				WHERE e.id >= (SELECT w.id FROM newest AS w) AND e.id < 9223372036854775807) AS n
			LEFT JOIN pinterest_capi._destination_state AS s ON s.dest = n.dest
		-- 0 is no destination; the worker cancels the events of one that was dropped
		WHERE n.dest <> 0 AND s.dropped_at IS NULL
			AND NOT EXISTS (SELECT FROM pinterest_capi.destination AS d WHERE d.destination = s.destination))
	SELECT n.dest, n.destination, (SELECT e.event_id FROM pinterest_capi._event AS e WHERE e.id = f.id) AS event_id
	FROM nameless AS n
		CROSS JOIN LATERAL (SELECT LEAST(
			(SELECT q.id FROM pinterest_capi._retry AS q
				WHERE q.dest = n.dest AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = q.id OFFSET 0)
				ORDER BY q.dest, q.id LIMIT 1),
			(SELECT e.id FROM pinterest_capi._event AS e
				WHERE e.id >= (SELECT w.id FROM newest AS w) AND e.id < 9223372036854775807 AND e.dest + 0 = n.dest
					AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = e.id)
				ORDER BY e.id LIMIT 1)) AS id) AS f
	WHERE f.id IS NOT NULL;
COMMENT ON VIEW pinterest_capi._stray IS
	'internal: numbers for which events wait and which are of no destination, with the name that one had, if any, and the first of the events';

CREATE VIEW pinterest_capi._lost AS
	SELECT s.destination, e.id, e.dest
	FROM pinterest_capi._event AS e
		JOIN pinterest_capi._destination_state AS s ON s.dest = e.dest
	WHERE e.id >= (SELECT coalesce((SELECT v.id FROM pinterest_capi._event AS v ORDER BY v.id DESC LIMIT 1), 0) - 9999) AND e.id < 9223372036854775807
		AND e.id <= s.done_below
		AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = e.id OFFSET 0)
		AND NOT EXISTS (SELECT FROM pinterest_capi._retry AS q WHERE q.dest = e.dest AND q.id = e.id OFFSET 0);
COMMENT ON VIEW pinterest_capi._lost IS
	'internal: events, among the newest, that have no outcome although they are neither new nor in _retry, so the worker does not send them';

CREATE FUNCTION pinterest_capi._status_support(internal) RETURNS internal
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'pcapi_sql_status_support';
COMMENT ON FUNCTION pinterest_capi._status_support(internal) IS
	'internal: tells the planner where _status() is what _outcome says, so that an index is of use';

CREATE FUNCTION pinterest_capi._status(outcome text, due_at timestamptz, attempts integer) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SUPPORT pinterest_capi._status_support
BEGIN ATOMIC
	SELECT CASE
		WHEN outcome IS NOT NULL THEN outcome
		WHEN due_at IS NOT NULL AND attempts > 0 THEN 'retrying'
		ELSE 'queued'
	END;
END;
COMMENT ON FUNCTION pinterest_capi._status(text, timestamptz, integer) IS
	'internal: an event''s status, from its row in _outcome, or else in _retry';

CREATE VIEW pinterest_capi.dispatch_status AS
	SELECT e.id, e.event_id, e.event_name, e.sent_as, n.destination,
		pinterest_capi._status(o.status, q.due_at, q.attempts) AS status,
		CASE
			WHEN o.id IS NOT NULL THEN o.reason
			WHEN r.dest IS NULL AND n.dropped_at IS NULL AND n.destination IS NOT NULL
				THEN 'destination not ready: not configured on this server'
			WHEN n.dest IS NULL THEN 'destination unknown'
			WHEN q.id IS NULL AND e.id <= n.done_below THEN 'outcome missing'
			WHEN r.reason IS NOT NULL THEN r.reason
			WHEN q.error LIKE 'payload cannot be read%' THEN 'payload cannot be read'
		END AS reason,
		coalesce(o.attempts, q.attempts, 0) AS attempts,
		e.created_at, e.event_time,
		coalesce(o.last_attempt_at, q.last_attempt_at) AS last_attempt_at,
		CASE WHEN o.id IS NULL AND coalesce(r.status, 'ready') = 'ready'
			THEN greatest(q.due_at, r.backoff_until) END AS next_attempt_at,
		o.finished_at,
		coalesce(o.http_status, q.http_status) AS http_status,
		coalesce(o.error, q.error) AS error,
		nullif(coalesce(e.warnings, '{}') || coalesce(o.warnings, q.warnings, '{}'), '{}') AS warnings,
		CASE WHEN (SELECT pg_catalog.has_function_privilege('pinterest_capi.cancel(pg_catalog.text, pg_catalog.text)', 'EXECUTE'))
			THEN e.payload::jsonb END AS payload,
		e.origin,
		coalesce(o.test_mode, false) AS test_mode
	FROM pinterest_capi._event AS e
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = e.dest
		LEFT JOIN pinterest_capi._outcome AS o ON o.id = e.id
		LEFT JOIN pinterest_capi._retry AS q ON q.id = e.id AND q.dest = e.dest
		LEFT JOIN pinterest_capi._readiness AS r ON r.dest = e.dest;
COMMENT ON VIEW pinterest_capi.dispatch_status IS
	'a row per event and destination: what became of it, and why; payload only for those who may operate';
COMMENT ON COLUMN pinterest_capi.dispatch_status.id IS
	'number of the row; later events have higher ones';
COMMENT ON COLUMN pinterest_capi.dispatch_status.event_id IS
	'what Pinterest deduplicates by, as track returned it';
COMMENT ON COLUMN pinterest_capi.dispatch_status.event_name IS
	'the business''s name for the event';
COMMENT ON COLUMN pinterest_capi.dispatch_status.sent_as IS
	'the API''s name for it; null where it goes nowhere';
COMMENT ON COLUMN pinterest_capi.dispatch_status.destination IS
	'null where no destination allows the event';
COMMENT ON COLUMN pinterest_capi.dispatch_status.status IS
	'queued, retrying, or final: sent, failed, expired, rejected, suppressed, cancelled';
COMMENT ON COLUMN pinterest_capi.dispatch_status.reason IS
	'why it waits, or why it was not sent';
COMMENT ON COLUMN pinterest_capi.dispatch_status.attempts IS
	'requests that carried it and got a verdict on it, or none at all';
COMMENT ON COLUMN pinterest_capi.dispatch_status.next_attempt_at IS
	'null: as soon as possible, or not by time alone';
COMMENT ON COLUMN pinterest_capi.dispatch_status.http_status IS
	'of the last request that carried it';
COMMENT ON COLUMN pinterest_capi.dispatch_status.error IS
	'Pinterest''s words, clipped';
COMMENT ON COLUMN pinterest_capi.dispatch_status.warnings IS
	'what was dropped or replaced, and what Pinterest warned of';
COMMENT ON COLUMN pinterest_capi.dispatch_status.payload IS
	'the event as it stands in the request; null for those who may not operate, and once it is emptied';
COMMENT ON COLUMN pinterest_capi.dispatch_status.origin IS
	'the subscription by which it came from another server; null: tracked here';
COMMENT ON COLUMN pinterest_capi.dispatch_status.test_mode IS
	'whether it was sent with ?test=true: Pinterest has checked and discarded it';

CREATE FUNCTION pinterest_capi._fields(OUT property text, OUT field text, OUT structured boolean,
		OUT transformation text) RETURNS SETOF record
	LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 80
	AS 'MODULE_PATHNAME', 'pcapi_sql_fields';
COMMENT ON FUNCTION pinterest_capi._fields() IS
	'internal: what properties can become in an event, and how';

CREATE FUNCTION pinterest_capi._user_data_keys(OUT field text, OUT transformation text, OUT setting text)
	RETURNS SETOF record
	LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 17
	AS 'MODULE_PATHNAME', 'pcapi_sql_user_data_keys';
COMMENT ON FUNCTION pinterest_capi._user_data_keys() IS
	'internal: what user_data can hold in an event, how, and the setting of a destination that it needs';

CREATE VIEW pinterest_capi.compliance_report AS
	SELECT a.destination, a.event_name, coalesce(t.event_name, 'custom') AS sent_as,
		f.field, f.transformation, f.rule,
		(SELECT array_agg(r.name ORDER BY r.name) FROM pinterest_capi.consent_rule AS r
			WHERE r.destination IS NULL OR r.destination = a.destination) AS consent_rules
	FROM pinterest_capi.allowed_event AS a
		JOIN pinterest_capi.destination AS d ON d.destination = a.destination
		LEFT JOIN pinterest_capi.standard_event AS t
			ON pinterest_capi._fold(coalesce(a.send_as, a.event_name)) IN (t.event_name, pinterest_capi._fold(t.pascal_name))
		CROSS JOIN LATERAL (
			SELECT i.field, i.transformation, i.rule
			FROM (VALUES
				('event_name', 'the API''s name', 'always'),
				('event_time', 'whole seconds', 'always'),
				('event_id', 'as given or generated; hashed where it is too long or an e-mail address', 'always'),
				('action_source', 'one of the API''s words', 'always')) AS i (field, transformation, rule)
			UNION ALL
			SELECT k.field, k.transformation, coalesce(k.setting, 'where given')
			FROM pinterest_capi._user_data_keys() AS k
			WHERE CASE k.setting WHEN 'send_client_ip' THEN d.send_client_ip
				WHEN 'send_user_agent' THEN d.send_user_agent ELSE true END
			UNION ALL
			SELECT p.field, p.transformation,
				CASE WHEN p.structured THEN 'structured' ELSE 'listed in allowed_event.properties' END
			FROM pinterest_capi._fields() AS p
			WHERE (p.structured OR '*' = ANY (a.properties) OR p.property = ANY (a.properties)
				OR split_part(p.property, '.', 1) IN ('app_info', 'device_info')
					AND split_part(p.property, '.', 1) = ANY (a.properties))
				AND NOT (p.field = 'event_source_url' AND (d.page_url_detail = 'none' OR p.property <> 'page_url'))
		) AS f;
COMMENT ON VIEW pinterest_capi.compliance_report IS
	'per destination and allowed event: each field that may leave, what is done to it before, under which rule, and the consent rules in force';
