-- What nobody should send, and somebody will: a recorded reason or a clear error,
-- and the caller's transaction goes on.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.pause_destination();
SELECT pinterest_capi.allow_event('Lead', properties => '{*}');
CREATE FUNCTION sent(properties jsonb, user_data jsonb DEFAULT '{"em": "a@example.com"}', OUT status text, OUT reason text, OUT warnings text[], OUT payload jsonb) LANGUAGE sql AS $$
	SELECT status, reason, warnings, payload - 'event_id' - 'event_time' - 'event_name' - 'action_source'
	FROM pinterest_capi.preview('Lead', properties, user_data) $$;
CREATE FUNCTION nested(levels integer, inside text DEFAULT '1') RETURNS jsonb LANGUAGE sql AS $$ SELECT (repeat('[', levels) || inside || repeat(']', levels))::jsonb $$;

-- rules: one that doesn't parse is refused when it is stored
\set VERBOSITY sqlstate
INSERT INTO pinterest_capi.consent_rule VALUES ('broken', NULL, 'stop', '$.properties.value >');
INSERT INTO pinterest_capi.consent_rule VALUES ('broken', NULL, 'stop', '');
INSERT INTO pinterest_capi.consent_rule VALUES ('broken', NULL, 'perhaps', '$.a == 1');
INSERT INTO pinterest_capi.consent_rule VALUES ('', NULL, 'stop', '$.a == 1');
INSERT INTO pinterest_capi.consent_rule VALUES ('lost', 'nowhere', 'stop', '$.a == 1');
\set VERBOSITY default
-- one that errors when it is asked stops, of either kind, and the row says so
CREATE TABLE odd_rule (n serial, predicate jsonpath);
INSERT INTO odd_rule (predicate) VALUES ('$.properties.value / 0 == 1'), ('$.properties.value'), ('$.consent.missing'), ('strict $.consent.missing == true'),
	('$.properties.search_string > 5'), ('$.properties.search_string.datetime("nonsense") < "2020-01-01".datetime()'), ('$.properties.value == $limit'),
	('$.properties.value * 1e130000 * 1e130000 > 1'), ('$.properties.search_string.double() > 1'), ('$.properties.product_ids[10000000000] == 1'),
	('$.properties');
CREATE FUNCTION asked(list jsonb, OUT n integer, OUT action text, OUT status text, OUT reason text, OUT warnings text[]) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	FOR n, action IN SELECT r.n, a FROM odd_rule AS r, unnest('{require,stop}'::text[]) AS a ORDER BY 1, 2 LOOP
		TRUNCATE pinterest_capi.consent_rule;
		INSERT INTO pinterest_capi.consent_rule SELECT 'odd', NULL, asked.action, r.predicate FROM odd_rule AS r WHERE r.n = asked.n;
		PERFORM pinterest_capi.track('Lead', jsonb_build_object('value', 5, 'search_string', 'x', 'product_ids', list), '{"em": "a@example.com"}',
			event_id => format('rule-%s-%s', n, action));
		SELECT s.status, s.reason, s.warnings INTO asked.status, asked.reason, asked.warnings
			FROM pinterest_capi.dispatch_status AS s WHERE event_id = format('rule-%s-%s', n, action);
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM asked('[1]');
-- as deep as the server takes it at all: whether a rule then fails depends on the stack, but not the call
TRUNCATE odd_rule, pinterest_capi._event, pinterest_capi._retry, pinterest_capi._outcome;
INSERT INTO odd_rule (predicate) VALUES ('exists($.** ? (@ == "x"))'), ('$.** == "x"'), ('exists($.properties.product_ids.**{last})'), ('$.event == "Lead"');
CREATE FUNCTION deepest() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE levels integer := 20000;
BEGIN
	LOOP
		BEGIN
			PERFORM jsonb_build_array(nested(levels));
			RETURN levels;
		EXCEPTION WHEN statement_too_complex THEN
			levels := levels * 98 / 100;
		END;
	END LOOP;
END $$;
SELECT deepest() > 500 AS deep, count(*), count(*) FILTER (WHERE status IN ('queued', 'suppressed')) AS answered FROM asked(nested(deepest()));
TRUNCATE pinterest_capi.consent_rule;

