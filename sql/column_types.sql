-- track_trigger: a value of any type is what the server's own casts make of
-- it, whatever settings the session has, and never an error of the INSERT.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
\set VERBOSITY terse
SET timezone = 'UTC';
SET lc_monetary = 'C';

INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
SELECT pinterest_capi.allow_event('E', 'Lead', properties => '{*}');

-- every type of the server that has an input, and an array of it: a value, and
-- what it is as text and as one of content_ids (of one that isn't text: none)
CREATE TABLE samples (type text PRIMARY KEY, value text, as_text text, as_id text, seen_text text, seen_id text, failed text);
DO $$
DECLARE
	candidates CONSTANT text[] := ARRAY['A-1   ', '"j-1"', '0.30000000000000004', '5', 't', '12.50', '101', '2026-11-27 10:30:15.25', '1 day 02:03:04',
		'(1.5,2)', '((1,2),(3,4))', '<(1,2),3>', '{1,2,3}', '[1,4)', '[2026-01-01,2026-02-01)', '{[1,4)}', '{[2026-01-01,2026-02-01)}', '{}',
		'192.168.0.1/24', '192.168.0.0/24', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '0/16B3748', '10:20:10,14,15', '1 2', '(0,1)', '<a/>',
		'019a2e54-51e5-708a-b3c1-000000000001', 'pg_type', 'now', 'simple', 'english', 'english_stem', 'pg_catalog', 'now()', '+(int4,int4)', 'C'];
	type record; candidate text; made text;
BEGIN
	FOR type IN SELECT t.oid, format_type(t.oid, NULL) AS name FROM pg_type AS t
		WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A' ORDER BY t.oid
	LOOP
		FOREACH candidate IN ARRAY CASE type.name
			WHEN 'character' THEN ARRAY['A-1       '] WHEN 'real' THEN ARRAY['500000.5'] WHEN 'bytea' THEN ARRAY['\x00ff41']
			WHEN 'money' THEN ARRAY['1234.56'] WHEN 'bit' THEN ARRAY['1'] WHEN 'aclitem' THEN ARRAY[format('%I=r/%I', current_user, current_user)]
			WHEN 'interval' THEN ARRAY['1 day 02:03:04'] WHEN 'bigint' THEN ARRAY['9007199254740993'] WHEN 'numeric' THEN ARRAY['12.50'] ELSE candidates END
		LOOP
			BEGIN
				EXECUTE format('SELECT %L::%s::text', candidate, type.name) INTO made;
				INSERT INTO samples (type, value) VALUES (type.name, candidate);
				EXIT;
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
		END LOOP;
	END LOOP;
END $$;
SELECT count(*) > 65 AS many FROM samples;
-- these can't be typed in, nor xml where the server was built without it
SELECT format_type(t.oid, NULL) FROM pg_type AS t
	WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A'
		AND format_type(t.oid, NULL) NOT IN (SELECT type FROM samples) AND t.typname !~ '^pg_(brin|ndistinct|dependencies|mcv|node|ddl)|^xml$' ORDER BY 1;
INSERT INTO samples (type, value) SELECT s.type || '[]', (ARRAY[s.value])::text FROM samples AS s
	WHERE to_regtype(s.type || '[]') IS NOT NULL;

DO $$
DECLARE
	sample samples; scalar boolean; json text;
BEGIN
	FOR sample IN SELECT * FROM samples LOOP
		scalar := right(sample.type, 2) <> '[]';
		EXECUTE format('CREATE TABLE one (v %s)', CASE sample.type WHEN 'character' THEN 'character(10)'
			WHEN 'character[]' THEN 'character(10)[]' WHEN 'bit' THEN 'bit(1)' ELSE sample.type END);
		CREATE TRIGGER t AFTER INSERT ON one FOR EACH ROW
			EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'event_id=v', 'content_ids=v');
		EXECUTE format('SELECT v::text, to_jsonb(v) FROM (SELECT CAST(%L AS %s)) AS s (v)', sample.value,
			CASE sample.type WHEN 'character' THEN 'character(10)' WHEN 'character[]' THEN 'character(10)[]' ELSE sample.type END) INTO sample.as_text, json;
		sample.as_id := CASE WHEN scalar THEN json::jsonb #>> '{}' ELSE json::jsonb ->> 0 END;
		-- where the rule is another than text
		CASE replace(sample.type, '[]', '')
			WHEN 'money' THEN
				sample.as_id := '1234.56';
				IF scalar THEN sample.as_text := '1234.56'; END IF;
			WHEN 'inet' THEN
				sample.as_id := '192.168.0.1';
				IF scalar THEN sample.as_text := '192.168.0.1'; END IF;
			WHEN 'json', 'jsonb' THEN
				sample.as_id := 'j-1';
				IF scalar THEN sample.as_text := 'j-1'; END IF;
			WHEN 'numeric' THEN
				sample.as_id := '12.5';
			WHEN 'boolean' THEN
				sample.as_id := NULL;
			WHEN 'timestamp without time zone', 'timestamp with time zone' THEN
				IF scalar THEN sample.as_text := json::jsonb #>> '{}'; END IF;
			ELSE
				sample.as_id := rtrim(sample.as_id);
		END CASE;
		BEGIN
			PERFORM set_config('datestyle', 'German', true), set_config('intervalstyle', 'iso_8601', true),
				set_config('extra_float_digits', '-15', true), set_config('bytea_output', 'escape', true);
			EXECUTE format('INSERT INTO one VALUES (%s)', CASE WHEN sample.type ~ '^(character|bit)' THEN quote_literal(sample.value)
				ELSE format('CAST(%L AS %s)', sample.value, sample.type) END);
		EXCEPTION WHEN OTHERS THEN
			sample.failed := sqlerrm;
		END;
		PERFORM set_config('datestyle', 'ISO', true), set_config('intervalstyle', 'postgres', true),
			set_config('extra_float_digits', '1', true), set_config('bytea_output', 'hex', true);
		UPDATE samples AS s SET failed = sample.failed, as_text = sample.as_text, as_id = sample.as_id,
			(seen_text, seen_id) = (SELECT d.event_id, d.payload #>> '{custom_data,content_ids,0}' FROM pinterest_capi.dispatch_status AS d ORDER BY d.id DESC LIMIT 1)
			WHERE s.type = sample.type;
		TRUNCATE pinterest_capi._event, pinterest_capi._retry, pinterest_capi._outcome;
		DROP TABLE one;
	END LOOP;
END $$;
SELECT type, value, as_text, seen_text, as_id, seen_id, failed FROM samples
	WHERE failed IS NOT NULL OR seen_text IS DISTINCT FROM as_text OR seen_id IS DISTINCT FROM as_id ORDER BY type;
SELECT type, seen_text, seen_id FROM samples
	WHERE type ~ '^(character|real|double precision|money|interval|bytea|timestamp with time zone|int4range|tsrange)(\[\])?$' ORDER BY type COLLATE "C";
DROP TABLE samples;

CREATE VIEW seen AS
	SELECT event_id, status, CASE WHEN status <> 'queued' THEN reason END AS reason, warnings, payload -> 'custom_data' AS custom_data FROM pinterest_capi.dispatch_status ORDER BY id;

-- what char(n) is compared with: a visitor, a destination, an action source
SELECT pinterest_capi.identify('V-1', '{"em": "a@example.com"}');
CREATE TABLE padded (id char(10), visitor char(10), destination char(20), source char(20), at char(40), flags char(8)[]);
CREATE TRIGGER t AFTER INSERT ON padded FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'event_id=id', 'visitor_id=visitor',
	'destination=destination', 'action_source=source', 'event_time=at', 'order_id=(($1.id || ''x'')::char(10))', 'content_ids=flags');
