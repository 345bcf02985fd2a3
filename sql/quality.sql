-- Match quality: which identifiers events carry, which one is missing most, and
-- how it is added; in the view, in doctor() and in the report.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION pinterest_capi;
SELECT pinterest_capi.configure_destination('2612345678901', 'token', '549755885175');
SELECT pinterest_capi.allow_event(e) FROM unnest(ARRAY['Lead', 'Signup', 'Contact', 'Search', 'AppOpen']) AS e;
RESET client_min_messages;

-- Lead: three with an address, one without anything
SELECT count(pinterest_capi.track('Lead', user_data => u::jsonb))
FROM unnest(ARRAY['{"em": "a@example.com"}', '{"em": "b@example.com"}', '{"em": "c@example.com", "ph": "+49301234567"}', '{}']) AS u;
-- Signup: a customer number, and a phone number in one of two
SELECT count(pinterest_capi.track('Signup', user_data => u::jsonb))
FROM unnest(ARRAY['{"external_id": "1"}', '{"external_id": "2", "ph": "+49301234567"}']) AS u;
-- Contact: all but a click id
SELECT count(pinterest_capi.track('Contact', user_data => '{"em": "a@example.com", "external_id": "1", "ph": "+49301234567"}'));
-- Search: nothing is missing
SELECT count(pinterest_capi.track('Search', user_data => '{"em": "a@example.com", "external_id": "1", "ph": "+49301234567", "click_id": "dj0yJnU9"}'));
-- AppOpen: every event is stopped
SELECT count(pinterest_capi.track('AppOpen', action_source => 'app_ios')) FROM generate_series(1, 30);

SELECT event_name, destination, events, em, ph, click_id, external_id, hashed_maids, ip, user_agent, matchable, no_identifier, missing
FROM pinterest_capi.event_quality ORDER BY event_name COLLATE "C";
SELECT event_name, advice FROM pinterest_capi.event_quality ORDER BY event_name COLLATE "C";

-- the share decides, then what Pinterest asks for first; nearly all is enough
SELECT pinterest_capi._missing_identifier(0.5, 0.4, 0, 0.6, 0), pinterest_capi._missing_identifier(0.5, 0.5, 0, 0.5, 0),
	pinterest_capi._missing_identifier(0.95, 0.96, 0.01, 1, 0.2), pinterest_capi._missing_identifier(0.95, 0.96, 0.01, 1, 0),
	pinterest_capi._missing_identifier(1, 1, 0, 1, 0);

-- doctor() judges the event of which fewest carry what Pinterest asks for
SELECT status, advice FROM pinterest_capi.doctor() WHERE "check" = 'match quality';
SELECT count(pinterest_capi.track('AppOpen', user_data => '{"em": "a@example.com", "external_id": "1"}', action_source => 'app_ios')) FROM generate_series(1, 990);
SELECT status, advice FROM pinterest_capi.doctor() WHERE "check" = 'match quality';

-- the report has a line for each event, in the same words
SELECT regexp_replace(line, '<[^>]*>', '|', 'g') AS line
FROM regexp_split_to_table(substring(pinterest_capi.report_html() FROM '<h2 id="missing">(.*?)</section>'), '<tr>') WITH ORDINALITY AS l (line, n)
WHERE n > 2 ORDER BY n;

DROP EXTENSION pinterest_capi;