-- a visitor id of 10 kB
BEGIN;
SELECT pinterest_capi.identify(repeat('v', 10240), '{"external_id": "ten kilobytes"}');
SELECT pinterest_capi.capture_click(repeat('v', 10240), 'https://shop.example/?epik=ten');
SELECT pinterest_capi.track('Lead', visitor_id => repeat('v', 10240), event_id => 'visitor-10k');
SELECT status, payload #>> '{user_data,click_id}' AS click_id, payload #>> '{user_data,external_id,0}' = encode(sha256('ten kilobytes'), 'hex') AS known
	FROM pinterest_capi.dispatch_status WHERE event_id = 'visitor-10k';
SELECT DISTINCT length(substr(visitor, 1, 32)) FROM pinterest_capi._visitor;
SELECT pinterest_capi.forget(repeat('v', 10240));
COMMIT;

-- a cookie of 64 kB, a header of 64 kB
SELECT pinterest_capi.capture_click('c', cookie => repeat('c', 65536));
SELECT pinterest_capi.capture_click('c', cookie => '_epik=' || repeat('c', 65536));
SELECT pinterest_capi.capture_click('c', cookie => 'Cookie: ' || repeat('name=value; ', 6000) || '_epik=at-the-end');
SELECT pinterest_capi.capture_click('c', cookie => repeat(';', 65536));
SELECT pinterest_capi.capture_click('c', cookie => repeat('=', 65536));
SELECT pinterest_capi.capture_click('c', cookie => E'a=b;\r\n _epik=line');
SELECT pinterest_capi.capture_click('c', cookie => '_epik=jane%40example.com');

-- a URL that isn't one
SELECT u, s.status, s.warnings, s.payload -> 'event_source_url' AS url
	FROM unnest(ARRAY['', ' ', 'shop', 'http://', '://', 'javascript:alert(1)', 'mailto:jane@example.com', 'ftp://shop.example/x',
		'https://shop.example:99999/', 'https://[::1', 'https://shop .example/', E'https://shop.example/\n', E'https://shop.example/a\tb', 'https://shop.example/%00',
		'https://shop.example/a b', '//shop.example/x', 'https://shop.example\evil/']) AS u, sent(jsonb_build_object('page_url', u)) AS s;
SELECT j, s.status, s.warnings, s.payload -> 'event_source_url' AS url
	FROM unnest('{1,true,"[\"https://shop.example/\"]","{\"url\": 1}"}'::jsonb[]) AS j, sent(jsonb_build_object('page_url', j, 'referrer', j)) AS s;
SELECT status, warnings, length(payload ->> 'event_source_url') FROM sent(jsonb_build_object('page_url', 'https://shop.example/' || repeat('p', 1000000)));
SELECT pinterest_capi.capture_click('u', 'https://shop.example/?' || repeat('a=b&', 100000) || 'epik=far');
SELECT pinterest_capi.capture_click('u', 'https://shop.example/?epik=a%00b'), pinterest_capi.capture_click('u', 'no url');

-- NUL: as an escape it is no jsonb, says the server; as six characters it is text
\set VERBOSITY sqlstate
SELECT pinterest_capi.track('Lead', '{"search_string": "a\u0000b"}');
SELECT pinterest_capi.track('Lead', user_data => '{"em": "\u0000@example.com"}');
SELECT pinterest_capi.identify('n', '{"em": "\ud800@example.com"}');
\set VERBOSITY default
SELECT * FROM sent('{"search_string": "a\\u0000b", "order_id": "\\u0000"}', '{"external_id": "\\u0000"}') AS s (status, reason, warnings, payload);
-- out of a column of type json it is a warning
CREATE TABLE cart (id integer, details json, who json);
CREATE TRIGGER t AFTER INSERT ON cart FOR EACH ROW EXECUTE FUNCTION
	pinterest_capi.track_trigger('Lead', 'contents=details', 'external_id=who', 'event_id=id', 'em:=a@example.com');
INSERT INTO cart VALUES (1, '[{"id": "a\u0000b"}]', '"\u0000"'), (2, '[{"id": "\ud800"}]', '7'), (3, (repeat('[', deepest()) || repeat(']', deepest()))::json, '{}');
SELECT event_id, status, warnings, payload -> 'custom_data' AS custom_data FROM pinterest_capi.dispatch_status WHERE event_id IN ('1', '2', '3') ORDER BY 1;

