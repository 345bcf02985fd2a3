-- event_statistics counts what payloads hold, by what became of the events; who counts is in t/250_statistics_recount.pl
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2', 'with client');
UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true WHERE destination = 'with client';
SELECT pinterest_capi.allow_event('Checkout'), pinterest_capi.allow_event('Sign Up', 'SignUp'), pinterest_capi.allow_event('Checkout', destination => 'with client');

CREATE FUNCTION told(event text, properties jsonb, user_data jsonb, event_time timestamptz DEFAULT NULL, destination text DEFAULT 'default') RETURNS boolean LANGUAGE sql
	RETURN pinterest_capi.track(event, properties, user_data, event_time => event_time, destination => destination) IS NOT NULL;
SELECT told('Checkout', '{"value": "+012.50", "currency": "eur"}', '{"em": "a@example.com", "ph": "+14155550101"}'),
	told('checkout', '{"value": 7.5, "currency": "EUR"}', '{"external_id": "1", "click_id": "dj0yJnU9abcdef"}'),
	told('Checkout', '{"currency": "EUR"}', '{"em": "a@example.com"}'),
	told('Checkout', '{"value": 1e2, "currency": "EUR"}', '{"maid": "AEBE52E7-03EE-455A-B3C4-E57283966239"}', now() - interval '8 days'),
	told('Checkout', '{"value": 3, "currency": "EUR"}', '{"fn": "no identifier"}'),
	told('Checkout', '{"value": -1, "currency": "EUR"}', '{"em": "a@example.com"}'),
	told('Sign Up', '{"value": "5"}', '{"em": "a@example.com"}'),
	told('Sign Up', '{"value": "five", "currency": "CHF"}', '{"em": "a@example.com"}'),
	told('made up 1', '{}', '{}'), told('made up 2', '{}', '{}', destination => NULL),
	told('Checkout', '{"value": 0, "currency": "JPY"}', '{"ip": "192.0.2.1", "user_agent": "Mozilla/5.0 (X11)"}', destination => 'with client'),
	told('Checkout', '{"value": 9, "currency": "JPY"}', '{"ip": "192.0.2.1", "em": "a@example.com"}', destination => NULL);
SELECT destination, event_name, sent_as, status, reason, currency, events, value, stand_in, stand_in_value FROM pinterest_capi.event_statistics ORDER BY 1, 2, 3, 4, 5, 6;
SELECT destination, event_name, status, currency, events, em, ph, click_id, external_id, hashed_maids AS maids, ip, user_agent AS agent, matchable FROM pinterest_capi.event_statistics ORDER BY 1, 2, 3, 4;

-- the same as of the payloads
SELECT s.destination, s.event_name, s.currency, s.events, s.value FROM pinterest_capi.event_statistics AS s WHERE s.em + s.ph + s.click_id + s.external_id + s.hashed_maids + s.ip + s.user_agent > 0
EXCEPT SELECT d.destination, d.event_name, d.payload -> 'custom_data' ->> 'currency', count(*), coalesce(sum((d.payload -> 'custom_data' ->> 'value')::numeric), 0)
FROM pinterest_capi.dispatch_status AS d WHERE d.payload IS NOT NULL GROUP BY 1, 2, 3, d.status;

-- changes: statuses follow, and what payloads held is kept
SELECT sum(pinterest_capi.cancel(event_id)) FROM pinterest_capi.dispatch_status WHERE status = 'queued' AND event_name = 'Sign Up';
SELECT pinterest_capi.forget(user_data => '{"ph": "+14155550101"}');
SELECT pinterest_capi.replay('default', 'expired');
SELECT pinterest_capi.replay('default', 'cancelled', new_event_id => true);
SELECT destination, event_name, status, reason, currency, events, value, em FROM pinterest_capi.event_statistics ORDER BY 1, 2, 3, 4, 5;
SELECT pinterest_capi.drop_destination('with client');
SELECT destination, status, reason, sum(events) AS events, sum(value) AS value FROM pinterest_capi.event_statistics GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
DROP FUNCTION told;
DROP EXTENSION pinterest_capi;
