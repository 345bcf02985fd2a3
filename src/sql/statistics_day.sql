/*
 * statistics_day.sql
 *	  The statistics by day, for what looks back far, and how many events wait.
 *
 * src/queue/statistics_days.c adds the days up.
 */

-- A year has few days and many hours.  Days that are over, up to the newest one here, are
-- in it as a whole: the worker adds up their hours, and whatever it adds to an hour of
-- them afterwards it adds here too.
CREATE TABLE pinterest_capi._statistics_day (
	day date NOT NULL,
	dest integer NOT NULL,
	event_name text COLLATE pg_catalog."C" NOT NULL,
	sent_as text COLLATE pg_catalog."C",
	status text COLLATE pg_catalog."C" NOT NULL,
	reason text COLLATE pg_catalog."C",
	test_mode boolean NOT NULL,
	currency text COLLATE pg_catalog."C",
	events bigint NOT NULL,
	value numeric,
	stand_in bigint NOT NULL,
	stand_in_value numeric,
	em bigint NOT NULL,
	ph bigint NOT NULL,
	click_id bigint NOT NULL,
	external_id bigint NOT NULL,
	hashed_maids bigint NOT NULL,
	ip bigint NOT NULL,
	user_agent bigint NOT NULL,
	matchable bigint NOT NULL
) USING heap WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX _statistics_day_key ON pinterest_capi._statistics_day
	(day, dest, event_name, status, sent_as, reason, test_mode, currency) NULLS NOT DISTINCT;
CREATE INDEX _statistics_day_waiting ON pinterest_capi._statistics_day (dest, day) WHERE status IN ('queued', 'retrying');
ALTER TABLE pinterest_capi._statistics_day REPLICA IDENTITY FULL;
COMMENT ON TABLE pinterest_capi._statistics_day IS
	'internal: the hours of _statistics, added up by day (UTC), up to the newest day that has a row here';
SELECT pg_catalog.pg_extension_config_dump('pinterest_capi._statistics_day', '');

CREATE VIEW pinterest_capi._counted_day AS
	SELECT a.day, a.dest, a.event_name, a.sent_as, a.status, a.reason, a.test_mode, a.currency,
		a.events, a.value, a.stand_in, a.stand_in_value, a.em, a.ph, a.click_id, a.external_id,
		a.hashed_maids, a.ip, a.user_agent, a.matchable
	FROM pinterest_capi._statistics_day AS a
	UNION ALL
	SELECT (c.hour AT TIME ZONE 'UTC')::date, c.dest, c.event_name, c.sent_as, c.status, c.reason, c.test_mode, c.currency,
		c.events, c.value, c.stand_in, c.stand_in_value, c.em, c.ph, c.click_id, c.external_id,
		c.hashed_maids, c.ip, c.user_agent, c.matchable
	FROM pinterest_capi._statistics AS c
	WHERE c.hour >= (SELECT coalesce((max(b.day) + 1)::timestamp, '-infinity') AT TIME ZONE 'UTC' FROM pinterest_capi._statistics_day AS b)
	UNION ALL
	SELECT (d.hour AT TIME ZONE 'UTC')::date, d.dest, d.event_name, d.sent_as, d.status, d.reason, d.test_mode, d.currency,
		d.events, d.value, d.stand_in, d.stand_in_value, d.em, d.ph, d.click_id, d.external_id,
		d.hashed_maids, d.ip, d.user_agent, d.matchable
	FROM pinterest_capi._statistics_change AS d
	WHERE d.id IS NULL
		OR d.deleted = (d.id > (SELECT coalesce(max(m.mark), 0) FROM pinterest_capi._statistics_mark AS m))
	UNION ALL
	SELECT (x.hour AT TIME ZONE 'UTC')::date, x.dest, x.event_name, x.sent_as, x.status, x.reason, x.test_mode, x.currency,
		x.events, x.value, x.stand_in, x.stand_in_value, x.em, x.ph, x.click_id, x.external_id,
		x.hashed_maids, x.ip, x.user_agent, x.matchable
	FROM pinterest_capi._statistics_tail AS x
	WHERE (x.id & 0) = 0 AND (x.id % 1) = 0;
COMMENT ON VIEW pinterest_capi._counted_day IS
	'internal: parts of the statistics by day (UTC), to be added up';

CREATE VIEW pinterest_capi._counted_waiting AS
	SELECT c.dest, sum(c.events) FILTER (WHERE c.status = 'queued') AS queued,
		sum(c.events) FILTER (WHERE c.status = 'retrying') AS retrying
	FROM pinterest_capi._counted_day AS c
	WHERE c.status IN ('queued', 'retrying')
	GROUP BY c.dest;
COMMENT ON VIEW pinterest_capi._counted_waiting IS
	'internal: how many events wait, by destination''s number';