SELECT pinterest_capi.track('E', '{}', '{"em": "a@example.com"}', event_id => 'A-1');
INSERT INTO padded VALUES ('A-1', 'V-1', 'default', 'offline', now()::text, '{a}'), ('A-2', 'V-1', 'default', 'offline', now()::text, '{a,"b "}');
SELECT * FROM seen;
TRUNCATE pinterest_capi._event, pinterest_capi._retry, pinterest_capi._outcome;

-- types that somebody made: domains of all kinds, an enum, ranges, composites
CREATE DOMAIN amount AS numeric(12,2);
CREATE DOMAIN price AS amount CHECK (VALUE >= 0);
CREATE DOMAIN code AS char(8);
CREATE DOMAIN codes AS code[];
CREATE TYPE mood AS ENUM ('so so', 'good');
CREATE TYPE float_range AS RANGE (subtype = float8);
CREATE TYPE item AS (id code, quantity int, item_price real, added date, price money);
CREATE TYPE nested AS (lines item[], mood mood);
CREATE TABLE made (id int, price price, codes codes, several codes[], mood mood, range float_range, line item, lines item[], nested nested);
CREATE TRIGGER value AFTER INSERT ON made FOR EACH ROW WHEN (NEW.id = 1)
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'event_id=id', 'value=price', 'content_ids=codes', 'order_id=range', 'np=mood', 'contents=line');
CREATE TRIGGER several AFTER INSERT ON made FOR EACH ROW WHEN (NEW.id = 2)
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'content_ids=several', 'contents=lines', 'event_id=line', 'consent=nested');
SET datestyle = german;
SET extra_float_digits = -15;
INSERT INTO made (id, price, codes, mood, range, line) VALUES (1, 12.50, '{c-1,NULL,c-2}', 'so so', '[0.1,500000.5)', '(p-1,2,500000.5,01.02.2026,3)');
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('moods', 'require', '$.consent.mood == "good" && $.consent.lines[0].price == 4.5 && $.consent.lines[0].id == "p-2" && $.consent.lines[0].added == "2026-02-01"');
INSERT INTO made (id, several, line, lines, nested) VALUES
	(2, ARRAY['{c-1,c-2}'::codes, '{c-3}'::codes], '(p-1,2,500000.5,01.02.2026,3)', ARRAY['(p-1,2,1.5,,)', NULL, '(p-2,,,,)']::item[],
		ROW(ARRAY['(p-2,1,1,01.02.2026,4.50)']::item[], 'good'));
