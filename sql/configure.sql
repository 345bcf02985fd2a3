-- Destinations, allowed events, rules: what can be configured and what can't.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
\set VERBOSITY default
-- nothing may leave by chance: nothing here is ever sent
CREATE VIEW conf AS SELECT destination, tag_id, ad_account_id FROM pinterest_capi.destination ORDER BY destination;

SELECT pinterest_capi.configure_destination('2617998078212', 'pina_secret', '549755885175');
SELECT pinterest_capi.configure_destination('2617998078213', 'pina_other', destination => 'second');
TABLE conf;
SELECT destination, status, split_part(message, ';', 1) AS message FROM pinterest_capi.destination_status ORDER BY destination;

-- ill-formed values: an error, and nothing changes
SELECT pinterest_capi.configure_destination('tag', 'pina_x');
SELECT pinterest_capi.configure_destination('', 'pina_x');
SELECT pinterest_capi.configure_destination(NULL, 'pina_x');
SELECT pinterest_capi.configure_destination('1234567890123456789', 'pina_x');
SELECT pinterest_capi.configure_destination('-1', 'pina_x');
SELECT pinterest_capi.configure_destination('1', 'pina_x', 'account');
SELECT pinterest_capi.configure_destination('1', 'pina_x', '');
SELECT pinterest_capi.configure_destination('1', '');
SELECT pinterest_capi.configure_destination('1', NULL);
SELECT pinterest_capi.configure_destination('1', 'pina x');
SELECT pinterest_capi.configure_destination('1', E'pina_x\n');
SELECT pinterest_capi.configure_destination('1', E'pina_\u00e9');
SELECT pinterest_capi.configure_destination('1', repeat('x', 5000));
SELECT pinterest_capi.configure_destination('1', 'file:relative/path');
SELECT pinterest_capi.configure_destination('1', 'pina_x', destination => '');
SELECT pinterest_capi.configure_destination('1', 'pina_x', destination => NULL);
SELECT pinterest_capi.configure_destination('1', 'pina_x', destination => repeat('d', 200));
\set VERBOSITY sqlstate
SELECT pinterest_capi.configure_destination('tag', 'pina_x');
SELECT pinterest_capi.configure_destination('1', '');
\set VERBOSITY default
TABLE conf;

-- again: credentials are replaced, a NULL account id leaves the stored one
UPDATE pinterest_capi.destination SET batch_size = 7 WHERE destination = 'default';
SELECT pinterest_capi.configure_destination('42', 'pina_new');
SELECT tag_id, ad_account_id, batch_size FROM pinterest_capi.destination WHERE destination = 'default';
SELECT pinterest_capi.configure_destination('43', 'pina_new', '44', 'second');
TABLE conf;

-- the token: in no column of anything that can be read, and not in the clear anywhere
SELECT count(*) FROM pinterest_capi._secret AS s WHERE s::text LIKE '%' || encode('pina_new', 'hex') || '%' OR s::text LIKE '%pina%';
SELECT count(*) FROM pinterest_capi._secret WHERE pad = masked;
SELECT DISTINCT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND query LIKE '%pina%' AND query NOT LIKE '%pg_stat_activity%';
SELECT query FROM (SELECT pinterest_capi.configure_destination('42', 'pina_new') OFFSET 0) AS c, LATERAL (SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND c IS NOT NULL) AS q;
BEGIN READ ONLY;
SELECT pinterest_capi.configure_destination('42', 'pina_new');
ROLLBACK;

-- settings by plain UPDATE; nonsense is refused
UPDATE pinterest_capi.destination SET batch_size = 0 WHERE destination = 'second';
UPDATE pinterest_capi.destination SET batch_size = 1001 WHERE destination = 'second';
UPDATE pinterest_capi.destination SET tag_id = 'x' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET page_url_detail = 'all' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET opt_out_action = 'ignore' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET default_checkout_value = -1 WHERE destination = 'second';
UPDATE pinterest_capi.destination SET default_checkout_value = 'NaN' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET default_checkout_currency = 'usd' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET max_requests_per_minute = 0 WHERE destination = 'second';
UPDATE pinterest_capi.destination SET max_event_age = '-1 day' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET retry_for = '0' WHERE destination = 'second';
UPDATE pinterest_capi.destination SET destination = 'third' WHERE destination = 'second';
SELECT url, pinterest_capi._api_url_ok(url) FROM unnest(ARRAY['https://api.pinterest.com/v5', 'https://[2001:db8::1]:8443/v5', 'http://localhost:8080/v5',
	'http://127.0.0.1/v5', 'http://127.9.9.9:1', 'http://[::1]:8080/v5', 'http://api.pinterest.com/v5', 'http://10.0.0.1/v5', 'http://127.0.0.1.example.com/v5',
	'http://localhost.example.com/', 'https://user@api.pinterest.com/v5', 'https://user:pw@api.pinterest.com/v5', 'ftp://localhost/', 'file:///etc/passwd',
	'api.pinterest.com', '', 'https://', 'https://api.pinterest.com/v5?x=1', 'https://api.pinterest.com/v5#x', E'https://api.pinterest.com/\nv5', 'http://[::1%25lo]/']) AS url;
