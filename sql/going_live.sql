-- From a first try to a real destination: what is told on the way.
SET client_min_messages = warning;
CREATE EXTENSION pinterest_capi;
SET client_min_messages = notice;

-- well formed is not accepted
SELECT pinterest_capi.configure_destination('1', 'pina_secret');
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
-- a stand-in's address stays, and is named
UPDATE pinterest_capi.destination SET api_url = 'http://127.0.0.1:1/v5';
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
UPDATE pinterest_capi.destination SET api_url = DEFAULT;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2', 'the "other''s"');
SELECT pinterest_capi.drop_destination('the "other''s"');

-- what leaves as custom, and what it most likely means
SELECT pinterest_capi.allow_event('Purchase');
SELECT pinterest_capi.allow_event('Order Completed');
SELECT pinterest_capi.allow_event('complete_registration');
SELECT pinterest_capi.allow_event('begin_checkout');
SELECT pinterest_capi.allow_event('Schedlue');
SELECT pinterest_capi.allow_event('Xyzzy');
SELECT pinterest_capi.allow_event('Бронь');
SELECT pinterest_capi.allow_event('Quiz Finished', send_as => 'Custom');
SELECT pinterest_capi.allow_event('Order Placed', send_as => 'Checkout');
SELECT pinterest_capi.allow_event('signup');

-- preview of an event that is there
CREATE TEMPORARY VIEW at_7 AS
	SELECT status, warnings FROM pinterest_capi.preview('Order Placed', '{"value": 1, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => '7');
TABLE at_7;
SELECT pinterest_capi.track('Order Placed', '{"value": 1, "currency": "EUR"}', '{"em": "a@example.com"}', event_id => '7');
TABLE at_7;
SELECT event_id, status, warnings FROM pinterest_capi.dispatch_status;
SELECT pinterest_capi.track('Nobody Allows It', event_id => '7');
SELECT status, reason, warnings FROM pinterest_capi.preview('Nobody Allows It', event_id => '7');
-- another event, another id, an id that would be made
SELECT status, warnings FROM pinterest_capi.preview('signup', '{}', '{"em": "a@example.com"}', event_id => '7');
SELECT status, warnings FROM pinterest_capi.preview('signup', '{}', '{"em": "a@example.com"}', event_id => '8');
SELECT status, warnings FROM pinterest_capi.preview('signup', '{}', '{"em": "a@example.com"}');

-- IP address and user agent that the switches keep in
CREATE TEMPORARY VIEW by_ip AS
	SELECT status, reason, warnings FROM pinterest_capi.preview('signup', '{}', '{"ip": "192.0.2.1", "user_agent": "Mozilla/5.0"}');
TABLE by_ip;
UPDATE pinterest_capi.destination SET send_client_ip = true;
TABLE by_ip;
UPDATE pinterest_capi.destination SET send_user_agent = true;
TABLE by_ip;
-- beside another identifier they are no loss worth a word
UPDATE pinterest_capi.destination SET send_user_agent = false;
SELECT status, reason, warnings FROM pinterest_capi.preview('signup', '{}', '{"em": "a@example.com", "ip": "192.0.2.1", "user_agent": "Mozilla/5.0"}');

SET client_min_messages = warning;
DROP EXTENSION pinterest_capi CASCADE;
