-- A phone number in national form is of the event's own country, its visitor's or the destination's default.
CREATE EXTENSION pinterest_capi;
\pset null (null)
INSERT INTO pinterest_capi.destination (destination, default_country) VALUES ('de', 'DE'), ('fr', 'fr'), ('none', NULL);
SELECT pinterest_capi.allow_event('E', 'Lead', destination) FROM pinterest_capi.destination ORDER BY destination;
CREATE FUNCTION pg_temp.which(payload jsonb) RETURNS text AS $$
	SELECT string_agg(coalesce((SELECT name FROM (VALUES ('+49 171 1234567'), ('+33 1 71 12 34 56'), ('+44 20 7946 0958'), ('171123456'), ('1711234567')) AS v (name)
		WHERE pinterest_capi.hash_identifier('ph', name) = h), '?'), ', ' ORDER BY n)
	FROM jsonb_array_elements_text(payload -> 'user_data' -> 'ph') WITH ORDINALITY AS e (h, n)
$$ LANGUAGE sql;
CREATE FUNCTION pg_temp.phones(user_data jsonb, visitor text DEFAULT NULL,
	OUT destination text, OUT status text, OUT phones text, OUT warnings text[]) RETURNS SETOF record AS $$
	SELECT p.destination, p.status, pg_temp.which(payload), array_remove(p.warnings, 'user_data: Pinterest asks for em, hashed_maids, or client IP address and user agent')
	FROM pinterest_capi.preview('E', user_data => user_data, visitor_id => visitor) AS p ORDER BY p.destination
$$ LANGUAGE sql;
-- the destination's
SELECT * FROM pg_temp.phones('{"phone": "0171 1234567"}');
SELECT * FROM pg_temp.phones('{"phone": "01 71 12 34 56", "external_id": "7"}');
-- the event's own, however it is written
SELECT * FROM pg_temp.phones('{"phone": "020 7946 0958", "country": "United Kingdom"}');
SELECT * FROM pg_temp.phones('{"phone": ["0171 1234567", "+44 20 7946 0958", "0171-1234567"], "country": [null, "Narnia", "DEU"]}');
-- a number that says it itself
SELECT * FROM pg_temp.phones('{"phone": "+44 20 7946 0958", "country": "DE"}');
-- the visitor's, stored as a hash
SELECT pinterest_capi.identify('v1', '{"country": "Germany", "email": "a@example.com"}');
SELECT * FROM pg_temp.phones('{"phone": "0171 1234567"}', 'v1');
SELECT * FROM pg_temp.phones('{"phone": "01 71 12 34 56", "country": "FR"}', 'v1');
-- a number that can't be used makes room for the visitor's
SELECT pinterest_capi.identify('v1', '{"phone": "+44 20 7946 0958"}');
SELECT * FROM pg_temp.phones('{"phone": "12"}', 'v1');
-- track does what preview shows
SELECT pinterest_capi.track('E', user_data => '{"phone": "0171 1234567", "email": "b@example.com"}', event_id => 't1');
SELECT destination, pg_temp.which(payload), warnings FROM pinterest_capi.dispatch_status WHERE event_id = 't1' ORDER BY 1;
-- identify takes the country of the call, or the one on which all destinations agree
SELECT pinterest_capi.identify('v2', '{"phone": "0171 1234567", "country": "DE"}');
SELECT pinterest_capi.identify('v3', '{"phone": "0171 1234567"}');
SELECT destination, phones FROM pg_temp.phones('{"external_id": "1"}', 'v2');
SELECT destination, phones FROM pg_temp.phones('{"external_id": "1"}', 'v3');
UPDATE pinterest_capi.destination SET default_country = 'DE' WHERE destination = 'fr';
SELECT pinterest_capi.identify('v3', '{"phone": "0171 1234567"}');
SELECT destination, phones FROM pg_temp.phones('{"external_id": "1"}', 'v3');
-- who is forgotten by a number stays so in whichever form it comes
SELECT pinterest_capi.track('E', user_data => '{"phone": "0171 1234567"}', event_id => 't2');
SELECT pinterest_capi.forget(user_data => '{"phone": "+49 171 1234567"}');
SELECT destination, status, reason FROM pinterest_capi.preview('E', user_data => '{"phone": "0171 1234567"}') ORDER BY 1;
SELECT destination, status, reason FROM pinterest_capi.preview('E', user_data => '{"phone": "0171 1234567", "country": "DE"}') ORDER BY 1;
SELECT pinterest_capi.forget(user_data => '{"phone": "0171 1234567"}');
SELECT destination, payload IS NULL AS emptied FROM pinterest_capi.dispatch_status WHERE event_id = 't2' ORDER BY 1;
SELECT pinterest_capi.forget(user_data => '{"phone": "12"}');
-- two letters or nothing
UPDATE pinterest_capi.destination SET default_country = 'Germany';
UPDATE pinterest_capi.destination SET default_country = '';
DROP EXTENSION pinterest_capi;
