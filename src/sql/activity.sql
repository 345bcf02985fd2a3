/*
 * activity.sql
 *	  What exporters ask for again and again: how each destination and each event
 *	  does now.
 */

CREATE VIEW pinterest_capi.destination_status AS
	SELECT d.destination,
		r.status,
		pg_catalog.concat_ws('; ',
			CASE WHEN p.publishing THEN 'ready: another server sends what is published here'
				ELSE coalesce(r.reason, CASE WHEN r.status = 'ready' THEN 'ready' END) END,
			CASE WHEN d.test_mode THEN 'test mode: Pinterest checks events and discards them' END,
			CASE WHEN d.api_url <> 'https://api.pinterest.com/v5' THEN pg_catalog.format('events go to %s, not to Pinterest', d.api_url) END,
			CASE WHEN p.publishing AND NOT EXISTS (SELECT FROM pinterest_capi._subscriber AS u
					JOIN pg_catalog.pg_replication_slots AS l ON l.slot_name = u.slot)
				THEN 'no dispatcher has subscribed'
				WHEN NOT p.publishing AND NOT coalesce(pg_catalog.current_setting('pinterest_capi.dispatch', true), 'on')::boolean
				THEN 'dispatch is off on this server' END,
			(SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
				THEN 'this server is a standby: nothing is sent from here'
				WHEN count(*) = 0
				THEN 'no worker is running: it starts with the next event, or see max_worker_processes'
				WHEN max(w.state) = 'read-only'
				THEN 'this server is read-only (default_transaction_read_only): nothing is sent from here' END
				FROM pinterest_capi._worker_state() AS w),
			CASE WHEN t.stray THEN 'events wait that belong to no destination: see doctor()' END
		) AS message,
		coalesce(q.queued, 0)::bigint AS queued,
		coalesce(q.retrying, 0)::bigint AS retrying,
		-- whichever is older: the first of those that were tried, or of those that never were
		(SELECT e.created_at FROM pinterest_capi._event AS e
			WHERE e.id = LEAST(
				(SELECT w.id FROM pinterest_capi._retry AS w
					WHERE w.dest = s.dest AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS x WHERE x.id = w.id OFFSET 0)
					ORDER BY w.dest, w.id LIMIT 1),
				(SELECT w.id FROM pinterest_capi._event AS w
					WHERE w.id > s.done_below AND w.id < 9223372036854775807 AND w.dest + 0 = s.dest
						AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS x WHERE x.id = w.id OFFSET 0)
					ORDER BY w.id LIMIT 1))) AS oldest_queued_at,
		s.last_sent_at, s.last_error, s.last_error_at,
		coalesce(o.sent, 0)::bigint AS sent_last_hour,
		coalesce(o.failed, 0)::bigint AS failed_last_hour
	FROM pinterest_capi.destination AS d
		JOIN pinterest_capi._readiness AS r ON r.destination = d.destination
		CROSS JOIN (SELECT EXISTS (SELECT FROM pinterest_capi._publishing) AS publishing) AS p
		CROSS JOIN (SELECT EXISTS (SELECT FROM pinterest_capi._stray AS x WHERE x.destination IS NULL) AS stray) AS t
		LEFT JOIN pinterest_capi._destination_state AS s ON s.destination = d.destination
		LEFT JOIN pinterest_capi._counted_waiting AS q ON q.dest = s.dest
		LEFT JOIN LATERAL (
			SELECT sum(s.last_hour[m.i + 2]) AS sent, sum(s.last_hour[m.i + 3]) AS failed
			FROM pg_catalog.generate_series(0, 177, 3) AS m (i)
			WHERE s.last_hour[m.i + 1] > pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.statement_timestamp()) / 60) - 60) AS o ON true;
COMMENT ON VIEW pinterest_capi.destination_status IS
	'a row per destination: whether it works, what waits, what went wrong last';
COMMENT ON COLUMN pinterest_capi.destination_status.status IS
	'ready, not ready, paused or disabled';
COMMENT ON COLUMN pinterest_capi.destination_status.message IS
	'what the status means here, and what keeps events from leaving';
COMMENT ON COLUMN pinterest_capi.destination_status.queued IS
	'events that wait for their first attempt, or again as if it had not been';
COMMENT ON COLUMN pinterest_capi.destination_status.retrying IS
	'events that wait after an attempt';
COMMENT ON COLUMN pinterest_capi.destination_status.oldest_queued_at IS
	'when the first of those that wait was tracked';

CREATE VIEW pinterest_capi.event_activity AS
	WITH recent AS (
		SELECT c.dest, pinterest_capi._fold(CASE WHEN c.dest <> 0 THEN c.event_name ELSE '' END) AS folded, c.hour, c.status, c.events
		FROM pinterest_capi._counted_hour AS c
		WHERE c.hour >= pg_catalog.date_trunc('hour', pg_catalog.statement_timestamp() - interval '1 hour', 'UTC')),
	newest AS (
		SELECT e.dest, pinterest_capi._fold(CASE WHEN e.dest <> 0 THEN e.event_name ELSE '' END) AS folded, max(e.created_at) AS at
		FROM (SELECT i.dest, i.event_name, i.created_at FROM pinterest_capi._event AS i ORDER BY i.id DESC LIMIT 1000) AS e
		GROUP BY 1, 2),
	kinds AS (
		SELECT a.event_name, pinterest_capi._fold(a.event_name) AS folded, a.destination, s.dest
		FROM pinterest_capi.allowed_event AS a
			LEFT JOIN pinterest_capi._destination_state AS s ON s.destination = a.destination
		UNION ALL VALUES (NULL, '', NULL, 0))
	SELECT k.event_name, k.destination,
		coalesce(sum(r.events), 0)::bigint AS tracked_last_hour,
		coalesce(sum(r.events) FILTER (WHERE r.status IN ('queued', 'retrying')), 0)::bigint AS waiting,
		coalesce(sum(r.events) FILTER (WHERE r.status = 'sent'), 0)::bigint AS sent,
		coalesce(sum(r.events) FILTER (WHERE r.status = 'failed'), 0)::bigint AS failed,
		coalesce(sum(r.events) FILTER (WHERE r.status = 'expired'), 0)::bigint AS expired,
		coalesce(sum(r.events) FILTER (WHERE r.status = 'rejected'), 0)::bigint AS rejected,
		coalesce(sum(r.events) FILTER (WHERE r.status = 'suppressed'), 0)::bigint AS suppressed,
		coalesce(sum(r.events) FILTER (WHERE r.status = 'cancelled'), 0)::bigint AS cancelled,
		CASE WHEN coalesce(sum(r.events), 0) > 0 THEN greatest(max(n.at), max(r.hour) FILTER (WHERE r.events > 0)) END AS last_tracked_at
	FROM kinds AS k
		LEFT JOIN recent AS r ON r.dest = k.dest AND r.folded = k.folded
		LEFT JOIN newest AS n ON n.dest = k.dest AND n.folded = k.folded
	GROUP BY k.event_name, k.destination;
COMMENT ON VIEW pinterest_capi.event_activity IS
	'per allowed event and destination, what was tracked in this hour (UTC) and the one before, and what has become of it; a row of nulls for all events that go nowhere';
COMMENT ON COLUMN pinterest_capi.event_activity.event_name IS
	'as in allowed_event; null for the events that no destination allows, whose names anybody can make up';
COMMENT ON COLUMN pinterest_capi.event_activity.last_tracked_at IS
	'null: not in these hours; of an event that is not among the newest 1,000 of all, the hour';
