/*
 * quality.sql
 *	  Match quality: which identifiers events carry, which one is missing most,
 *	  and how it is added; and what to do about warnings.  The view, doctor() and the
 *	  report use the same words.
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

CREATE VIEW pinterest_capi.event_quality AS
	WITH counted AS (
		SELECT c.event_name, n.destination, c.day, sum(c.events) AS events,
			sum(c.events) FILTER (WHERE c.status = 'suppressed') AS no_identifier,
			sum(c.em) AS em, sum(c.ph) AS ph, sum(c.click_id) AS click_id, sum(c.external_id) AS external_id,
			sum(c.hashed_maids) AS hashed_maids, sum(c.ip) AS ip, sum(c.user_agent) AS user_agent, sum(c.matchable) AS matchable
		FROM pinterest_capi._counted_day AS c
			JOIN pinterest_capi._destination_state AS n ON n.dest = c.dest
		-- what another gate has stopped never came to its identifiers
		WHERE c.status NOT IN ('suppressed', 'rejected') OR c.status = 'suppressed' AND c.reason = 'no identifier'
		GROUP BY 1, 2, 3
		HAVING sum(c.events) > 0
	), shares AS (
		SELECT c.event_name, c.destination, c.day, c.events::bigint AS events, round(c.em / c.events, 4) AS em,
			round(c.ph / c.events, 4) AS ph, round(c.click_id / c.events, 4) AS click_id,
			round(c.external_id / c.events, 4) AS external_id, round(c.hashed_maids / c.events, 4) AS hashed_maids,
			round(c.ip / c.events, 4) AS ip, round(c.user_agent / c.events, 4) AS user_agent,
			round(c.matchable / c.events, 4) AS matchable, coalesce(c.no_identifier, 0)::bigint AS no_identifier
		FROM counted AS c
	)
	SELECT s.event_name, s.destination, s.day, s.events, s.em, s.ph, s.click_id, s.external_id, s.hashed_maids, s.ip, s.user_agent,
		s.matchable, s.no_identifier, m.missing, pinterest_capi._identifier_advice(m.missing) AS advice
	FROM shares AS s
		CROSS JOIN LATERAL (SELECT pinterest_capi._missing_identifier(s.em, s.ph, s.click_id, s.external_id, s.hashed_maids) AS missing OFFSET 0) AS m;
COMMENT ON VIEW pinterest_capi.event_quality IS
	'per event, destination and day (UTC) on which they were tracked: events, and the share of them (0 to 1) that carries each identifier; of all that passed the other gates, with those that were stopped for want of an identifier';
COMMENT ON COLUMN pinterest_capi.event_quality.matchable IS
	'the share that carries what Pinterest asks for: an e-mail address, a mobile advertising id, or IP address with user agent';
COMMENT ON COLUMN pinterest_capi.event_quality.no_identifier IS
	'how many of the events were suppressed as "no identifier"';
COMMENT ON COLUMN pinterest_capi.event_quality.missing IS
	'the identifier that is missing most, and worth to be added';
COMMENT ON COLUMN pinterest_capi.event_quality.advice IS
	'how that identifier is added';

-- In the order of the list, the first that fits.
CREATE FUNCTION pinterest_capi._warning_advice(warning text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT a.advice
	FROM (VALUES
		(1, 'value: missing, the destination''s default of %', 'Map the order''s total and its currency: ''value=COLUMN'', ''currency=COLUMN''. Until then Pinterest reports the default as if it had been spent.'),
		(2, 'value: %', 'Give the value as a number, such as 12.50, without a currency sign.'),
		(3, 'currency: %', 'Give three letters of ISO 4217, such as ''currency:=EUR''.'),
		(4, 'user_data: IP address and user agent are left out%', 'If they may leave: UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true;'),
		(5, '%: not listed for this event, left out', 'If it may leave: SELECT pinterest_capi.allow_event(''EVENT'', properties => ''{PROPERTY}''); else take it out of the call or the mapping.'),
		(6, '%fields not listed for this event left out', 'If they may leave: SELECT pinterest_capi.allow_event(''EVENT'', properties => ''{PROPERTY}''); else take them out of the call or the mapping.'),
		(7, '%unknown key%', 'A key is misspelled, or none of Pinterest''s: docs/reference.md lists them; SELECT * FROM pinterest_capi.preview(...) shows what is left.'),
		(8, '%looks like %', 'It would have carried personal data to Pinterest in the clear. Take it out of what is tracked there.'),
		(9, '%its path looks like personal data%', 'It would have carried personal data to Pinterest in the clear. Keep such data out of the addresses of pages.'),
		(10, 'em: domain looks misspelled', 'Ask the customer, or correct it where it was entered: such domains receive no mail.'),
		(11, '%read in two ways%', 'Check the number and the country beside it.'),
		(12, '%not a phone number%', 'Store phone numbers with their country code, or say where they are from: ''country=COLUMN'', or default_country of the destination.'),
		(13, '%country code seems to be missing%', 'Store phone numbers with their country code, or say where they are from: ''country=COLUMN'', or default_country of the destination.'),
		(14, '%not an e-mail address%', 'Have the form check the address, and map the column that holds it.'),
		(15, 'event_time: %', 'Check the clock and the time zone of whoever gives the time.'),
		(16, 'event_id: %', 'Give a short id without personal data, the same one as the browser''s tag.'),
		(17, 'consent: %', 'Mend the rule''s predicate in pinterest_capi.consent_rule: what it can''t decide is stopped.'),
		(18, '%URL%', 'Give the whole address of the page, with https://.'),
		(19, '%not a date%', 'Give dates as YYYY-MM-DD.'),
		(20, '%too many%', 'Give fewer: docs/reference.md has the limits.'),
		(21, '%too large%', 'Give less: docs/reference.md has the limits.'),
		(22, '%too long%', 'Give less: docs/reference.md has the limits.'),
		(23, 'outcome of an earlier attempt unknown', 'Nothing: the event was sent again under the same event_id, and Pinterest merges the two.'),
		(24, '%: not %', 'Map another column, or convert it: what can''t be used was left out of the event.'),
		(25, '%left out%', 'It was left out of the event: correct what is given there.'))
		AS a (place, pattern, advice)
	WHERE warning LIKE a.pattern
	ORDER BY a.place LIMIT 1;
END;
COMMENT ON FUNCTION pinterest_capi._warning_advice(text) IS
	'internal: what to do about a warning; NULL where only Pinterest''s documentation can tell';
