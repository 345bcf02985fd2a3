/*
 * report_data.sql
 *	  What report_html() counts, and how it writes numbers, times and words.
 *
 * The events are read once, by _activity, and handed to the sections of the
 * page as an array of _report_row.  Everything in a row is a name, a word or a
 * number: no event's id, identifier, hash or payload comes so far.
 */

CREATE FUNCTION pinterest_capi._html(given text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_html';
COMMENT ON FUNCTION pinterest_capi._html(text) IS
	'internal: text for HTML, in ASCII alone; control characters, and those that turn text around, are replaced';

CREATE FUNCTION pinterest_capi._bad_call(message text, hint text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL SAFE STRICT
	AS 'MODULE_PATHNAME', 'pcapi_sql_bad_call';
COMMENT ON FUNCTION pinterest_capi._bad_call(text, text) IS
	'internal: raises 22023 with the hint';

CREATE VIEW pinterest_capi._activity AS
	SELECT pg_catalog.date_trunc('hour', e.created_at, 'UTC') AS hour,
		n.destination, e.event_name, e.sent_as,
		CASE WHEN o.id IS NOT NULL THEN o.status
			WHEN q.due_at IS NOT NULL AND q.attempts > 0 THEN 'retrying'
			ELSE 'queued' END AS status,
		o.reason,
		coalesce(o.http_status, q.http_status) AS http_status,
		coalesce(o.error, q.error) AS error,
		p.currency,
		count(*) AS events,
		count(p.user_data) AS kept,
		count(*) FILTER (WHERE p.user_data ? 'em') AS em,
		count(*) FILTER (WHERE p.user_data ? 'ph') AS ph,
		count(*) FILTER (WHERE p.user_data ? 'click_id') AS click_id,
		count(*) FILTER (WHERE p.user_data ? 'external_id') AS external_id,
		count(*) FILTER (WHERE p.user_data ? 'hashed_maids') AS hashed_maids,
		count(*) FILTER (WHERE p.user_data ?& '{client_ip_address,client_user_agent}') AS ip_and_agent,
		count(*) FILTER (WHERE p.user_data ?| '{em,hashed_maids}'
			OR p.user_data ?& '{client_ip_address,client_user_agent}') AS matchable,
		sum(p.value) AS value,
		max(coalesce(o.finished_at, q.last_attempt_at)) AS last_at,
		count(*) FILTER (WHERE o.test_mode) AS tested
	FROM pinterest_capi._event AS e
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = e.dest
		LEFT JOIN pinterest_capi._outcome AS o ON o.id = e.id
		LEFT JOIN pinterest_capi._queue AS q ON q.id = e.id AND q.dest = e.dest
		CROSS JOIN LATERAL (
			-- OFFSET: read the payload once, and not for each use of it
			SELECT j.payload -> 'user_data' AS user_data,
				j.payload -> 'custom_data' ->> 'currency' AS currency,
				(j.payload -> 'custom_data' ->> 'value')::numeric AS value
			FROM (SELECT e.payload::jsonb AS payload OFFSET 0) AS j OFFSET 0) AS p
	GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;
COMMENT ON VIEW pinterest_capi._activity IS
	'internal: events tracked, per hour, destination, name, what became of them and currency; identifiers and value of those whose payload is kept';

CREATE TYPE pinterest_capi._report_row AS (
	slot timestamptz, destination text, event_name text, sent_as text, status text, reason text,
	http_status integer, error text, currency text,
	events bigint, kept bigint, em bigint, ph bigint, click_id bigint, external_id bigint,
	hashed_maids bigint, ip_and_agent bigint, matchable bigint, value numeric, last_at timestamptz, tested bigint);
COMMENT ON TYPE pinterest_capi._report_row IS
	'internal: a row of _activity, per slot of a report instead of per hour';

------------------------------------------------------------------------------
-- Numbers, times, words
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._report_n(n numeric) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_char(n, 'FM999,999,999,999,999,999,990');
COMMENT ON FUNCTION pinterest_capi._report_n(numeric) IS 'internal: 1234567 as 1,234,567';

CREATE FUNCTION pinterest_capi._report_share(part numeric, whole numeric) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN coalesce(whole, 0) = 0 THEN '<span class="nil">&#x2013;</span>'
	WHEN part > 0 AND part / whole < 0.001 THEN '&lt;0.1 %'
	WHEN part < whole AND part / whole > 0.999 THEN '&gt;99.9 %'
	ELSE to_char(100 * part / whole, 'FM990.0') || ' %' END;
COMMENT ON FUNCTION pinterest_capi._report_share(numeric, numeric) IS 'internal: a share in percent';

CREATE FUNCTION pinterest_capi._report_time(at timestamptz) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), '<span class="nil">&#x2013;</span>');
COMMENT ON FUNCTION pinterest_capi._report_time(timestamptz) IS 'internal: a time in UTC, to the minute';

CREATE FUNCTION pinterest_capi._report_age(since timestamptz) RETURNS text
	LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
RETURN (SELECT CASE WHEN a.s < 120 THEN floor(greatest(a.s, 0)) || ' s'
		WHEN a.s < 7200 THEN floor(a.s / 60) || ' min'
		WHEN a.s < 172800 THEN floor(a.s / 3600) || ' h'
		ELSE floor(a.s / 86400) || ' days' END
	FROM (SELECT extract(epoch FROM clock_timestamp() - since) AS s) AS a);
COMMENT ON FUNCTION pinterest_capi._report_age(timestamptz) IS 'internal: how long ago, in one unit';

