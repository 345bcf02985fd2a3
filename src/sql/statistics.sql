/*
 * statistics.sql
 *	  How many events there are, by hour, destination, name and what became of
 *	  them.  docs/design.md, "Statistics", says who counts, and when.
 */

CREATE TABLE pinterest_capi._statistics (
	hour timestamptz NOT NULL,
	dest integer NOT NULL,
	event_name text COLLATE pg_catalog."C" NOT NULL,
	sent_as text COLLATE pg_catalog."C",
	status text COLLATE pg_catalog."C" NOT NULL,
	reason text COLLATE pg_catalog."C",
	test_mode boolean NOT NULL,
	currency text COLLATE pg_catalog."C",
	events bigint NOT NULL,
	value numeric NOT NULL,
	stand_in bigint NOT NULL,
	stand_in_value numeric NOT NULL,
	em bigint NOT NULL,
	ph bigint NOT NULL,
	click_id bigint NOT NULL,
	external_id bigint NOT NULL,
	hashed_maids bigint NOT NULL,
	ip bigint NOT NULL,
	user_agent bigint NOT NULL,
	matchable bigint NOT NULL
) USING heap WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX _statistics_key ON pinterest_capi._statistics
	(hour, dest, event_name, status, sent_as, reason, test_mode, currency) NULLS NOT DISTINCT;
-- what waits: of each hour in which something does, a few rows
CREATE INDEX _statistics_waiting ON pinterest_capi._statistics (dest, hour) WHERE status IN ('queued', 'retrying');
ALTER TABLE pinterest_capi._statistics REPLICA IDENTITY FULL;
COMMENT ON TABLE pinterest_capi._statistics IS
	'internal: the events up to the mark (_statistics_mark), counted; hour: of created_at, in UTC; event_name: empty where anybody can make it up; matchable: em, hashed_maids, or ip with user_agent; stand_in: events whose value is the destination''s default, contained in the other sums';

CREATE TABLE pinterest_capi._statistics_change (
	id bigint,
	deleted boolean NOT NULL,
	LIKE pinterest_capi._statistics
) USING heap WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE pinterest_capi._statistics_change REPLICA IDENTITY FULL;
COMMENT ON TABLE pinterest_capi._statistics_change IS
	'internal: what changes of events add to _statistics, until the worker has added it; id: only if the mark has reached it, or, if the event is deleted, only if it has not';

CREATE TABLE pinterest_capi._statistics_mark (
	mark bigint NOT NULL,
	made_at timestamptz NOT NULL
) USING heap WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
ALTER TABLE pinterest_capi._statistics_mark REPLICA IDENTITY FULL;
COMMENT ON TABLE pinterest_capi._statistics_mark IS
	'internal: the highest mark counts: each event up to this id is in _statistics; a dump that is restored, or logical replication, brings a second row';

SELECT pg_catalog.pg_extension_config_dump('pinterest_capi._statistics', '');
SELECT pg_catalog.pg_extension_config_dump('pinterest_capi._statistics_change', '');
SELECT pg_catalog.pg_extension_config_dump('pinterest_capi._statistics_mark', '');

INSERT INTO pinterest_capi._statistics_mark (mark, made_at) VALUES (0, pg_catalog.now());

-- Each event as it counts.  The rows are found by their keys, whatever the planner believes
-- of the tables (pcapi_plan() in common/spi.h).
CREATE VIEW pinterest_capi._counted AS
	SELECT e.id, pg_catalog.date_trunc('hour', e.created_at, 'UTC') AS hour, e.dest,
		CASE WHEN e.dest = 0 OR o.reason = 'not allowed' THEN '' ELSE e.event_name END AS event_name, e.sent_as,
		pinterest_capi._status(o.status, q.due_at, q.attempts) AS status,
		CASE WHEN o.reason LIKE 'replayed as %' THEN 'replayed' ELSE o.reason END AS reason,
		coalesce(o.test_mode, false) AS test_mode, e.currency, 1 AS events,
		v.value, v.stand_in::integer AS stand_in, CASE WHEN v.stand_in THEN v.value ELSE 0 END AS stand_in_value,
		v.carries & 1 AS em, v.carries >> 1 & 1 AS ph, v.carries >> 2 & 1 AS click_id, v.carries >> 3 & 1 AS external_id,
		v.carries >> 4 & 1 AS hashed_maids, v.carries >> 5 & 1 AS ip, v.carries >> 6 & 1 AS user_agent,
		(v.carries & 17 <> 0 OR v.carries & 96 = 96)::integer AS matchable
	FROM pinterest_capi._event AS e
		LEFT JOIN LATERAL (SELECT w.status, w.reason, w.test_mode FROM pinterest_capi._outcome AS w WHERE w.id = e.id OFFSET 0) AS o ON true
		LEFT JOIN LATERAL (SELECT w.due_at, w.attempts FROM pinterest_capi._retry AS w WHERE w.id = e.id AND w.dest = e.dest OFFSET 0) AS q ON true
		CROSS JOIN LATERAL (SELECT coalesce(e.carries::integer, 0) AS carries, coalesce(ltrim(e.value, '=')::numeric, 0) AS value,
			coalesce(e.value LIKE '=%', false) AS stand_in) AS v;