UPDATE pinterest_capi.destination SET api_url = 'http://pinterest.example/' WHERE destination = 'second';
-- api_url is for superusers, however much else somebody may configure
CREATE ROLE regress_pcapi_admin;
SELECT pinterest_capi.grant_access('regress_pcapi_admin', 'configure');
SET ROLE regress_pcapi_admin;
UPDATE pinterest_capi.destination SET api_url = 'https://evil.example/' WHERE destination = 'second';
INSERT INTO pinterest_capi.destination (destination, api_url) VALUES ('evil', 'https://evil.example/');
UPDATE pinterest_capi.destination SET test_mode = true WHERE destination = 'second';
SELECT pinterest_capi.configure_destination('1', 'file:/etc/passwd');
SELECT pinterest_capi.configure_destination('77', 'pina_by_admin', '78', 'third');
SELECT pinterest_capi.drop_destination('third');
SELECT * FROM pinterest_capi._secret;
RESET ROLE;
TABLE conf;
SELECT api_url, test_mode FROM pinterest_capi.destination WHERE destination = 'second';

-- allowed events
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout');
SELECT pinterest_capi.allow_event('order PLACED', 'add_to_cart', properties => '{search_string,item_name}');
SELECT pinterest_capi.allow_event('Order Placed', destination => 'second');
SELECT * FROM pinterest_capi.allowed_event ORDER BY destination;
SELECT pinterest_capi.allow_event('');
SELECT pinterest_capi.allow_event(NULL);
SELECT pinterest_capi.allow_event(repeat('e', 300));
SELECT pinterest_capi.allow_event('x', 'Purchase');
SELECT pinterest_capi.allow_event('x', properties => '{search_string,password}');
SELECT pinterest_capi.allow_event('x', properties => ARRAY[NULL]::text[]);
SELECT pinterest_capi.allow_event('x', destination => 'nowhere');
SELECT pinterest_capi.allow_event('x', destination => NULL);
INSERT INTO pinterest_capi.allowed_event (event_name, send_as) VALUES ('x', 'Purchase');
INSERT INTO pinterest_capi.allowed_event (event_name, properties) VALUES ('x', '{password}');
INSERT INTO pinterest_capi.allowed_event (event_name) VALUES ('ORDER placed');
SELECT pinterest_capi.disallow_event('ORDER placed');
SELECT pinterest_capi.disallow_event('ORDER placed');
SELECT pinterest_capi.disallow_event('x', 'nowhere');
SELECT event_name, destination FROM pinterest_capi.allowed_event;

-- what is changed holds at the next call, in this session and in others
SELECT pinterest_capi.allow_event('Signed Up', 'SignUp');
SELECT destination, status, sent_as FROM pinterest_capi.preview('signed up', user_data => '{"em": "a@example.com"}');
BEGIN;
SELECT pinterest_capi.disallow_event('Signed Up');
SELECT destination, status, reason FROM pinterest_capi.preview('Signed Up', user_data => '{"em": "a@example.com"}');
ROLLBACK;
SELECT destination, status, sent_as FROM pinterest_capi.preview('Signed Up', user_data => '{"em": "a@example.com"}');

-- consent rules
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES
	('marketing', 'require', '$.consent.marketing == true'),
	('patients', 'stop', '$.properties.order_id like_regex "^P"');
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('broken', 'stop', '$.consent..x');
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('odd', 'maybe', '$.consent.x');
CREATE FUNCTION consents(properties jsonb, consent jsonb, OUT status text, OUT reason text) LANGUAGE sql AS $$
	SELECT status, reason FROM pinterest_capi.preview('Signed Up', properties, '{"em": "a@example.com"}', consent => consent);