-- Messages of Pinterest and of the server may quote the value that they are about.  Remove
-- objects, quoted values with a digit, addresses, long tokens with digits (hashes, ids) and
-- long numbers.
CREATE FUNCTION pinterest_capi._report_words(words text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(words,
	'[[{].*[]}]', '[...]', 'g'),
	E'([\\s(:=,]|^)("[^"]*[0-9][^"]*"|''[^'']*[0-9][^'']*'')', E'\\1[...]', 'g'),
	E'[^\\s@<>"''()]+@[^\\s@<>"''()]+', '[...]', 'g'),
	'(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{24,}', '[...]', 'g'),
	E'\\+?[0-9][0-9 ().]{5,}[0-9]|[0-9]{3}-[0-9]{3}-[0-9]{4}', '[...]', 'g');
COMMENT ON FUNCTION pinterest_capi._report_words(text) IS
	'internal: a message without what might identify somebody';

CREATE FUNCTION pinterest_capi._report_step(since interval) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN since <= interval '2 days' THEN 'hour'
	WHEN since <= interval '92 days' THEN 'day'
	WHEN since <= interval '2 years' THEN 'week'
	WHEN since <= interval '10 years' THEN 'month'
	ELSE 'year' END;
COMMENT ON FUNCTION pinterest_capi._report_step(interval) IS
	'internal: how long a slot is, so that there are about a hundred at most';

CREATE FUNCTION pinterest_capi._report_slots(since interval, step text) RETURNS timestamptz[]
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN (SELECT array_agg(s.slot AT TIME ZONE 'UTC' ORDER BY s.slot)
	FROM generate_series(date_trunc(step, (now() - since) AT TIME ZONE 'UTC'),
		now() AT TIME ZONE 'UTC', ('1 ' || step)::interval) AS s (slot));
COMMENT ON FUNCTION pinterest_capi._report_slots(interval, text) IS
	'internal: the slots of a report, whole ones in UTC, the last one up to now';

CREATE FUNCTION pinterest_capi._report_slot(slot timestamptz, step text, short boolean) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_char(slot AT TIME ZONE 'UTC', CASE step
	WHEN 'hour' THEN CASE WHEN short THEN 'HH24:MI' ELSE 'YYYY-MM-DD HH24:MI' END
	WHEN 'day' THEN CASE WHEN short THEN 'DD Mon' ELSE 'YYYY-MM-DD' END
	WHEN 'week' THEN CASE WHEN short THEN 'DD Mon' ELSE '"week of "YYYY-MM-DD' END
	WHEN 'month' THEN CASE WHEN short THEN 'Mon YYYY' ELSE 'YYYY-MM' END
	ELSE 'YYYY' END);
COMMENT ON FUNCTION pinterest_capi._report_slot(timestamptz, text, boolean) IS
	'internal: a slot''s name, short for an axis';

CREATE FUNCTION pinterest_capi._report_statuses(OUT place integer, OUT status text) RETURNS SETOF record
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 8
BEGIN ATOMIC
	SELECT s.place::integer, s.status
	FROM unnest(ARRAY['sent', 'queued', 'retrying', 'expired', 'rejected', 'suppressed', 'cancelled', 'failed'])
		WITH ORDINALITY AS s (status, place);
END;
COMMENT ON FUNCTION pinterest_capi._report_statuses() IS
	'internal: the statuses in the order in which they are drawn, from below';

------------------------------------------------------------------------------
-- The rows
------------------------------------------------------------------------------

-- Names of events that nobody allowed, and messages, are texts of others, so there may be
-- any number of them: only the most frequent ones are shown by name.
-- The planner can't know how few groups there are, and would sort all events with their
-- payloads; hashing takes half the time.  JIT is off, since the cost of a sort that is
-- switched off, but needed after all, would start it.
CREATE FUNCTION pinterest_capi._report_rows(destination text, since timestamptz, step text) RETURNS pinterest_capi._report_row[]
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED
	SET enable_sort = off SET enable_incremental_sort = off SET jit = off
BEGIN ATOMIC
	WITH activity AS MATERIALIZED (
		SELECT a.*, pinterest_capi._report_words(a.error) AS words FROM pinterest_capi._activity AS a
		WHERE a.hour >= since
			AND (_report_rows.destination IS NULL OR a.destination = _report_rows.destination)
	), names AS (
		SELECT a.event_name FROM activity AS a GROUP BY 1 ORDER BY sum(a.events) DESC, 1 LIMIT 50
	), messages AS (
		SELECT a.words FROM activity AS a WHERE a.words IS NOT NULL GROUP BY 1 ORDER BY sum(a.events) DESC, 1 LIMIT 50
	), folded AS (
		SELECT date_trunc(step, a.hour, 'UTC') AS slot,
			a.destination, n.event_name, CASE WHEN n.event_name IS NOT NULL THEN a.sent_as END AS sent_as,
			a.status, a.reason, a.http_status, CASE WHEN a.words IS NOT NULL THEN coalesce(m.words, 'other messages') END AS error,
			a.currency, sum(a.events)::bigint AS events, sum(a.kept)::bigint AS kept, sum(a.em)::bigint AS em,
			sum(a.ph)::bigint AS ph, sum(a.click_id)::bigint AS click_id, sum(a.external_id)::bigint AS external_id,
			sum(a.hashed_maids)::bigint AS hashed_maids, sum(a.ip_and_agent)::bigint AS ip_and_agent,
			sum(a.matchable)::bigint AS matchable, sum(a.value) AS value, max(a.last_at) AS last_at,
			sum(a.tested)::bigint AS tested
		FROM activity AS a
			LEFT JOIN names AS n ON n.event_name = a.event_name
			LEFT JOIN messages AS m ON m.words = a.words
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
	)
	SELECT coalesce(array_agg(f::pinterest_capi._report_row), '{}') FROM folded AS f;
END;
COMMENT ON FUNCTION pinterest_capi._report_rows(text, timestamptz, text) IS
	'internal: what report_html() shows, counted in one pass';
