-- track and preview: gates, refusals, what a row says afterwards.
-- The destinations have no credentials, so nothing leaves: events wait.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
\set VERBOSITY default
\set ON_ERROR_STOP off

-- the rows of one event_id, or of an event's name, without what changes from run to run
CREATE VIEW seen AS
	SELECT event_id, event_name, sent_as, destination, status,
		CASE WHEN status <> 'queued' THEN reason END AS reason, warnings,
		payload - 'event_time' - 'event_id' - 'user_data' AS payload
	FROM pinterest_capi.dispatch_status;

-- before any destination exists
SELECT pinterest_capi.track('Order Placed', event_id => 'none-1');
SELECT * FROM seen WHERE event_id = 'none-1';

INSERT INTO pinterest_capi.destination (destination) VALUES ('default'), ('second');
SELECT pinterest_capi.track('Order Placed', event_id => 'none-2');
SELECT * FROM seen WHERE event_id = 'none-2';
INSERT INTO pinterest_capi.allowed_event (event_name, send_as) VALUES
	('Order Placed', 'Checkout'), ('checkout', NULL), ('Newsletter', NULL), ('AddToCart', NULL);
INSERT INTO pinterest_capi.allowed_event (event_name, destination, send_as) VALUES
	('Order Placed', 'second', 'custom');

-- one row for each destination; the name as the administrator wrote it
SELECT pinterest_capi.track('ORDER placed', '{"value": 72.39, "currency": "eur", "order_id": 1001}',
	'{"email": " Shopper@Example.com "}', event_id => 'ok-1');
SELECT * FROM seen WHERE event_id = 'ok-1' ORDER BY destination;
SELECT payload #> '{user_data,em}' = jsonb_build_array(encode(sha256('shopper@example.com'), 'hex')) AS hashed,
	(payload ->> 'event_time')::bigint = floor(extract(epoch FROM event_time)) AS whole_seconds,
	payload ->> 'event_id' AS event_id
	FROM pinterest_capi.dispatch_status WHERE event_id = 'ok-1' AND destination = 'default';
-- fixed order of fields, and nothing else in it
SELECT regexp_replace(payload, '"event_time":[0-9]+', '"event_time":0') FROM pinterest_capi._event
	WHERE event_id = 'ok-1' AND sent_as = 'checkout';
-- the same again: no second row
SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "EUR"}', '{"email": "other@example.com"}', event_id => 'ok-1');
SELECT count(*) FROM seen WHERE event_id = 'ok-1';
-- only the destination that was named
SELECT pinterest_capi.track('Order Placed', '{"value": 5, "currency": "EUR"}', '{"em": "a@example.com"}',
	event_id => 'ok-2', destination => 'second');
SELECT * FROM seen WHERE event_id = 'ok-2';
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}', event_id => 'ok-3', destination => 'second');
SELECT * FROM seen WHERE event_id = 'ok-3';
-- a name nobody allowed is clipped
SELECT pinterest_capi.track(repeat('x', 1000), user_data => '{"em": "a@example.com"}', event_id => 'x-1');
SELECT length(event_name), status, reason, destination FROM seen WHERE event_name LIKE 'xxx%';

-- a generated id: version 7, different each time
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}')
	~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS version_7;
SELECT count(DISTINCT pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}')) FROM generate_series(1, 50);
-- a very long one
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}', event_id => repeat('i', 201))
	= encode(sha256(repeat('i', 201)::bytea), 'hex') AS hashed;
SELECT warnings FROM seen WHERE event_id = encode(sha256(repeat('i', 201)::bytea), 'hex');
SELECT length(pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}', event_id => repeat('i', 200)));

-- Checkout: value and currency
CREATE FUNCTION checkout(eid text, properties jsonb) RETURNS SETOF seen LANGUAGE sql AS $$
	SELECT pinterest_capi.track('Order Placed', properties, '{"em": "a@example.com"}', event_id => eid, destination => 'default');
	SELECT * FROM seen WHERE event_id = eid;
$$;
\x on
SELECT * FROM checkout('c-none', '{}');
SELECT * FROM checkout('c-null', '{"value": null, "currency": "EUR"}');
SELECT * FROM checkout('c-zero', '{"value": 0, "currency": "EUR"}');
SELECT * FROM checkout('c-text', '{"value": "72.390", "currency": "EUR"}');
SELECT * FROM checkout('c-exponent', '{"value": "1.5e2", "currency": "EUR"}');
SELECT * FROM checkout('c-small', '{"value": 1e-7, "currency": "EUR"}');
SELECT * FROM checkout('c-point', '{"value": " +007.5 ", "currency": " eur "}');
\x off
SELECT v, (checkout('bad-' || v, jsonb_build_object('value', v, 'currency', 'EUR'))).*
	FROM unnest(ARRAY['NaN', 'Infinity', '-Infinity', '-1', '12,50', 'free', '', '0x10', '1e', '1e999', '.', '1.2.3', repeat('9', 50)]) AS v;