$$;
SELECT * FROM consents('{}', NULL);
SELECT * FROM consents('{}', '{"marketing": false}');
SELECT * FROM consents('{}', '{"marketing": "true"}');
SELECT * FROM consents('{}', '{"marketing": true}');
SELECT * FROM consents('{"order_id": "P1"}', '{"marketing": true}');
SELECT * FROM consents('{"order_id": "X1"}', '{"marketing": true}');
SELECT * FROM consents('{"order_id": "P1"}', NULL);
-- what can't be evaluated stops, of either kind
UPDATE pinterest_capi.consent_rule SET predicate = 'strict $.properties.missing == 1' WHERE name = 'patients';
SELECT * FROM consents('{}', '{"marketing": true}');
UPDATE pinterest_capi.consent_rule SET predicate = '$.properties.value / 0 > 1' WHERE name = 'patients';
SELECT * FROM consents('{"value": 1}', '{"marketing": true}');
UPDATE pinterest_capi.consent_rule SET predicate = '$.consent' WHERE name = 'patients';
SELECT * FROM consents('{}', '{"marketing": true}');
UPDATE pinterest_capi.consent_rule SET predicate = '$.consent.at.datetime() > "2000-01-01T00:00:00+00:00".datetime()', action = 'require' WHERE name = 'patients';
SELECT * FROM consents('{}', '{"marketing": true, "at": "2020-01-01"}');
SELECT * FROM consents('{}', '{"marketing": true, "at": "yesterday"}');
-- not even what PostgreSQL raises in spite of silence reaches the caller: variables, which there are none, and broken templates
CREATE TABLE bad_rules (no serial, action text, predicate jsonpath);
INSERT INTO bad_rules (action, predicate) VALUES
	('stop', '$nobody == 1'), ('require', '$nobody == 1'), ('stop', '$.event starts with $"a \" b"'),
	('stop', '"2020".datetime("no template") == "x"'), ('require', '"2020".datetime("no template") == "x"'),
	('require', 'exists ($.consent ? (@.marketing == true && $.event.datetime("YYYY@MM") > "2020".datetime()))');
DO $$
DECLARE
	bad record;
	got record;
BEGIN
	FOR bad IN SELECT * FROM bad_rules ORDER BY no LOOP
		UPDATE pinterest_capi.consent_rule SET action = bad.action, predicate = bad.predicate WHERE name = 'patients';
		SELECT * INTO got FROM consents('{}', '{"marketing": true}');
		RAISE WARNING '% %: %, %', bad.action, bad.predicate, got.status, got.reason;
	END LOOP;
END $$;
DROP TABLE bad_rules;
-- what looks like it is evaluated as ever
UPDATE pinterest_capi.consent_rule SET action = 'require', predicate = '$.consent."$" == "$" && $.consent."a\"$" == "f(x)" && $.consent.at.datetime("YYYY-MM-DD") > "2000-01-01".datetime("YYYY-MM-DD")' WHERE name = 'patients';
SELECT * FROM consents('{}', '{"marketing": true, "$": "$", "a\"$": "f(x)", "at": "2020-01-01"}');
SELECT * FROM consents('{}', '{"marketing": true, "$": "$", "a\"$": "f(x)", "at": "1999-01-01"}');
SELECT * FROM consents('{}', '{"marketing": true, "$": "$", "a\"$": "f(x)", "at": "some day"}');
-- and the transaction goes on
BEGIN;
UPDATE pinterest_capi.consent_rule SET predicate = '$nobody == 1' WHERE name = 'patients';
SELECT pinterest_capi.track('Signed Up', user_data => '{"em": "a@example.com"}', consent => '{"marketing": true}', event_id => 'closed');
COMMIT;
SELECT status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'closed';
UPDATE pinterest_capi.consent_rule SET destination = 'second' WHERE name = 'patients';
SELECT * FROM consents('{}', '{"marketing": true}');
-- every part of what a rule sees
UPDATE pinterest_capi.consent_rule SET destination = NULL, predicate = '$.event == "Signed Up" && $.action_source == "web" && $.user.em == "a@example.com" && $.properties.value == 1 && exists ($.consent.marketing)'
	WHERE name = 'patients';
SELECT * FROM consents('{"value": 1}', '{"marketing": true}');
DELETE FROM pinterest_capi.consent_rule;
SELECT * FROM consents('{}', NULL);

-- dropping
SELECT pinterest_capi.track('Signed Up', user_data => '{"em": "a@example.com"}', event_id => 'dropped');
SELECT pinterest_capi.drop_destination('default');
SELECT destination, status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'dropped';
SELECT pinterest_capi.drop_destination('default');
SELECT pinterest_capi.drop_destination(NULL);
SELECT count(*) FROM pinterest_capi._secret;
SELECT event_name, destination FROM pinterest_capi.allowed_event;

DROP FUNCTION consents;
DROP VIEW conf;
DROP EXTENSION pinterest_capi;
DROP ROLE regress_pcapi_admin;
