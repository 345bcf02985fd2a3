-- Values as people's tables hold them, in events.
CREATE EXTENSION pinterest_capi;
\pset null (null)
INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
SELECT pinterest_capi.allow_event('E', 'Lead');
CREATE FUNCTION pg_temp.told(user_data jsonb, OUT kinds text, OUT warnings text[]) AS $$
	SELECT (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(payload -> 'user_data') AS k WHERE k <> 'external_id'),
		array_remove(p.warnings, 'user_data: Pinterest asks for em, hashed_maids, or client IP address and user agent')
	FROM pinterest_capi.preview('E', user_data => user_data || '{"external_id": "1"}') AS p
$$ LANGUAGE sql;
-- born in the future; the day is everywhere the one where it is latest
SELECT v.day, t.* FROM (VALUES (0), (3)) AS v (day), pg_temp.told(jsonb_build_object('date_of_birth', to_char(current_date + v.day, 'YYYY-MM-DD'))) AS t;
SELECT pinterest_capi.identify('v', jsonb_build_object('date_of_birth', to_char(current_date + 3, 'YYYY-MM-DD')));
-- digests that are no SHA-256 in hex
SELECT * FROM pg_temp.told(jsonb_build_object('email', md5('jane@example.com'), 'phone', encode(sha512('x'), 'hex'), 'first_name', encode(sha256('x'), 'base64'),
	'hashed_maids', md5('x'), 'last_name', encode(sha256('x'), 'hex')));
-- a domain that is hardly meant is sent as it is
SELECT * FROM pg_temp.told('{"email": ["Jane <jane@GMIAL.com>", "mailto:jane@example.com"]}');
SELECT * FROM pg_temp.told('{"country": "UK", "state": "California", "phone": "+1-800-555-CALL"}');
SELECT * FROM pg_temp.told('{"country": "XX"}');
SELECT * FROM pg_temp.told('{"country": "United States", "state": "California"}');
-- lines that take something back don't count
SELECT payload -> 'custom_data' AS custom_data, warnings[1]
FROM (VALUES ('[{"id": "a", "quantity": 2}, {"id": "b", "quantity": -1}]'), ('[{"id": "a", "quantity": "-2.0"}]'), ('{"id": "a", "quantity": -1}'),
		('[{"id": "a", "quantity": 0}, {"id": "b", "quantity": -0}]')) AS v (contents),
	pinterest_capi.preview('E', jsonb_build_object('contents', contents::jsonb), '{"em": "a@example.com"}');
-- eight digits are a day, in text and as a number; any others are seconds
CREATE TABLE sale (id text, at text, num bigint);
CREATE TRIGGER at AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.at IS NOT NULL)
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id', 'external_id=id', 'event_time=at');
CREATE TRIGGER num AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.num IS NOT NULL)
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id', 'external_id=id', 'event_time=num');
SET timezone = 'UTC';
INSERT INTO sale VALUES ('a', '20200131', NULL), ('b', NULL, 20200131), ('c', '20200231', NULL), ('d', '1580428800', NULL), ('e', NULL, 1580428800), ('f', '202001310', NULL);
SELECT event_id, status, reason, CASE WHEN status = 'expired' THEN event_time END AS event_time FROM pinterest_capi.dispatch_status ORDER BY event_id;
DROP TABLE sale;
DROP EXTENSION pinterest_capi;
