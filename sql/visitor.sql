-- identify, capture_click, forget: what is kept of visitors, and what no longer.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.pause_destination();
SELECT pinterest_capi.allow_event('Newsletter');
CREATE FUNCTION sent(visitor text, user_data jsonb DEFAULT '{}', consent jsonb DEFAULT NULL, OUT status text, OUT reason text, OUT user_data jsonb) LANGUAGE sql AS $$
	SELECT status, reason, payload -> 'user_data' FROM pinterest_capi.preview('Newsletter', '{}', user_data, visitor, consent => consent);
$$;
CREATE FUNCTION h(value text) RETURNS text LANGUAGE sql AS $$ SELECT encode(sha256(convert_to(value, 'UTF8')), 'hex') $$;

-- nothing known
SELECT * FROM sent('v1');
SELECT pinterest_capi.identify('v1', '{"email": "Ann@Example.com", "first_name": "Ann", "epik": "click-1"}');
SELECT status, user_data = jsonb_build_object('em', jsonb_build_array(h('ann@example.com')), 'fn', jsonb_build_array(h('ann')), 'click_id', 'click-1') AS filled FROM sent('v1');
-- the event's own goes first; null asks for nothing
SELECT user_data -> 'em' = jsonb_build_array(h('bob@example.com')) AS own, user_data ? 'fn' AS fn FROM sent('v1', '{"em": "bob@example.com", "fn": null}');
-- what is absent stays, null clears, what is there replaces
SELECT pinterest_capi.identify('v1', '{"ph": "+12125551234"}');
SELECT pinterest_capi.identify('v1', '{"first_name": null, "click_id": null}');
SELECT pinterest_capi.identify('v1', '{"email": ["c@example.com", "d@example.com"]}');
SELECT user_data = jsonb_build_object('em', jsonb_build_array(h('c@example.com'), h('d@example.com')), 'ph', jsonb_build_array(h('12125551234'))) AS as_expected FROM sent('v1');
SELECT count(*) AS rows, bool_and(visitor = sha256('v1')) AS hashed, bool_and(user_data::text !~ 'example') AS no_address FROM pinterest_capi._visitor;
-- values that can't be used are told of, and the rest is kept
SELECT pinterest_capi.identify('v2', '{"email": "nonsense", "external_id": 7, "colour": "red"}');
SELECT user_data = jsonb_build_object('external_id', jsonb_build_array(h('7'))) AS kept FROM sent('v2');
-- address and browser only where a destination sends them
SELECT pinterest_capi.identify('v3', '{"ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}');
SELECT user_data FROM pinterest_capi._visitor WHERE visitor = sha256('v3');
UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true;
SELECT pinterest_capi.identify('v3', '{"ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}');
SELECT * FROM sent('v3');

-- what no destination sends any more is not kept either
UPDATE pinterest_capi.destination SET send_client_ip = false, send_user_agent = false;
SELECT pinterest_capi.identify('v3', '{"external_id": "three"}');
SELECT user_data = jsonb_build_object('external_id', jsonb_build_array(h('three'))) AS nothing_else FROM pinterest_capi._visitor WHERE visitor = sha256('v3');

-- consent is remembered, and given with the event stands over it
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('marketing', 'require', '$.consent.marketing == true');
SELECT status, reason FROM sent('v2');
SELECT pinterest_capi.identify('v2', consent => '{"marketing": true, "other": 1}');
SELECT status, reason FROM sent('v2');
SELECT status, reason FROM sent('v2', consent => '{"marketing": false}');
SELECT status, reason FROM sent('v2', consent => '{"other": 2}');
SELECT consent FROM pinterest_capi._visitor WHERE visitor = sha256('v2');
DELETE FROM pinterest_capi.consent_rule;

-- clicks: the URL's before the cookie's; '+' stays; the newest wins
SELECT pinterest_capi.capture_click('v4', 'https://shop.example/?utm=x&epik=dj0y%2BA%3D+b', '_epik=fromcookie');
SELECT pinterest_capi.capture_click('v5', 'https://shop.example/?utm=x', 'a=b; _epik=fromcookie; c=d');
SELECT pinterest_capi.capture_click('v5', NULL, 'bare-value');
SELECT pinterest_capi.capture_click('v5', NULL, 'a=b; c=d');
SELECT pinterest_capi.capture_click('v6');
SELECT pinterest_capi.capture_click('v6', 'not a url', repeat('x', 65536));
SELECT user_data ->> 'click_id' AS click_id FROM unnest(ARRAY['v4', 'v5', 'v6']) AS v, sent(v);
SELECT count(*) FROM pinterest_capi._visitor WHERE visitor = sha256('v6');

-- calls that can't be meant
SELECT pinterest_capi.identify(NULL);
SELECT pinterest_capi.identify('');
SELECT pinterest_capi.identify('v', '[]');
SELECT pinterest_capi.identify('v', '{}', '1');
SELECT pinterest_capi.capture_click(NULL, 'https://shop.example/?epik=1');
SELECT pinterest_capi.forget();
SELECT pinterest_capi.forget('');
SELECT pinterest_capi.forget(user_data => '{"fn": "Ann"}');
SELECT pinterest_capi.forget(user_data => '"ann"');
BEGIN READ ONLY;
SELECT pinterest_capi.identify('v', '{"em": "a@example.com"}');
ROLLBACK;
BEGIN READ ONLY;
SELECT pinterest_capi.forget('v');
ROLLBACK;

