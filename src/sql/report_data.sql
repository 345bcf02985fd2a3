/*
 * report_data.sql
 *	  What report_html() counts, and how it writes numbers, times and words.
 *
 * The statistics are read once, by _report_rows, and handed to the sections of the
 * page as an array of _report_row.  Everything in a row is a name, a word or a
 * number: no event's id, identifier, hash or payload comes so far.  Messages and
 * warnings are not in the statistics: they are read of the newest events alone,
 * and the page says of how many.
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

CREATE VIEW pinterest_capi._known_destination AS
	SELECT n.dest, n.destination FROM pinterest_capi._destination_state AS n;
COMMENT ON VIEW pinterest_capi._known_destination IS
	'internal: each destination that ever was';

CREATE VIEW pinterest_capi._counted_from AS
	SELECT least((SELECT min(d.day)::timestamp AT TIME ZONE 'UTC' FROM pinterest_capi._statistics_day AS d),
		(SELECT min(c.hour) FROM pinterest_capi._statistics AS c)) AS hour;
COMMENT ON VIEW pinterest_capi._counted_from IS
	'internal: the first hour of which there are statistics';

CREATE VIEW pinterest_capi._newest_failed AS
	SELECT e.created_at, n.destination, e.event_name, o.status, o.reason, o.http_status, o.error, o.finished_at AS at,
		coalesce(o.test_mode, false) AS test_mode
	FROM (SELECT f.id, f.dest, f.status, f.reason, f.http_status, f.error, f.finished_at, f.test_mode FROM pinterest_capi._outcome AS f
			WHERE f.status = 'failed' AND f.status <> 'sent' ORDER BY f.id DESC LIMIT 5000) AS o
		JOIN pinterest_capi._event AS e ON e.id = o.id
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = o.dest
	UNION ALL
	SELECT e.created_at, n.destination, e.event_name, pinterest_capi._status(NULL, q.due_at, q.attempts), NULL, q.http_status, q.error,
		q.last_attempt_at, false
	FROM pinterest_capi._destination_state AS n
		CROSS JOIN LATERAL (SELECT w.id, w.due_at, w.attempts, w.http_status, w.error, w.last_attempt_at FROM pinterest_capi._retry AS w
			WHERE w.dest = n.dest AND w.due_at IS NOT NULL ORDER BY w.dest DESC, w.due_at DESC LIMIT 500) AS q
		JOIN pinterest_capi._event AS e ON e.id = q.id
	WHERE q.error IS NOT NULL AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = q.id OFFSET 0);
COMMENT ON VIEW pinterest_capi._newest_failed IS
	'internal: the newest of the events that failed, and of each destination''s events that wait after a failure those that wait longest, with their messages';

CREATE VIEW pinterest_capi._newest_warned AS
	SELECT e.created_at, n.destination, e.event_name, w.warning
	FROM (SELECT i.id, i.created_at, i.dest, i.event_name, i.warnings FROM pinterest_capi._event AS i ORDER BY i.id DESC LIMIT 10000) AS e
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = e.dest
		LEFT JOIN pinterest_capi._outcome AS o ON o.id = e.id
		CROSS JOIN LATERAL (SELECT u.warning FROM unnest(e.warnings) AS u (warning)
			UNION SELECT u.warning FROM unnest(o.warnings) AS u (warning)) AS w
	WHERE e.warnings IS NOT NULL OR o.warnings IS NOT NULL;
COMMENT ON VIEW pinterest_capi._newest_warned IS
	'internal: a row for each warning of the newest events';

CREATE VIEW pinterest_capi._newest_stopped AS
	SELECT e.created_at, e.event_name, o.status, o.reason
	FROM unnest('{suppressed,rejected}'::text[]) AS w (status)
		CROSS JOIN LATERAL (SELECT f.id, f.status, f.reason FROM pinterest_capi._outcome AS f
			WHERE f.status = w.status AND f.status <> 'sent' ORDER BY f.id DESC LIMIT 1000) AS o
		JOIN pinterest_capi._event AS e ON e.id = o.id
	WHERE e.dest = 0 OR o.reason = 'not allowed';
COMMENT ON VIEW pinterest_capi._newest_stopped IS
	'internal: the names of the newest events that went nowhere; the statistics have none for these';

CREATE TYPE pinterest_capi._report_row AS (
	part integer, slot timestamptz, destination text, event_name text, sent_as text, status text, reason text, currency text,
	events bigint, asked bigint, em bigint, ph bigint, click_id bigint, external_id bigint, hashed_maids bigint,
	ip bigint, user_agent bigint, matchable bigint, value numeric, stand_in bigint, stand_in_value numeric);
COMMENT ON TYPE pinterest_capi._report_row IS
	'internal: statistics per slot of a report; part: 0 for the time before it, which has no slots, 1 for whole days or hours, 2 for the one that is not over; status: tested where the event was sent in test mode; asked: events that came as far as their identifiers';

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

-- As much whole days (in a report by hour: hours) as there are in the report.
CREATE FUNCTION pinterest_capi._report_begun(step text) RETURNS timestamptz
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN date_trunc(CASE step WHEN 'hour' THEN 'hour' ELSE 'day' END, now(), 'UTC');
COMMENT ON FUNCTION pinterest_capi._report_begun(text) IS
	'internal: when the day that is not over began; in a report by hour, the hour';

CREATE FUNCTION pinterest_capi._report_before(slots timestamptz[], step text) RETURNS timestamptz
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN ((slots[1] AT TIME ZONE 'UTC') - (pinterest_capi._report_begun(step) - slots[1])) AT TIME ZONE 'UTC';
COMMENT ON FUNCTION pinterest_capi._report_before(timestamptz[], text) IS
	'internal: when the time before the report''s begins, which has as many whole days or hours';

CREATE FUNCTION pinterest_capi._report_change(this numeric, before numeric) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN coalesce(before, 0) = 0 OR this IS NULL THEN '<span class="nil">&#x2013;</span>'
	WHEN this = before THEN '&#xB1;0 %'
	ELSE to_char(100 * (this - before) / before, 'FMSG999,999,990.0') || ' %' END;
COMMENT ON FUNCTION pinterest_capi._report_change(numeric, numeric) IS 'internal: a change in percent';

CREATE FUNCTION pinterest_capi._report_money(amount numeric, currency text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(amount, 'FM999,999,999,999,999,990.00') || '&#xA0;' || pinterest_capi._html(currency);
COMMENT ON FUNCTION pinterest_capi._report_money(numeric, text) IS 'internal: an amount with its currency';

CREATE FUNCTION pinterest_capi._report_statuses(OUT place integer, OUT status text) RETURNS SETOF record
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 9
BEGIN ATOMIC
	SELECT s.place::integer, s.status
	FROM unnest(ARRAY['sent', 'tested', 'queued', 'retrying', 'expired', 'rejected', 'suppressed', 'cancelled', 'failed'])
		WITH ORDINALITY AS s (status, place);
END;
COMMENT ON FUNCTION pinterest_capi._report_statuses() IS
	'internal: the statuses in the order in which they are drawn, from below; tested: sent in test mode';

------------------------------------------------------------------------------
-- The rows
------------------------------------------------------------------------------

-- The planner can't know how few groups there are.  JIT is off, since the cost of a sort that
-- is switched off, but needed after all, would start it.
CREATE FUNCTION pinterest_capi._report_rows(destination text, slots timestamptz[], step text) RETURNS pinterest_capi._report_row[]
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED
	SET enable_sort = off SET enable_incremental_sort = off SET jit = off
BEGIN ATOMIC
	WITH counted AS (
		SELECT c.day::timestamp AS at, c.dest, c.event_name, c.sent_as, c.status, c.reason, c.test_mode, c.currency, c.events,
			c.em, c.ph, c.click_id, c.external_id, c.hashed_maids, c.ip, c.user_agent, c.matchable, c.value, c.stand_in, c.stand_in_value
		FROM pinterest_capi._counted_day AS c
		WHERE step <> 'hour' AND c.day >= (SELECT (pinterest_capi._report_before(slots, step) AT TIME ZONE 'UTC')::date)
		UNION ALL
		SELECT c.hour AT TIME ZONE 'UTC', c.dest, c.event_name, c.sent_as, c.status, c.reason, c.test_mode, c.currency, c.events,
			c.em, c.ph, c.click_id, c.external_id, c.hashed_maids, c.ip, c.user_agent, c.matchable, c.value, c.stand_in, c.stand_in_value
		FROM pinterest_capi._counted_hour AS c
		WHERE step = 'hour' AND c.hour >= (SELECT pinterest_capi._report_before(slots, step))
	), summed AS MATERIALIZED (
		SELECT CASE WHEN c.at < (SELECT slots[1] AT TIME ZONE 'UTC') THEN 0
				WHEN c.at < (SELECT pinterest_capi._report_begun(step) AT TIME ZONE 'UTC') THEN 1 ELSE 2 END AS part,
			CASE WHEN c.at >= (SELECT slots[1] AT TIME ZONE 'UTC') THEN date_trunc(step, c.at) END AS slot,
			c.dest, nullif(c.event_name, '') AS event_name, c.sent_as,
			CASE WHEN c.test_mode AND c.status = 'sent' THEN 'tested' ELSE c.status END AS status, c.reason, c.currency,
			sum(c.events)::bigint AS events, sum(c.em)::bigint AS em, sum(c.ph)::bigint AS ph, sum(c.click_id)::bigint AS click_id,
			sum(c.external_id)::bigint AS external_id, sum(c.hashed_maids)::bigint AS hashed_maids, sum(c.ip)::bigint AS ip,
			sum(c.user_agent)::bigint AS user_agent, sum(c.matchable)::bigint AS matchable, sum(c.value) AS value,
			sum(c.stand_in)::bigint AS stand_in, sum(c.stand_in_value) AS stand_in_value
		FROM counted AS c
		WHERE _report_rows.destination IS NULL
			OR c.dest = (SELECT k.dest FROM pinterest_capi._known_destination AS k WHERE k.destination = _report_rows.destination)
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
		HAVING sum(c.events) > 0
	-- a list of allowed events may be long: only the most frequent names are shown
	), names AS (
		SELECT s.event_name FROM summed AS s WHERE s.event_name IS NOT NULL GROUP BY 1 ORDER BY sum(s.events) DESC, 1 LIMIT 50
	), folded AS (
		SELECT s.part, s.slot AT TIME ZONE 'UTC' AS slot, k.destination, n.event_name, CASE WHEN n.event_name IS NOT NULL THEN s.sent_as END AS sent_as,
			s.status, s.reason, s.currency, sum(s.events)::bigint AS events,
			(sum(s.events) FILTER (WHERE s.status NOT IN ('suppressed', 'rejected') OR s.status = 'suppressed' AND s.reason = 'no identifier'))::bigint AS asked,
			sum(s.em)::bigint AS em, sum(s.ph)::bigint AS ph, sum(s.click_id)::bigint AS click_id, sum(s.external_id)::bigint AS external_id,
			sum(s.hashed_maids)::bigint AS hashed_maids, sum(s.ip)::bigint AS ip, sum(s.user_agent)::bigint AS user_agent,
			sum(s.matchable)::bigint AS matchable, sum(s.value) AS value, sum(s.stand_in)::bigint AS stand_in, sum(s.stand_in_value) AS stand_in_value
		FROM summed AS s
			LEFT JOIN pinterest_capi._known_destination AS k ON k.dest = s.dest
			LEFT JOIN names AS n ON n.event_name = s.event_name
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
	)
	SELECT coalesce(array_agg(f::pinterest_capi._report_row), '{}') FROM folded AS f;
END;
COMMENT ON FUNCTION pinterest_capi._report_rows(text, timestamptz[], text) IS
	'internal: what report_html() shows, and the time before it, added up in one pass';