SELECT (checkout('bad-json-' || n, v)).reason FROM unnest(ARRAY['{"value": -0.01, "currency": "EUR"}',
	'{"value": [1], "currency": "EUR"}', '{"value": true, "currency": "EUR"}', '{"value": 1}', '{"value": 1, "currency": null}',
	'{"value": 1, "currency": "EURO"}', '{"value": 1, "currency": 978}', '{"value": 1, "currency": "E1R"}']::jsonb[]) WITH ORDINALITY AS t (v, n);
SELECT count(*) FROM seen WHERE status = 'rejected' AND payload IS NOT NULL;
UPDATE pinterest_capi.destination SET default_checkout_value = 12.50, default_checkout_currency = 'CHF';
SELECT warnings, payload FROM checkout('c-own-default', '{"currency": "EUR"}');
UPDATE pinterest_capi.destination SET default_checkout_value = NULL;
SELECT status, reason FROM checkout('c-no-default', '{"currency": "EUR"}');
UPDATE pinterest_capi.destination SET default_checkout_value = 100, default_checkout_currency = 'USD';
-- elsewhere a bad value is left out
SELECT pinterest_capi.track('AddToCart', '{"value": "free", "currency": "EURO", "product_id": "sku-1"}', '{"em": "a@example.com"}', event_id => 'cart-1');
SELECT sent_as, status, warnings, payload FROM seen WHERE event_id = 'cart-1';

-- the event's time
CREATE FUNCTION at_time(eid text, t timestamptz) RETURNS SETOF seen LANGUAGE sql AS $$
	SELECT pinterest_capi.track('Newsletter', '{}', '{"em": "a@example.com"}', event_id => eid, event_time => t);
	SELECT * FROM seen WHERE event_id = eid;
$$;
SELECT status, reason, warnings FROM at_time('t-past', now() - interval '6 days');
SELECT status, reason, warnings, payload IS NOT NULL AS kept FROM at_time('t-old', now() - interval '10 days');
SELECT status, reason, warnings FROM at_time('t-clock', clock_timestamp() + interval '30 seconds');
SELECT event_time <= clock_timestamp() AS clamped FROM pinterest_capi.dispatch_status WHERE event_id = 't-clock';
SELECT status, reason, warnings FROM at_time('t-future', clock_timestamp() + interval '2 minutes');
SELECT status, reason, warnings FROM at_time('t-infinity', 'infinity');
SELECT status, reason, warnings FROM at_time('t-minus-infinity', '-infinity');
SELECT status, reason, warnings FROM at_time('t-year-4000', '4000-01-01 UTC');
SELECT status, reason, warnings FROM at_time('t-bc', '4000-01-01 BC');

-- identifiers: values that are none
CREATE FUNCTION who(eid text, user_data jsonb) RETURNS TABLE (status text, reason text, warnings text[], user_data jsonb) LANGUAGE sql AS $$
	SELECT pinterest_capi.track('Newsletter', '{}', user_data, event_id => eid);
	SELECT status, CASE WHEN status <> 'queued' THEN reason END, warnings, payload -> 'user_data' FROM pinterest_capi.dispatch_status WHERE event_id = eid;
$$;
SELECT * FROM who('u-none', '{}');
SELECT * FROM who('u-null', '{"email": null}');
SELECT * FROM who('u-empty', '{"email": "", "phone": "  ", "external_id": []}');
SELECT * FROM who('u-bad-email', '{"email": "not an address"}');
SELECT * FROM who('u-names-only', '{"fn": "Ann", "ln": "Lee", "country": "US"}');
SELECT * FROM who('u-object', '{"email": {"a": 1}, "phone": true}');
SELECT * FROM who('u-unknown', '{"secret@example.com": 1, "x": {"email": "b@example.com"}}');
SELECT * FROM who('u-click', '{"epik": " dj0yJnU9 "}');
SELECT * FROM who('u-click-control', '{"click_id": "a\nb"}');
SELECT * FROM who('u-partner', '{"partner_id": "XY1234"}');
SELECT * FROM who('u-ip-off', '{"ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}');
-- aliases and arrays: one list, no duplicates, order kept; a hash passes; numbers as text
SELECT status, warnings, user_data = jsonb_build_object(
	'em', jsonb_build_array(encode(sha256('b@example.com'), 'hex'), encode(sha256('a@example.com'), 'hex')),
	'external_id', jsonb_build_array(encode(sha256('42'), 'hex')),
	'zp', jsonb_build_array(encode(sha256('10001'), 'hex'))) AS as_expected
	FROM who('u-many', jsonb_build_object('em', jsonb_build_array('B@example.com', NULL, 'a@example.com'),
		'email', upper(encode(sha256('a@example.com'), 'hex')), 'external_id', 42, 'zip', 10001));
