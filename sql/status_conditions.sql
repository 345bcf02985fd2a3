-- Conditions on dispatch_status.status: whatever the planner makes of them, they find the same rows; final ones by an index.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;
SELECT pinterest_capi.configure_destination('1', 'pina_secret', '2');
SELECT pinterest_capi.pause_destination();

-- an event of each kind; the last seven: queued, retrying, queued again, in no table but _event, in both others, handed over, of an unknown number
INSERT INTO pinterest_capi._event (id, created_at, event_time, dest, event_id, event_name)
	SELECT n, now(), now(), CASE n WHEN 5 THEN 0 WHEN 13 THEN 99 ELSE 1 END, 'e-' || n, 'Checkout' FROM generate_series(1, 13) AS n;
INSERT INTO pinterest_capi._outcome (id, finished_at, dest, status)
	SELECT id, now(), 1, status FROM (VALUES (1, 'sent'), (2, 'failed'), (3, 'expired'), (4, 'rejected'), (5, 'suppressed'), (6, 'cancelled'),
		(11, 'failed'), (12, 'queued')) AS o (id, status);
INSERT INTO pinterest_capi._retry (id, dest, due_at, attempts)
	VALUES (8, 1, now(), 1), (9, 1, now(), 0), (11, 1, now(), 1), (13, 99, now(), 0);
SELECT id, status FROM pinterest_capi.dispatch_status ORDER BY id;

CREATE TABLE plain AS SELECT id, status, attempts FROM pinterest_capi.dispatch_status;
CREATE FUNCTION rows_of(query text, relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
	EXECUTE format('SELECT array_agg(q::text ORDER BY q::text) FROM (%s) AS q', replace(query, 'STATUSES', relation)) INTO result;
	RETURN result;
END $$;
-- whether no row has to be read for its status to be compared
CREATE FUNCTION is_by_column(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text; found boolean := true;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || replace(query, 'STATUSES', 'pinterest_capi.dispatch_status') LOOP
		found := found AND line NOT LIKE '%CASE WHEN%';
	END LOOP;
	RETURN found;
END $$;

-- each status in each form; a row for a form that finds other rows than the table does
CREATE TABLE form AS
	SELECT w.word, format(f.form, w.word) AS condition
	FROM unnest('{sent,failed,expired,rejected,suppressed,cancelled,queued,retrying,Failed}'::text[]) AS w (word),
		unnest(ARRAY['status = %L', '%L = status', 'status IN (%L, ''failed'')', 'status = ANY (''{expired,NULL,%s}'')',
			'status = ANY (ARRAY[%L, NULL])', 'status <> %L', 'status <> ALL (''{failed,%s}'')', 'NOT status = %L', 'status = %L OR attempts = 1',
			'status = %L AND status = ''queued''', 'status = %L AND (status = ''queued'' OR status = ''failed'' OR id > 3)',
			'status = %L AND status IS NOT NULL', 'status = %L::varchar', 'coalesce(status, '''') = %L', 'status = %L COLLATE "C"',
			'(status = %L) IS NOT TRUE', 'status > ''f'' AND status = %L']) AS f (form);
SELECT condition FROM form WHERE rows_of('SELECT id, status, attempts FROM STATUSES WHERE ' || condition, 'pinterest_capi.dispatch_status')
	IS DISTINCT FROM rows_of('SELECT id, status, attempts FROM STATUSES WHERE ' || condition, 'plain');
SELECT count(*) AS forms FROM form;

-- which of them the planner turns into conditions on what is indexed
SELECT condition FROM form WHERE is_by_column('SELECT * FROM STATUSES WHERE ' || condition) AND word IN ('failed', 'queued', 'sent');

-- the condition elsewhere than in a plain query's WHERE
CREATE TABLE other AS SELECT n AS id FROM generate_series(0, 14) AS n;
CREATE TABLE query (query text);
INSERT INTO query VALUES
	('SELECT o.id, d.status FROM other AS o LEFT JOIN STATUSES AS d ON d.id = o.id WHERE d.status = ''failed'''),
	('SELECT o.id, d.status FROM other AS o LEFT JOIN STATUSES AS d ON d.id = o.id AND d.status = ''failed'''),
	('SELECT o.id, d.status FROM other AS o LEFT JOIN STATUSES AS d ON d.id = o.id AND d.status = ''queued'' WHERE d.status = ''failed'' OR d.id IS NULL'),
	('SELECT o.id, d.status FROM STATUSES AS d FULL JOIN other AS o ON d.id = o.id WHERE d.status = ''failed'''),
	('SELECT a.id, b.status FROM STATUSES AS a JOIN STATUSES AS b ON a.id = b.id + 1 WHERE a.status = ''failed'''),
	('SELECT a.id, b.id AS b FROM STATUSES AS a JOIN STATUSES AS b ON a.status = b.status WHERE a.status = ''queued'''),
	('SELECT id FROM other AS o WHERE EXISTS (SELECT FROM STATUSES AS d WHERE d.id = o.id AND d.status = ''failed'')'),
	('SELECT id, (SELECT status FROM STATUSES AS d WHERE d.id = o.id AND d.status = ''expired'') AS s FROM other AS o'),
	('SELECT status, count(*) FROM STATUSES WHERE status = ''failed'' GROUP BY ROLLUP (status)'),
	('SELECT status, count(*) FROM STATUSES GROUP BY status HAVING status = ''failed'''),
	('SELECT s.status, s.n FROM (SELECT status, count(*) AS n FROM STATUSES GROUP BY status) AS s WHERE s.status IN (''failed'', ''expired'')'),
	('SELECT id FROM (SELECT * FROM STATUSES ORDER BY id DESC LIMIT 8) AS d WHERE status = ''failed'''),
	('SELECT DISTINCT ON (status) status, id FROM STATUSES WHERE status = ''failed'' ORDER BY status, id DESC'),
	('SELECT id, status = ''queued'' AS waits FROM STATUSES WHERE status = ''failed'''),
	('SELECT id FROM STATUSES WHERE status = ''failed'' UNION ALL SELECT id FROM STATUSES WHERE status = ''queued'''),
	('SELECT id, count(*) OVER (PARTITION BY status) AS n FROM STATUSES WHERE status = ''failed''');
SELECT query FROM query WHERE rows_of(query, 'pinterest_capi.dispatch_status') IS DISTINCT FROM rows_of(query, 'plain');

-- a parameter, with a plan for its value and with one for all
PREPARE with_status(text) AS SELECT id, status FROM pinterest_capi.dispatch_status WHERE status = $1 ORDER BY id;
SET plan_cache_mode = force_custom_plan;
EXECUTE with_status('failed');
EXECUTE with_status('queued');
SET plan_cache_mode = force_generic_plan;
EXECUTE with_status('failed');
EXECUTE with_status('queued');
RESET plan_cache_mode;

-- who may only look finds them too
CREATE ROLE regress_status_reader;
SELECT pinterest_capi.grant_access('regress_status_reader', 'monitor');
SET ROLE regress_status_reader;
SELECT id, status FROM pinterest_capi.dispatch_status WHERE status = 'failed' ORDER BY id DESC LIMIT 1;
SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status = 'queued';
RESET ROLE;

DROP TABLE plain, form, other, query;
DROP FUNCTION rows_of, is_by_column;
DROP EXTENSION pinterest_capi;
DROP OWNED BY regress_status_reader;
DROP ROLE regress_status_reader;
