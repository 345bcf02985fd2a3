-- Who may do what: nothing for PUBLIC but the two pure functions, and four levels.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.pause_destination();
SELECT pinterest_capi.allow_event('Newsletter');
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "a@example.com"}', event_id => 'one');
CREATE ROLE regress_pcapi_nobody;
CREATE ROLE regress_pcapi_track;
CREATE ROLE regress_pcapi_monitor;
CREATE ROLE regress_pcapi_operate;
CREATE ROLE "regress_pcapi Configure";
CREATE ROLE regress_pcapi_pg_monitor IN ROLE pg_monitor;
SELECT pinterest_capi.grant_access('regress_pcapi_track', 'track');
SELECT pinterest_capi.grant_access('regress_pcapi_monitor', 'monitor');
SELECT pinterest_capi.grant_access('regress_pcapi_operate', 'operate');
SELECT pinterest_capi.grant_access('"regress_pcapi Configure"', 'configure');
SELECT pinterest_capi.grant_access('regress_pcapi_track', 'all');
SELECT pinterest_capi.grant_access(0::regrole, 'track');

-- for everybody
SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'pinterest_capi'::regnamespace
	AND has_function_privilege('regress_pcapi_nobody', p.oid, 'EXECUTE') ORDER BY p.proname;
SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind IN ('r', 'v', 'S')
	AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('regress_pcapi_nobody', c.oid, 'USAGE')
		ELSE has_table_privilege('regress_pcapi_nobody', c.oid, 'SELECT, INSERT, UPDATE, DELETE') END;
SET ROLE regress_pcapi_nobody;
SELECT pinterest_capi.hash_identifier('em', 'a@example.com') IS NOT NULL AS works, pinterest_capi.normalize_identifier('country', ' DE ');
SELECT pinterest_capi.track('Newsletter');
SELECT pinterest_capi.grant_access('regress_pcapi_nobody', 'configure');
CREATE TABLE pinterest_capi.planted (x int);
RESET ROLE;

-- each level: its functions, its relations; report_html's sections (_report_) go with it
CREATE FUNCTION may(who regrole) RETURNS TABLE (functions text[], relations text[]) LANGUAGE sql AS $$
	SELECT array(SELECT p.proname::text FROM pg_proc AS p WHERE p.pronamespace = 'pinterest_capi'::regnamespace
			AND has_function_privilege(who, p.oid, 'EXECUTE') AND p.proname NOT IN ('normalize_identifier', 'hash_identifier')
			AND p.proname NOT LIKE '\_report\_%' ORDER BY 1),
		array(SELECT c.relname || CASE WHEN has_table_privilege(who, c.oid, 'UPDATE') THEN ' (writes)' ELSE '' END
			FROM pg_class AS c WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind IN ('r', 'v')
			AND has_table_privilege(who, c.oid, 'SELECT') ORDER BY 1);
$$;
\x on
SELECT * FROM may('regress_pcapi_track');
SELECT * FROM may('regress_pcapi_monitor');
SELECT * FROM may('regress_pcapi_operate');
SELECT * FROM may('"regress_pcapi Configure"');
SELECT * FROM may('regress_pcapi_pg_monitor');
\x off

SET ROLE regress_pcapi_track;
SELECT pinterest_capi.track('Newsletter', user_data => '{"em": "b@example.com"}', event_id => 'two');
SELECT status FROM pinterest_capi.preview('Newsletter', user_data => '{"em": "b@example.com"}');
SELECT pinterest_capi.identify('v', '{"em": "b@example.com"}');
SELECT pinterest_capi.cancel('two');
SELECT count(*) FROM pinterest_capi.dispatch_status;
SELECT * FROM pinterest_capi._event;
SET ROLE regress_pcapi_monitor;
SELECT event_id, status, payload FROM pinterest_capi.dispatch_status ORDER BY id;
SELECT destination, status, queued FROM pinterest_capi.destination_status;
SELECT count(*) <= 1 AS at_most_one FROM pinterest_capi.worker_status;
SELECT events, em FROM pinterest_capi.event_quality;
SELECT count(*) > 10 AS fields FROM pinterest_capi.compliance_report;
SELECT pinterest_capi.cancel('two');
SET ROLE regress_pcapi_pg_monitor;
SELECT event_id, status, payload FROM pinterest_capi.dispatch_status ORDER BY id;
SELECT count(*) <= 1 AS at_most_one FROM pinterest_capi.worker_status;
SET ROLE regress_pcapi_operate;
SELECT event_id, payload IS NOT NULL AS payload FROM pinterest_capi.dispatch_status ORDER BY id;
SELECT pinterest_capi.cancel('two');
SELECT pinterest_capi.flush('1 second');
SELECT pinterest_capi.allow_event('x');
SET ROLE "regress_pcapi Configure";
SELECT pinterest_capi.allow_event('Other');
INSERT INTO pinterest_capi.allowed_event (event_name, send_as, properties) VALUES ('Third', 'Lead', '{search_string}');
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('r', 'stop', '$.consent.no == true');
UPDATE pinterest_capi.destination SET batch_size = 10;
SELECT pinterest_capi.track('Other', user_data => '{"em": "b@example.com"}', event_id => 'three');
RESET ROLE;

SELECT pinterest_capi.revoke_access('regress_pcapi_track', 'track');
SELECT pinterest_capi.revoke_access('regress_pcapi_monitor', 'monitor');
SELECT pinterest_capi.revoke_access('regress_pcapi_operate', 'operate');
SELECT pinterest_capi.revoke_access('"regress_pcapi Configure"', 'configure');
SELECT pinterest_capi.revoke_access('regress_pcapi_nobody', 'nonsense');
SELECT who, may(who::regrole) FROM unnest(ARRAY['regress_pcapi_track', 'regress_pcapi_monitor', 'regress_pcapi_operate', '"regress_pcapi Configure"']) AS who;

DROP FUNCTION may;
DROP EXTENSION pinterest_capi;
DROP ROLE regress_pcapi_nobody, regress_pcapi_track, regress_pcapi_monitor, regress_pcapi_operate, "regress_pcapi Configure", regress_pcapi_pg_monitor;