SELECT status, warnings FROM who('u-partly', '{"email": ["a@example.com", "nonsense", 7, {"a": 1}]}');
SELECT status, warnings FROM who('u-long', jsonb_build_object('email', repeat('a', 1000000) || '@example.com', 'external_id', '1'));
-- IP and user agent where the destination sends them
UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true;
SELECT * FROM who('u-ip-on', '{"ip": " 203.0.113.9 ", "client_user_agent": "Mozilla/5.0"}');
SELECT * FROM who('u-ip6', '{"client_ip_address": "2001:db8::1", "user_agent": "Mozilla/5.0"}');
SELECT * FROM who('u-ip-alone', '{"ip": "203.0.113.9"}');
SELECT * FROM who('u-ip-zero', '{"ip": "0.0.0.0", "em": "a@example.com"}');
SELECT status, warnings FROM who('u-ip-none', '{"ip": "203.0.113.999", "em": "a@example.com"}');
SELECT status, warnings FROM who('u-ip-mask', '{"ip": "203.0.113.9/24", "em": "a@example.com"}');
SELECT status, warnings, length(user_data ->> 'client_user_agent') FROM who('u-ua-long',
	jsonb_build_object('user_agent', repeat('u', 5000), 'em', 'a@example.com'));
UPDATE pinterest_capi.destination SET send_client_ip = false, send_user_agent = false;

