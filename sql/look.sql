-- doctor() and report_html(): what can be told without a worker's help; how they look is in t/070_report.pl,
-- faults of all kinds in t/071_doctor.pl.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SET timezone = 'UTC';

-- no destination, one that lacks something, one that is complete and allows nothing
CREATE VIEW complaints AS SELECT "check", status, advice FROM pinterest_capi.doctor() WHERE status <> 'ok' AND "check" NOT IN ('worker', 'slots');
SELECT * FROM complaints;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', destination => 'it''s "mine"');
SELECT * FROM complaints;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2', 'it''s "mine"');
SELECT pinterest_capi.pause_destination('it''s "mine"');
SELECT * FROM complaints;
SELECT pinterest_capi.resume_destination('it''s "mine"');
SELECT pinterest_capi.allow_event('Checkout', destination => 'it''s "mine"');
UPDATE pinterest_capi.destination SET enabled = false;
SELECT pinterest_capi.track('Checkuot') IS NOT NULL AS tracked;
SELECT * FROM complaints;

-- text as HTML
SELECT pinterest_capi._html('<script>alert("1")</script> & ''more''');
SELECT pinterest_capi._html(E'line\nline\ttab \x01 \x7F') AS controls,
	pinterest_capi._html(U&'\202Eabc\202C \200B\FEFF\2028 \0085') AS invisible,
	pinterest_capi._html(U&'No\00EBl \+01F6D2 \05D0\05D1') AS letters, pinterest_capi._html('') AS empty;

-- others' words without what they quote
SELECT words, pinterest_capi._report_words(words) FROM (VALUES
	('Tag is of another account.'), ('event 3 of 20 is too old (code 4196)'), ('HTTP 503: try again in 30 s'),
	('no such user jane.doe@example.com'), ('em 7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069 unknown'),
	('id 0193a5b0-7c1e-7a11-9e2e-0d3c2b1a0f9e was seen before'), ('{"click_id":"short1"} is not valid'),
	('''dj0y1'' is not valid'), ('it isn''t "known" 2 us'), ('call +49 (30) 1234567 or 555-123-4567'),
	('the server''s certificate was refused: SSL certificate problem: self-signed certificate'),
	('2026-11-25 01:02:03+00')) AS w (words);

-- numbers, shares, slots
SELECT pinterest_capi._report_n(0), pinterest_capi._report_n(999), pinterest_capi._report_n(1234567), pinterest_capi._report_n(12345678901234);
SELECT pinterest_capi._report_share(1, 3), pinterest_capi._report_share(0, 3), pinterest_capi._report_share(3, 3),
	pinterest_capi._report_share(1, 1000000), pinterest_capi._report_share(999999, 1000000), pinterest_capi._report_share(0, 0);
SELECT since, pinterest_capi._report_step(since) AS step, cardinality(s) BETWEEN least AND least + 1 AS as_many, s[1] < now() - since + ('1 ' || pinterest_capi._report_step(since))::interval AS reaches
FROM (VALUES ('1 minute'::interval, 1), ('1 day', 25), ('2 days', 49), ('7 days', 8), ('92 days', 93), ('1 year', 53), ('5 years', 61), ('50 years', 51)) AS v (since, least),
	LATERAL (SELECT pinterest_capi._report_slots(since, pinterest_capi._report_step(since)) AS s) AS l;
SET timezone = 'America/St_Johns';
SELECT pinterest_capi._report_slot('2026-11-01 23:00+00', step, true) AS short, pinterest_capi._report_slot('2026-11-01 23:00+00', step, false) AS long
FROM unnest(ARRAY['hour', 'day', 'week', 'month', 'year']) AS step;
RESET timezone;

-- the page, and calls that can't be meant
SELECT html LIKE '<!DOCTYPE html>%</html>' AS page, html LIKE '%&lt;script%' AS hostile, html LIKE '%it&#39;s &quot;mine&quot;%' AS quoted, html ~ '[^ -~\n\t]' AS beyond_ascii
FROM (SELECT pinterest_capi.report_html() AS html FROM (SELECT pinterest_capi.track('<script>')) AS t) AS p;
SELECT pinterest_capi.report_html(destination => 'it''s "mine"', since => '1 hour') LIKE '%Checkuot%' AS of_no_destination;
SELECT pinterest_capi.report_html('nobody');
SELECT pinterest_capi.report_html(since => '0');
SELECT pinterest_capi.report_html(since => '-1 day');
SELECT pinterest_capi.report_html(since => NULL);
SELECT pinterest_capi.report_html(since => '1000 years');

-- a destination that is gone has a past
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "EUR"}', '{"em": "a@example.com"}') IS NOT NULL AS tracked;
SELECT pinterest_capi.drop_destination('it''s "mine"');
SELECT pinterest_capi.report_html('it''s "mine"') LIKE '%<td>cancelled</td>%' AS cancelled;

-- both change nothing
BEGIN READ ONLY;
SELECT count(*) > 5 AS checks FROM pinterest_capi.doctor();
SELECT pinterest_capi.report_html() LIKE '%</html>' AS page;
COMMIT;

-- what pg_upgrade does: the bodies, written down from their parsed form, can be read again
DO $$
DECLARE
	definition text;
BEGIN
	FOR definition IN SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p
		WHERE p.pronamespace = 'pinterest_capi'::regnamespace AND p.prosqlbody IS NOT NULL
	LOOP
		EXECUTE definition;
	END LOOP;
END
$$;
SELECT count(*) > 5 AS checks FROM pinterest_capi.doctor();
SELECT pinterest_capi.report_html() LIKE '%</html>' AS page;

DROP VIEW complaints;
DROP EXTENSION pinterest_capi;