-- forget by visitor: his row, his events, waiting or final, and whatever has his address
SELECT pinterest_capi.track('Newsletter', visitor_id => 'v1', event_id => 'f-1');
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "C@example.com"}', event_id => 'f-2');
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "someone@example.com"}', event_id => 'f-3');
SELECT pinterest_capi.cancel('f-2');
SELECT pinterest_capi.forget('v1');
SELECT event_id, status, reason, payload IS NULL AS emptied FROM pinterest_capi.dispatch_status WHERE event_id LIKE 'f-%' ORDER BY event_id;
SELECT count(*) FROM pinterest_capi._visitor WHERE visitor = sha256('v1');
SELECT count(*) FROM pinterest_capi._event WHERE visitor = sha256('v1');
-- later events of that person are suppressed, whichever way he is known
SELECT status, reason FROM sent('v1', '{"em": "new@example.com"}');
SELECT status, reason FROM sent(NULL, '{"em": "D@example.com"}');
SELECT status, reason FROM sent('v9', '{"ph": "+1 212 555 1234"}');
SELECT status, reason FROM sent('v9', '{"em": "someone@example.com"}');
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "D@example.com"}', event_id => 'f-4');
SELECT status, reason, payload FROM pinterest_capi.dispatch_status WHERE event_id = 'f-4';
-- a later identify stores nothing
SELECT pinterest_capi.identify('v1', '{"em": "again@example.com"}');
SELECT pinterest_capi.identify('v9', '{"em": "c@example.com"}');
SELECT pinterest_capi.capture_click('v1', 'https://shop.example/?epik=again');
SELECT count(*) FROM pinterest_capi._visitor WHERE visitor IN (sha256('v1'), sha256('v9'));
-- by an identifier: the visitors who have it go too
SELECT pinterest_capi.identify('v10', '{"external_id": "customer-10", "em": "ten@example.com"}');
SELECT pinterest_capi.forget(user_data => '{"external_id": "customer-10"}');
SELECT status, reason FROM sent('v10', '{"em": "other@example.com"}');
SELECT status, reason FROM sent(NULL, '{"em": "ten@example.com"}');
-- by a click id
SELECT pinterest_capi.forget(user_data => '{"click_id": "bare-value"}');
SELECT status, reason FROM sent('v5', '{"em": "five@example.com"}');
-- nobody known
SELECT pinterest_capi.forget('v-unknown');

-- an identifier means what it is: others who have the same text elsewhere stay
SELECT pinterest_capi.allow_event('Newsletter', properties => '{*}');
SELECT pinterest_capi.identify('other', '{"em": "other@example.com", "zip": "94103", "first_name": "Ann"}');
SELECT pinterest_capi.identify('94103', '{"em": "number@example.com"}');
SELECT pinterest_capi.track('Newsletter', '{"partner_name": "agency", "order_id": "A-1"}', '{"em": "other@example.com", "zip": "94103"}', event_id => 'o-1');
SELECT pinterest_capi.forget(user_data => '{"external_id": "94103"}');
SELECT pinterest_capi.forget(user_data => '{"external_id": "ann"}');
SELECT pinterest_capi.forget(user_data => jsonb_build_object('partner_id', p)), p FROM unnest(ARRAY['agency', 'A-1', 'web', 'em', 'user_data']) AS p;
SELECT pinterest_capi.forget(user_data => jsonb_build_object('click_id', p)), p FROM unnest(ARRAY['agency', 'A-1', 'web', 'em', 'user_data']) AS p;
SELECT pinterest_capi.forget('customer-11');
SELECT status, payload IS NULL AS emptied FROM pinterest_capi.dispatch_status WHERE event_id = 'o-1';
SELECT count(*) FROM pinterest_capi._visitor WHERE visitor IN (sha256('other'), sha256('94103'));
SELECT status, reason FROM sent('other', '{}');
SELECT status, reason FROM sent(NULL, '{"external_id": "customer-11"}');
-- whatever it is written with
SELECT pinterest_capi.identify('v11', '{"partner_id": "p\"\\11"}');
SELECT pinterest_capi.track('Newsletter', user_data => '{"partner_id": "p\"\\11"}', event_id => 'p-11');
SELECT pinterest_capi.forget(user_data => '{"partner_id": "p\"\\11"}');
SELECT status, reason, payload IS NULL AS emptied FROM pinterest_capi.dispatch_status WHERE event_id = 'p-11';
-- all that is stored of a visitor counts as his: clicks and partners' ids too
SELECT pinterest_capi.identify('v12', '{"epik": "click-12", "partner_id": "part-12"}');
SELECT pinterest_capi.track('Newsletter', user_data => '{"epik": "click-12"}', event_id => 'p-12');
SELECT pinterest_capi.forget('v12');
SELECT status, reason, payload IS NULL AS emptied FROM pinterest_capi.dispatch_status WHERE event_id = 'p-12';
SELECT u, status, reason FROM unnest(ARRAY['{"epik": "click-12"}', '{"partner_id": "part-12"}']::jsonb[]) AS u, sent('v-new', u);
-- and whoever has one of his identifiers: the same person's other browser
SELECT pinterest_capi.identify('v13', '{"em": "thirteen@example.com"}');
SELECT pinterest_capi.identify('v13-phone', '{"em": "thirteen@example.com", "epik": "click-13"}');
SELECT pinterest_capi.forget('v13');
SELECT count(*) FROM pinterest_capi._visitor WHERE visitor IN (sha256('v13'), sha256('v13-phone'));
SELECT status, reason FROM sent('v13-phone', '{"em": "new@example.com"}');
-- hashes and nothing else are kept
SELECT bool_and(length(hash) = 32) AS hashes FROM pinterest_capi._suppression;

DROP FUNCTION sent, h;
DROP EXTENSION pinterest_capi;