-- click ids out of URLs; the event's own comes first
CREATE FUNCTION click(eid text, properties jsonb, user_data jsonb DEFAULT '{}', visitor text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT pinterest_capi.track('Newsletter', properties, user_data, visitor, event_id => eid);
	SELECT payload #>> '{user_data,click_id}' FROM pinterest_capi.dispatch_status WHERE event_id = eid;
$$;
SELECT click('k-1', '{"page_url": "https://shop.example/?epik=one&x=1", "referrer": "https://shop.example/?epik=two"}', '{"epik": "own"}');
SELECT click('k-2', '{"page_url": "https://shop.example/?epik=one&x=1", "referrer": "https://shop.example/?epik=two"}');
SELECT click('k-3', '{"page_url": "https://shop.example/?x=1", "referrer": "https://shop.example/?epik=t%77o"}', visitor => 'v-1');
SELECT click('k-4', '{}', visitor => 'v-1');
SELECT click('k-5', '{"page_url": "https://shop.example/?epik=new"}', '{"click_id": null}', visitor => 'v-1');
SELECT click('k-6', '{}', visitor => 'v-1');
-- not for an event that no destination allows
SELECT pinterest_capi.track('Unheard Of', '{"page_url": "https://shop.example/?epik=lost"}', visitor_id => 'v-2', event_id => 'k-7');
SELECT count(*) FROM pinterest_capi._visitor WHERE click_id = 'lost';

-- URLs leave as far as the destination says
CREATE FUNCTION page(detail text, url text) RETURNS TABLE (event_source_url text, warnings text[]) LANGUAGE sql AS $$
	UPDATE pinterest_capi.destination SET page_url_detail = detail;
	SELECT payload ->> 'event_source_url', warnings
		FROM pinterest_capi.preview('Newsletter', jsonb_build_object('page_url', url), '{"em": "a@example.com"}');
$$;
SELECT * FROM page('path', 'https://ann:secret@shop.example:8443/cart/1?email=a@example.com#top');
SELECT * FROM page('domain', 'https://shop.example/cart/1?q=1');
SELECT * FROM page('none', 'https://shop.example/cart/1?q=1');
SELECT event_source_url FROM page('path', 'no url at all');
SELECT warnings IS NOT NULL AS warned FROM page('path', 'no url at all');

-- opting out
SELECT status, payload - 'event_time' - 'event_id' - 'user_data' AS payload, warnings FROM pinterest_capi.preview('Newsletter', '{"opt_out": true, "opt_out_type": "LDP"}', '{"em": "a@example.com"}');
SELECT payload -> 'opt_out' AS opt_out FROM pinterest_capi.preview('Newsletter', '{"opt_out": "no"}', '{"em": "a@example.com"}');
SELECT payload -> 'opt_out' AS opt_out, warnings FROM pinterest_capi.preview('Newsletter', '{"opt_out": "perhaps"}', '{"em": "a@example.com"}');
-- "o" is none, whatever stands behind it
SELECT payload -> 'opt_out' AS opt_out, warnings FROM pinterest_capi.preview('Newsletter', '{"opt_out": "o", "currency": "nok"}', '{"em": "a@example.com"}');
UPDATE pinterest_capi.destination SET opt_out_action = 'suppress';
SELECT status, reason, payload FROM pinterest_capi.preview('Newsletter', '{"opt_out": true}', '{"em": "a@example.com"}');
SELECT status, reason FROM pinterest_capi.preview('Newsletter', '{"opt_out": false}', '{"em": "a@example.com"}');
UPDATE pinterest_capi.destination SET opt_out_action = 'forward';

-- a megabyte of text
SELECT pinterest_capi.track('Newsletter', jsonb_build_object('order_id', repeat('o', 1000000), 'search_string', repeat('s', 1000000)),
	'{"em": "a@example.com"}', event_id => 'huge');
SELECT status, warnings, payload FROM seen WHERE event_id = 'huge';

-- calls that can't be meant
SELECT pinterest_capi.track(NULL);
SELECT pinterest_capi.track('');
SELECT pinterest_capi.track('Newsletter', '[]');
SELECT pinterest_capi.track('Newsletter', '"text"');
SELECT pinterest_capi.track('Newsletter', 'null');
SELECT pinterest_capi.track('Newsletter', '{}', '[{"email": "a@example.com"}]');
SELECT pinterest_capi.track('Newsletter', consent => 'true');
SELECT pinterest_capi.track('Newsletter', destination => 'nowhere');
SELECT pinterest_capi.track('Newsletter', action_source => 'phone');
SELECT * FROM pinterest_capi.preview(NULL);
SELECT * FROM pinterest_capi.preview('Newsletter', destination => 'nowhere');
\set VERBOSITY sqlstate
SELECT pinterest_capi.track(NULL);
SELECT pinterest_capi.track('Newsletter', action_source => 'phone');
\set VERBOSITY default
-- SQL NULL is absence
SELECT pinterest_capi.track('Newsletter', NULL, NULL, NULL, 'nulls', NULL, NULL, NULL, NULL);
SELECT status, reason FROM seen WHERE event_id = 'nulls';
BEGIN READ ONLY;
SELECT pinterest_capi.track('Newsletter');
ROLLBACK;

-- preview decides as track does, and writes nothing
SELECT count(*) AS before FROM pinterest_capi._event \gset
SELECT destination, status, reason, sent_as, payload - 'event_time' - 'event_id' - 'user_data' AS payload, warnings
	FROM pinterest_capi.preview('Order Placed', '{"value": 1}', '{"em": "a@example.com"}', 'v-9') ORDER BY destination;
SELECT * FROM pinterest_capi.preview('Unheard Of');
SELECT destination, status, reason FROM pinterest_capi.preview('Newsletter', destination => 'second');
SELECT payload -> 'user_data' AS user_data, warnings FROM pinterest_capi.preview('Newsletter', '{"page_url": "https://shop.example/?epik=peek"}', visitor_id => 'v-9');
SELECT count(*) - :before AS added FROM pinterest_capi._event;
SELECT count(*) AS visitors FROM pinterest_capi._visitor WHERE click_id = 'peek';

-- the caller's transaction decides
BEGIN;
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}', event_id => 'undone');
ROLLBACK;
SELECT count(*) FROM seen WHERE event_id = 'undone';

-- without rows for what was suppressed
ALTER SYSTEM SET pinterest_capi.log_suppressed = off;
SELECT pg_reload_conf();
\c
SET client_min_messages = warning;
SELECT pinterest_capi.track('Unheard Of', event_id => 'silent');
SELECT pinterest_capi.track('Newsletter', '{}', '{}', event_id => 'silent');
SELECT pinterest_capi.track('checkout', '{"value": -1}', '{"em": "a@example.com"}', event_id => 'silent');
SELECT event_name, status, reason FROM seen WHERE event_id = 'silent';
ALTER SYSTEM RESET pinterest_capi.log_suppressed;
SELECT pg_reload_conf();

-- no address in any row
SELECT count(*) FROM pinterest_capi._event AS e WHERE e::text ~* '@example';
DROP EXTENSION pinterest_capi CASCADE;
DROP FUNCTION IF EXISTS who, click, page;