COMMENT ON VIEW pinterest_capi._counted IS
	'internal: a row per event with its share in the statistics, now';

CREATE VIEW pinterest_capi._statistics_tail AS
	SELECT c.*
	FROM pinterest_capi._counted AS c
	-- of two bounds the planner expects that few rows are between them
	WHERE c.id > (SELECT coalesce(max(m.mark), 0) FROM pinterest_capi._statistics_mark AS m) AND c.id <= 9223372036854775807;
COMMENT ON VIEW pinterest_capi._statistics_tail IS
	'internal: the events above the mark, which are not in _statistics yet';

-- Few events are not counted yet.  The planner can't know, and would compile the whole
-- statement for half a percent of all events (jit_above_cost); of two conditions on
-- expressions, which are always true, it expects that they leave almost nothing.
CREATE VIEW pinterest_capi._counted_hour AS
	SELECT c.hour, c.dest, c.event_name, c.sent_as, c.status, c.reason, c.test_mode, c.currency,
		c.events, c.value, c.stand_in, c.stand_in_value, c.em, c.ph, c.click_id, c.external_id,
		c.hashed_maids, c.ip, c.user_agent, c.matchable
	FROM pinterest_capi._statistics AS c
	UNION ALL
	SELECT d.hour, d.dest, d.event_name, d.sent_as, d.status, d.reason, d.test_mode, d.currency,
		d.events, d.value, d.stand_in, d.stand_in_value, d.em, d.ph, d.click_id, d.external_id,
		d.hashed_maids, d.ip, d.user_agent, d.matchable
	FROM pinterest_capi._statistics_change AS d
	WHERE d.id IS NULL
		OR d.deleted = (d.id > (SELECT coalesce(max(m.mark), 0) FROM pinterest_capi._statistics_mark AS m))
	UNION ALL
	SELECT x.hour, x.dest, x.event_name, x.sent_as, x.status, x.reason, x.test_mode, x.currency,
		x.events, x.value, x.stand_in, x.stand_in_value, x.em, x.ph, x.click_id, x.external_id,
		x.hashed_maids, x.ip, x.user_agent, x.matchable
	FROM pinterest_capi._statistics_tail AS x
	WHERE (x.id & 0) = 0 AND (x.id % 1) = 0;
COMMENT ON VIEW pinterest_capi._counted_hour IS
	'internal: parts of the statistics by hour, to be added up: what is counted, what changes add to it, and the events that are not counted yet';

CREATE VIEW pinterest_capi.event_statistics AS
	SELECT s.hour, n.destination, nullif(s.event_name, '') AS event_name, s.sent_as, s.status, s.reason, s.test_mode, s.currency,
		s.events, s.value, s.em, s.ph, s.click_id, s.external_id, s.hashed_maids, s.ip, s.user_agent, s.matchable,
		s.stand_in, s.stand_in_value
	FROM (SELECT t.hour, t.dest, t.event_name, t.sent_as, t.status, t.reason, t.test_mode, t.currency,
			sum(t.events)::bigint AS events, trim_scale(sum(t.value)) AS value, sum(t.em)::bigint AS em, sum(t.ph)::bigint AS ph,
			sum(t.click_id)::bigint AS click_id, sum(t.external_id)::bigint AS external_id,
			sum(t.hashed_maids)::bigint AS hashed_maids, sum(t.ip)::bigint AS ip, sum(t.user_agent)::bigint AS user_agent,
			sum(t.matchable)::bigint AS matchable, sum(t.stand_in)::bigint AS stand_in, trim_scale(sum(t.stand_in_value)) AS stand_in_value
		FROM pinterest_capi._counted_hour AS t
		GROUP BY t.hour, t.dest, t.event_name, t.sent_as, t.status, t.reason, t.test_mode, t.currency
		HAVING sum(t.events) <> 0) AS s
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = s.dest;
COMMENT ON VIEW pinterest_capi.event_statistics IS
	'per hour (UTC) in which events were tracked, destination, event, status, reason, test mode and currency: how many events, the sum of their values, and how many carry each identifier; kept longer than the events';
COMMENT ON COLUMN pinterest_capi.event_statistics.destination IS
	'null where no destination allows the event';
COMMENT ON COLUMN pinterest_capi.event_statistics.event_name IS
	'null where the event is not allowed: anybody can make up such a name';
COMMENT ON COLUMN pinterest_capi.event_statistics.reason IS
	'of final events, as in dispatch_status; replayed where that names another event';
COMMENT ON COLUMN pinterest_capi.event_statistics.matchable IS
	'how many carry what Pinterest asks for: an e-mail address, a mobile advertising id, or IP address with user agent';
COMMENT ON COLUMN pinterest_capi.event_statistics.stand_in IS
	'how many have the destination''s default for a value';
COMMENT ON COLUMN pinterest_capi.event_statistics.stand_in_value IS
	'the sum of these values, which is contained in value';