-- an expression that fails over something else than data
\set VERBOSITY terse
CREATE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
CREATE TABLE failing (id integer);
CREATE TRIGGER t AFTER INSERT ON failing FOR EACH ROW EXECUTE FUNCTION
	pinterest_capi.track_trigger('Lead', 'order_id=(SELECT fail())', 'event_id=id', 'em:=a@example.com');
INSERT INTO failing VALUES (1);
\set VERBOSITY default
SELECT count(*) FROM failing;
SELECT event_id, status, reason FROM pinterest_capi.dispatch_status WHERE reason ~ '^mapping';
-- what is the statement's ends it, and no more
CREATE OR REPLACE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE serialization_failure; END $$;
ROLLBACK;
BEGIN;
DO $$ BEGIN
	INSERT INTO cart VALUES (10, '[]', '1');
	BEGIN
		INSERT INTO failing VALUES (2);
	EXCEPTION WHEN serialization_failure THEN
		RAISE INFO 'caught: %', SQLERRM;
	END;
	INSERT INTO cart VALUES (11, '[]', '1');
END $$;
COMMIT;
SELECT id FROM cart WHERE id >= 10 ORDER BY 1;
SELECT count(*) FROM failing;

-- nested too deep for anything, numbers of any size, arrays without end
SELECT status, warnings, payload - 'user_data' AS payload FROM sent(jsonb_build_object('search_string', nested(1000), 'contents', nested(1000), 'content_ids', nested(1000),
	'device_info', nested(1000), 'value', nested(1000), 'page_url', nested(1000), 'opt_out', nested(1000)),
	jsonb_build_object('em', nested(1000, '"a@example.com"'), 'ip', nested(1000), 'external_id', 1));
SELECT status, warnings, payload - 'user_data' AS payload FROM sent(('{"value": 1e130000, "predicted_ltv": ' || repeat('9', 100000) || ', "num_items": -1e-16000, "quantity": 9223372036854775808,
	"device_info": {"battery_level": 1e100, "screen_width": 0.5}, "order_id": 1e20, "search_string": 1e200}')::jsonb);
SELECT status, warnings, jsonb_array_length(payload #> '{user_data,em}') AS em, jsonb_array_length(payload #> '{custom_data,content_ids}') AS ids
	FROM sent(jsonb_build_object('content_ids', (SELECT jsonb_agg(n) FROM generate_series(1, 20000) AS n), 'contents', (SELECT jsonb_agg('{"id": "x"}'::jsonb) FROM generate_series(1, 20000))),
		jsonb_build_object('em', (SELECT jsonb_agg(n || '@example.com') FROM generate_series(1, 20000) AS n)));
SELECT status, cardinality(warnings) AS warnings, warnings[32] AS last FROM sent((SELECT jsonb_object_agg(p.property, '{}'::jsonb) FROM pinterest_capi._fields() AS p WHERE p.property !~ '[.]'),
	(SELECT jsonb_object_agg(k, '[{}, true]'::jsonb) FROM unnest('{em,ph,ge,db,ln,fn,ct,st,zp,country,hashed_maids,click_id,partner_id,email,phone}'::text[]) AS k) || '{"external_id": 1}');
-- a name of a megabyte, an id of a megabyte
SELECT length(pinterest_capi.track(repeat('e', 1000000), event_id => repeat('i', 1000000)));
-- an id that is somebody's address is not stored as it is, and found under both names
SELECT pinterest_capi.track('Lead', user_data => '{"external_id": 1}', event_id => 'order-jane@example.com') = encode(sha256('order-jane@example.com'), 'hex') AS hashed;
SELECT warnings FROM pinterest_capi.dispatch_status WHERE event_id = encode(sha256('order-jane@example.com'), 'hex');
SELECT pinterest_capi.cancel('order-jane@example.com');
-- a click id that is one is left out, and the row says so
SELECT status, warnings, payload -> 'user_data' ? 'click_id' AS click_id FROM sent('{"page_url": "https://shop.example/?epik=jane%40example.com"}');
-- all that in one transaction, which goes on
BEGIN;
SELECT pinterest_capi.track('Lead', '{"value": "x"}', '{"em": "x"}', event_id => 'last-1') FROM generate_series(1, 2);
SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = 'last-1';
COMMIT;

DROP TABLE cart, failing, odd_rule;
DROP FUNCTION asked, sent, deepest, nested, fail;
DROP EXTENSION pinterest_capi;