DELETE FROM pinterest_capi.consent_rule;
RESET datestyle;
RESET extra_float_digits;
SELECT * FROM seen;
TRUNCATE pinterest_capi._event, pinterest_capi._retry, pinterest_capi._outcome;

-- casts of their own: to what the key takes, and as they are at the moment
CREATE TYPE cash AS (amount numeric, code text);
CREATE FUNCTION cash_number(cash) RETURNS numeric LANGUAGE sql AS 'SELECT $1.amount';
CREATE FUNCTION cash_text(cash, int, boolean) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN $1.code || ' ' || $1.amount; END$$;
CREATE FUNCTION cash_json(cash) RETURNS jsonb LANGUAGE sql AS $$SELECT jsonb_build_array($1.code, NULL, $1.amount)$$;
CREATE CAST (cash AS numeric) WITH FUNCTION cash_number(cash);
CREATE CAST (cash AS text) WITH FUNCTION cash_text(cash, int, boolean);
CREATE CAST (cash AS jsonb) WITH FUNCTION cash_json(cash);
CREATE TABLE paid (paid cash, several cash[]);
CREATE TRIGGER t AFTER INSERT ON paid FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'value=paid', 'order_id=paid', 'content_ids=paid', 'event_id=paid', 'np=($1.paid)');
INSERT INTO paid VALUES ('(12.50,EUR)');
CREATE OR REPLACE FUNCTION cash_text(cash, int, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'new ' || $1.code$$;
INSERT INTO paid VALUES ('(12.50,EUR)');
DROP CAST (cash AS numeric);
DROP CAST (cash AS text);
DROP FUNCTION cash_number, cash_text;
INSERT INTO paid VALUES ('(12.50,EUR)');
CREATE OR REPLACE FUNCTION cash_json(cash) RETURNS jsonb LANGUAGE sql AS $$SELECT to_jsonb(1 / ($1.amount - 12.5))$$;
INSERT INTO paid VALUES ('(12.50,CHF)');
SELECT * FROM seen;

-- what can't be read is not taken for what wasn't given
CREATE TABLE unread (id int, j json);
CREATE TRIGGER t AFTER INSERT ON unread FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'event_id=id', 'consent=j');
CREATE TRIGGER opt_out AFTER INSERT ON unread FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'event_id=(100 + $1.id)', 'opt_out=j');
CREATE TRIGGER destination AFTER INSERT ON unread FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('E', 'email:=a@example.com', 'event_id=(200 + $1.id)', 'destination=j');
INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('objected', 'stop', '$.consent.objected == true');
INSERT INTO unread VALUES (1, '{"objected": true, "name": "\u0000"}'), (2, '"objected"'), (3, 'null');
SELECT event_id, status, CASE WHEN status <> 'queued' THEN reason END AS reason, warnings, payload -> 'opt_out' AS opt_out
	FROM pinterest_capi.dispatch_status WHERE event_id ~ '^[0-9]+$' ORDER BY event_id;

DROP VIEW seen;
DROP TABLE padded, made, paid, unread;
DROP TYPE mood, float_range, item, nested, cash CASCADE;
DROP DOMAIN amount, price, code, codes CASCADE;
DROP EXTENSION pinterest_capi;
