/*
 * quality.sql
 *	  Match quality: which identifiers events carry, which one is missing most,
 *	  and how it is added.  The view, doctor() and the report use the same words.
 */

CREATE FUNCTION pinterest_capi._missing_identifier(em numeric, ph numeric, click_id numeric, external_id numeric,
		hashed_maids numeric) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	-- The order of what Pinterest asks for decides between equal shares.  A mobile
	-- advertising id is missing where some of the events carry one; a click id is
	-- rare by nature, so it is missing where none does.
	SELECT coalesce(
		(SELECT k.key FROM (VALUES (1, 'em', em), (2, 'external_id', external_id), (3, 'ph', ph), (4, 'hashed_maids', nullif(hashed_maids, 0)))
				AS k (place, key, share)
			WHERE k.share < 0.95 ORDER BY k.share, k.place LIMIT 1),
		CASE WHEN click_id = 0 THEN 'click_id' END);
END;
COMMENT ON FUNCTION pinterest_capi._missing_identifier(numeric, numeric, numeric, numeric, numeric) IS
	'internal: the identifier that is missing most, by the shares of events (0 to 1) that carry each; NULL where nearly all carry all';

CREATE FUNCTION pinterest_capi._identifier_advice(identifier text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE identifier
		WHEN 'em' THEN 'Add the e-mail address: ''em=COLUMN'' in the trigger''s mapping, or {"em": ...} in user_data.'
		WHEN 'external_id' THEN 'Add the customer number that your Pinterest tag sends too: ''external_id=COLUMN'' in the trigger''s mapping, or {"external_id": ...} in user_data.'
		WHEN 'ph' THEN 'Add the phone number: ''ph=COLUMN'' in the trigger''s mapping, or {"ph": ...} in user_data; with ''country=COLUMN'' or the destination''s default_country where it has no country code.'
		WHEN 'hashed_maids' THEN 'Add the mobile advertising id: ''hashed_maids=COLUMN'' in the trigger''s mapping, or {"hashed_maids": ...} in user_data.'
		WHEN 'click_id' THEN 'Keep the click id: call capture_click(visitor, url) on the landing page, and map ''visitor_id=COLUMN''.' END;
END;
COMMENT ON FUNCTION pinterest_capi._identifier_advice(text) IS
	'internal: how an identifier is added to events';

-- Final events are counted for as long as their payload is kept: those that were
-- stopped have none, so the setting says how long that is.
CREATE VIEW pinterest_capi._quality AS
	SELECT e.id, n.destination, e.event_name, e.event_time, e.payload
	FROM pinterest_capi._event AS e
		JOIN pinterest_capi._destination_state AS n ON n.dest = e.dest
		LEFT JOIN pinterest_capi._outcome AS o ON o.id = e.id AND e.payload IS NULL AND o.status = 'suppressed' AND o.reason = 'no identifier'
	WHERE e.payload IS NOT NULL
		OR o.finished_at > pg_catalog.statement_timestamp() - coalesce(nullif(pg_catalog.current_setting('pinterest_capi.payload_retention', true), ''), '7 days')::interval;
COMMENT ON VIEW pinterest_capi._quality IS
	'internal: events whose payload is kept, and the events that were stopped for want of an identifier';

CREATE VIEW pinterest_capi.event_quality AS
	WITH counted AS (
		SELECT q.event_name, q.destination, (q.event_time AT TIME ZONE 'UTC')::date AS day,
			count(*) AS events, count(*) FILTER (WHERE q.payload IS NULL) AS no_identifier,
			count(*) FILTER (WHERE u.user_data ? 'em') AS em,
			count(*) FILTER (WHERE u.user_data ? 'ph') AS ph,
			count(*) FILTER (WHERE u.user_data ? 'click_id') AS click_id,
			count(*) FILTER (WHERE u.user_data ? 'external_id') AS external_id,
			count(*) FILTER (WHERE u.user_data ? 'hashed_maids') AS hashed_maids,
			count(*) FILTER (WHERE u.user_data ? 'client_ip_address') AS ip,
			count(*) FILTER (WHERE u.user_data ? 'client_user_agent') AS user_agent,
			count(*) FILTER (WHERE u.user_data ?| '{em,hashed_maids}'
				OR u.user_data ?& '{client_ip_address,client_user_agent}') AS matchable
		FROM pinterest_capi._quality AS q
			-- OFFSET: the payload is read once, not for each use of it
			CROSS JOIN LATERAL (SELECT q.payload::jsonb -> 'user_data' AS user_data OFFSET 0) AS u
		GROUP BY 1, 2, 3
	), shares AS (
		SELECT c.event_name, c.destination, c.day, c.events, round(c.em::numeric / c.events, 4) AS em,
			round(c.ph::numeric / c.events, 4) AS ph, round(c.click_id::numeric / c.events, 4) AS click_id,
			round(c.external_id::numeric / c.events, 4) AS external_id, round(c.hashed_maids::numeric / c.events, 4) AS hashed_maids,
			round(c.ip::numeric / c.events, 4) AS ip, round(c.user_agent::numeric / c.events, 4) AS user_agent,
			round(c.matchable::numeric / c.events, 4) AS matchable, c.no_identifier
		FROM counted AS c
	)
	SELECT s.event_name, s.destination, s.day, s.events, s.em, s.ph, s.click_id, s.external_id, s.hashed_maids, s.ip, s.user_agent,
		s.matchable, s.no_identifier, m.missing, pinterest_capi._identifier_advice(m.missing) AS advice
	FROM shares AS s
		CROSS JOIN LATERAL (SELECT pinterest_capi._missing_identifier(s.em, s.ph, s.click_id, s.external_id, s.hashed_maids) AS missing OFFSET 0) AS m;
COMMENT ON VIEW pinterest_capi.event_quality IS
	'per event, destination and day (UTC): events, and the share of them (0 to 1) that carries each identifier; of events whose payload is kept, and of those that were stopped for want of an identifier';
COMMENT ON COLUMN pinterest_capi.event_quality.matchable IS
	'the share that carries what Pinterest asks for: an e-mail address, a mobile advertising id, or IP address with user agent';
COMMENT ON COLUMN pinterest_capi.event_quality.no_identifier IS
	'how many of the events were suppressed as "no identifier"';
COMMENT ON COLUMN pinterest_capi.event_quality.missing IS
	'the identifier that is missing most, and worth to be added';
COMMENT ON COLUMN pinterest_capi.event_quality.advice IS
	'how that identifier is added';

CREATE FUNCTION pinterest_capi._user_data(payload text) RETURNS jsonb
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_user_data';
COMMENT ON FUNCTION pinterest_capi._user_data(text) IS
	'internal: the user_data of a payload; NULL where the payload cannot be read';

-- Few rows, from the end of the primary key: doctor() stays quick however much is
-- kept.  A payload that cannot be read must not keep doctor() from naming it.
CREATE VIEW pinterest_capi._newest_quality AS
	SELECT n.destination, n.event_name, n.events,
		n.matchable, round(n.em / n.events, 4) AS em, round(n.ph / n.events, 4) AS ph, round(n.click_id / n.events, 4) AS click_id,
		round(n.external_id / n.events, 4) AS external_id, round(n.hashed_maids / n.events, 4) AS hashed_maids
	FROM (SELECT q.destination, q.event_name, count(*) AS events,
			count(*) FILTER (WHERE q.user_data ?| '{em,hashed_maids}' OR q.user_data ?& '{client_ip_address,client_user_agent}') AS matchable,
			count(*) FILTER (WHERE q.user_data ? 'em')::numeric AS em,
			count(*) FILTER (WHERE q.user_data ? 'ph')::numeric AS ph,
			count(*) FILTER (WHERE q.user_data ? 'click_id')::numeric AS click_id,
			count(*) FILTER (WHERE q.user_data ? 'external_id')::numeric AS external_id,
			count(*) FILTER (WHERE q.user_data ? 'hashed_maids')::numeric AS hashed_maids
		FROM (SELECT q.destination, q.event_name, pinterest_capi._user_data(q.payload) AS user_data
			FROM (SELECT e.id FROM pinterest_capi._event AS e ORDER BY e.id DESC LIMIT 1000) AS i
				CROSS JOIN LATERAL (SELECT * FROM pinterest_capi._quality AS v WHERE v.id = i.id OFFSET 0) AS q OFFSET 0) AS q
		GROUP BY 1, 2) AS n;
COMMENT ON VIEW pinterest_capi._newest_quality IS
	'internal: the newest events by destination and name, and the share of them that carries each identifier';

