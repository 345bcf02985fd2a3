/*
 * doctor.sql
 *	  doctor(): what keeps events from leaving, and what to do about it.
 *
 * A check is a SELECT of its own in _doctor; the thresholds stand there and
 * nowhere else.  It changes nothing and asks nobody: whether Pinterest can be
 * reached is what the worker saw last.
 */

------------------------------------------------------------------------------
-- Facts that the caller has no right to read
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi._server_state(OUT version text, OUT preloaded boolean, OUT dispatch boolean,
		OUT log_suppressed boolean, OUT retention text, OUT worker_slots integer, OUT workers integer) RETURNS record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'pcapi_sql_server_state';
COMMENT ON FUNCTION pinterest_capi._server_state() IS
	'internal: this library, its settings, and how many background workers there may be and are';

CREATE VIEW pinterest_capi._destination_facts AS
	SELECT d.destination, r.status, r.reason, d.test_mode, d.max_event_age,
		d.tag_id IS NOT NULL AND d.ad_account_id IS NOT NULL AS has_ids,
		x.destination IS NOT NULL AS has_token,
		CASE WHEN d.api_url = 'https://api.pinterest.com/v5' THEN 'Pinterest' ELSE 'The server at ' || d.api_url END AS api,
		d.api_url <> 'https://api.pinterest.com/v5' AS stand_in,
		s.last_sent_at,
		-- errors that last; one that is over is no fact
		CASE WHEN s.paused_at IS NOT NULL THEN s.paused_reason
			WHEN s.failing_since IS NOT NULL THEN coalesce(s.backoff_reason, s.last_error) END AS fault,
		(SELECT e.created_at FROM pinterest_capi._event AS e WHERE e.id = LEAST(
			(SELECT v.id FROM pinterest_capi._event AS v
				WHERE v.id > s.done_below AND v.id < 9223372036854775807 AND v.dest + 0 = s.dest
					AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = v.id)
				ORDER BY v.id LIMIT 1),
			(SELECT q.id FROM pinterest_capi._retry AS q
				WHERE q.dest = s.dest AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = q.id OFFSET 0)
				ORDER BY q.dest, q.id LIMIT 1))) AS oldest_at,
		(SELECT count(*) FROM pinterest_capi.allowed_event AS a WHERE a.destination = d.destination) AS allowed
	FROM pinterest_capi.destination AS d
		JOIN pinterest_capi._readiness AS r ON r.destination = d.destination
		LEFT JOIN pinterest_capi._destination_state AS s ON s.destination = d.destination
		LEFT JOIN pinterest_capi._secret AS x ON x.destination = d.destination;
COMMENT ON VIEW pinterest_capi._destination_facts IS
	'internal: what doctor() looks at of each destination';

CREATE VIEW pinterest_capi._handover AS
	SELECT EXISTS (SELECT FROM pinterest_capi._publishing) AS publishing,
		EXISTS (SELECT FROM pinterest_capi._subscriber AS u
			JOIN pg_catalog.pg_replication_slots AS l ON l.slot_name = u.slot) AS subscribed;
COMMENT ON VIEW pinterest_capi._handover IS
	'internal: whether another server sends this database''s events, and whether there is one';

CREATE VIEW pinterest_capi._dispatching AS
	SELECT s.subname::pg_catalog.text AS subscription, s.subenabled AS enabled, s.subslotname IS NOT NULL AS has_slot,
		EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r WHERE r.srsubid = s.oid
			AND r.srrelid IN ('pinterest_capi._event'::pg_catalog.regclass, 'pinterest_capi._call'::pg_catalog.regclass)) AS takes_events,
		EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r
			WHERE r.srsubid = s.oid AND r.srrelid = 'pinterest_capi._call'::pg_catalog.regclass) AS is_source,
		t.last_msg_receipt_time AS heard_at,
		GREATEST(pg_catalog.pg_wal_lsn_diff(t.received_lsn, t.latest_end_lsn), 0) AS unconfirmed
	FROM pg_catalog.pg_subscription AS s
		LEFT JOIN pg_catalog.pg_stat_subscription AS t ON t.subid = s.oid AND t.relid IS NULL AND t.pid IS NOT NULL
	WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
		AND 'pinterest_capi' = ANY (s.subpublications);
COMMENT ON VIEW pinterest_capi._dispatching IS
	'internal: subscriptions by which other servers'' events come here';

-- Events that are not sent, or not settled, since something is wrong with their rows: one
-- that cannot be read (worker/sender.c), one whose outcome cannot be written
-- (queue/settle.c), one of _retry whose row of _event is missing.  Of those that wait for their time it
-- looks at the first ones: what cannot be read is put off again and again, by few minutes.
CREATE VIEW pinterest_capi._stuck AS
	SELECT d.destination, u.id, u.what
	FROM pinterest_capi._destination_state AS d
		CROSS JOIN LATERAL (
			SELECT q.id, q.error AS what
			FROM (SELECT w.id, w.error FROM pinterest_capi._retry AS w
				WHERE w.dest = d.dest AND w.due_at IS NOT NULL ORDER BY w.dest, w.due_at LIMIT 5000) AS q
			WHERE q.error LIKE 'payload cannot be read%'
				AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = q.id OFFSET 0)
			UNION ALL
			SELECT i.id, 'its outcome is known and cannot be written down: ' || l.problem
			FROM pinterest_capi._lease AS l CROSS JOIN LATERAL unnest(l.ids) AS i (id)
			WHERE l.dest = d.dest AND l.problem IS NOT NULL
			UNION ALL
			(SELECT q.id, 'it waits, and its row in _event is missing' FROM pinterest_capi._retry AS q
			WHERE q.dest = d.dest AND q.id = (SELECT min(f.id) FROM pinterest_capi._retry AS f WHERE f.dest = d.dest)
				AND NOT EXISTS (SELECT FROM pinterest_capi._event AS e WHERE e.id = q.id))) AS u;
COMMENT ON VIEW pinterest_capi._stuck IS
	'internal: events that cannot be read or written, and why';

-- The hours of the statistics that belong to the last day, so at most 25 of them.
CREATE VIEW pinterest_capi._last_day AS
	SELECT n.destination, nullif(c.event_name, '') AS event_name, c.status, c.reason, sum(c.events) AS events,
		sum(c.em) AS em, sum(c.ph) AS ph, sum(c.click_id) AS click_id, sum(c.external_id) AS external_id,
		sum(c.hashed_maids) AS hashed_maids, sum(c.matchable) AS matchable
	FROM pinterest_capi._counted_hour AS c
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = c.dest
	WHERE c.hour >= pg_catalog.date_trunc('hour', pg_catalog.statement_timestamp() - interval '1 day', 'UTC')
	GROUP BY 1, 2, 3, 4
	HAVING sum(c.events) > 0;
COMMENT ON VIEW pinterest_capi._last_day IS
	'internal: how many events were tracked in the last day, what became of them, and how many carry each identifier';

-- The statistics have neither messages nor the names of events that are not allowed.  Both
-- are of others, so there may be any number of them: few rows are read, from the end of an index.
CREATE VIEW pinterest_capi._newest_not_sent AS
	SELECT n.destination, o.status, o.reason, o.error, e.event_name, count(*) AS events
	FROM unnest('{failed,rejected,suppressed}'::text[]) AS w (status)
		CROSS JOIN LATERAL (
			SELECT f.id, f.dest, f.status, f.reason, f.error FROM pinterest_capi._outcome AS f
			WHERE f.status = w.status AND f.status <> 'sent' AND f.finished_at > pg_catalog.statement_timestamp() - interval '1 day'
			ORDER BY f.id DESC LIMIT 1000) AS o
		JOIN pinterest_capi._event AS e ON e.id = o.id
		LEFT JOIN pinterest_capi._destination_state AS n ON n.dest = o.dest
	GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW pinterest_capi._newest_not_sent IS
	'internal: of the newest events of the last day that failed, and of those that were stopped, the message and the name';

CREATE VIEW pinterest_capi._oldest_final AS
	SELECT o.finished_at FROM pinterest_capi._outcome AS o ORDER BY o.id LIMIT 1;
COMMENT ON VIEW pinterest_capi._oldest_final IS
	'internal: when the oldest of the final events became so';

CREATE FUNCTION pinterest_capi._trigger_faults(relation oid, trigger oid, roles oid[],
		OUT event_name text, OUT key text, OUT fault text, OUT hint text) RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_trigger_faults';
COMMENT ON FUNCTION pinterest_capi._trigger_faults(oid, oid, oid[]) IS
	'internal: what is wrong with a track_trigger trigger, also for these roles; at least one row, without a fault where there is none';

CREATE FUNCTION pinterest_capi._written_directly(relation oid) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_written_directly';
COMMENT ON FUNCTION pinterest_capi._written_directly(oid) IS
	'internal: whether a table of the queue or of visitors is as the install script made it, so that rows are written without a statement; true for any other';

CREATE VIEW pinterest_capi._allowed_name AS
	SELECT DISTINCT pinterest_capi._fold(a.event_name) AS folded FROM pinterest_capi.allowed_event AS a;
COMMENT ON VIEW pinterest_capi._allowed_name IS
	'internal: the names of the events that some destination allows, as they are compared';

CREATE VIEW pinterest_capi._trigger AS
	SELECT t.oid, t.tgrelid, t.tgparentid, t.tgname, t.tgenabled = 'D' AS disabled,
		-- roles that may fire it; rows of partitions are written by way of their table
		CASE WHEN t.tgparentid <> 0 THEN '{}'::oid[] ELSE
			ARRAY(SELECT DISTINCT a.grantee FROM pg_catalog.aclexplode(c.relacl) AS a
				WHERE a.grantee NOT IN (0::oid, c.relowner)
					AND (a.privilege_type = 'INSERT' AND t.tgtype & 4 <> 0 OR a.privilege_type = 'DELETE' AND t.tgtype & 8 <> 0
						OR a.privilege_type = 'UPDATE' AND t.tgtype & 16 <> 0))
			END AS writers
	FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
	WHERE t.tgfoid = 'pinterest_capi.track_trigger()'::pg_catalog.regprocedure;
COMMENT ON VIEW pinterest_capi._trigger IS
	'internal: the triggers of this database that track';

------------------------------------------------------------------------------
-- The checks
------------------------------------------------------------------------------

-- UNSAFE, as all that calls it: expressions and payloads are tried in subtransactions.
-- To compile so many expressions would take seconds, and each is used for a few rows.
CREATE FUNCTION pinterest_capi._doctor(destination text) RETURNS TABLE ("check" text, status text, advice text)
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET jit = off
BEGIN ATOMIC
	WITH server AS MATERIALIZED (
		SELECT s.*, h.*, pg_catalog.pg_is_in_recovery() AS standby, pinterest_capi._hold_reason() AS hold,
			EXISTS (SELECT FROM pinterest_capi._destination_facts AS f WHERE f.status = 'ready' AND f.oldest_at IS NOT NULL) AS waiting
		FROM pinterest_capi._server_state() AS s CROSS JOIN pinterest_capi._handover AS h
	), worker AS MATERIALIZED (
		SELECT w.* FROM pinterest_capi._worker_state() AS w
	), destinations AS MATERIALIZED (
		SELECT f.*, '"' || f.destination || '"' AS name, pg_catalog.quote_literal(f.destination) AS literal
		FROM pinterest_capi._destination_facts AS f
		WHERE _doctor.destination IS NULL OR f.destination = _doctor.destination
	), last_day AS MATERIALIZED (
		SELECT l.* FROM pinterest_capi._last_day AS l
		WHERE _doctor.destination IS NULL OR l.destination IS NULL OR l.destination = _doctor.destination
	), newest AS MATERIALIZED (
		SELECT n.* FROM pinterest_capi._newest_not_sent AS n
	), owner AS MATERIALIZED (
		SELECT c.relowner AS oid FROM pg_catalog.pg_class AS c WHERE c.oid = 'pinterest_capi._event'::regclass
	), tables AS MATERIALIZED (
		SELECT c.oid, c.relname, c.relowner, c.relacl FROM pg_catalog.pg_class AS c
		WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND c.relkind = 'r'
	), indexes AS MATERIALIZED (
		SELECT t.relname, i.indexrelid, i.indisvalid AND i.indisready AS usable, i.indisunique AND i.indpred IS NULL AS is_unique,
			-- without the quotes of quote_all_identifiers
			ARRAY(SELECT replace(replace(pg_get_indexdef(i.indexrelid, k, true), '"', ''), 'pinterest_capi.', '')
				FROM generate_series(1, i.indnkeyatts) AS g (k) ORDER BY k) AS keys,
			ARRAY(SELECT replace(replace(pg_get_indexdef(i.indexrelid, k, true), '"', ''), 'pinterest_capi.', '')
				FROM generate_series(1, i.indnatts) AS g (k) ORDER BY k) AS columns,
			-- an index is being built, or the table is being vacuumed
			EXISTS (SELECT FROM pg_catalog.pg_locks AS l
				WHERE l.relation = t.oid AND l.mode = 'ShareUpdateExclusiveLock'
					AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())) AS busy
		FROM tables AS t JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
	), wanted AS MATERIALIZED (
		SELECT w.*, EXISTS (SELECT FROM indexes AS i
				WHERE i.relname = w.relname AND w.keys IN (i.keys, i.columns) AND i.usable AND (i.is_unique OR NOT w.is_unique)) AS found,
			(SELECT min(i.indexrelid::regclass::text) FROM indexes AS i
				WHERE i.relname = w.relname AND w.keys IN (i.keys, i.columns) AND NOT i.usable AND (i.is_unique OR NOT w.is_unique)) AS unusable
		FROM (VALUES ('destination', '{destination}'::text[], true, 'ALTER TABLE pinterest_capi.destination ADD PRIMARY KEY (destination)'),
			('_destination_state', '{dest}', true, 'ALTER TABLE pinterest_capi._destination_state ADD PRIMARY KEY (dest)'),
			('_destination_state', '{destination}', true, 'ALTER TABLE pinterest_capi._destination_state ADD UNIQUE (destination)'),
			('_secret', '{destination}', true, 'ALTER TABLE pinterest_capi._secret ADD PRIMARY KEY (destination)'),
			('allowed_event', '{destination,_fold(event_name)}', true, 'CREATE UNIQUE INDEX allowed_event_key ON pinterest_capi.allowed_event (destination, pinterest_capi._fold(event_name))'),
			('allowed_event', '{_fold(event_name)}', false, 'CREATE INDEX allowed_event_name ON pinterest_capi.allowed_event (pinterest_capi._fold(event_name) COLLATE "C")'),
			('consent_rule', '{name}', true, 'ALTER TABLE pinterest_capi.consent_rule ADD PRIMARY KEY (name)'),
			('consent_rule', '{destination}', false, 'CREATE INDEX consent_rule_destination ON pinterest_capi.consent_rule (destination)'),
			('_visitor', '{visitor}', true, 'ALTER TABLE pinterest_capi._visitor ADD PRIMARY KEY (visitor)'),
			('_suppression', '{hash}', true, 'ALTER TABLE pinterest_capi._suppression ADD PRIMARY KEY (hash)'),
			('_erasure', '{erasure}', true, 'ALTER TABLE pinterest_capi._erasure ADD PRIMARY KEY (erasure)'),
			('_event', '{id}', true, 'ALTER TABLE pinterest_capi._event ADD PRIMARY KEY (id) INCLUDE (dest)'),
			('_event', '{id,dest}', false, 'CREATE UNIQUE INDEX CONCURRENTLY _event_id ON pinterest_capi._event (id) INCLUDE (dest)'),
			('_event', '{event_id,event_name,dest}', true, 'CREATE UNIQUE INDEX CONCURRENTLY _event_dedup ON pinterest_capi._event (event_id, event_name COLLATE "C", dest)'),
			('_event', '{created_at}', false, 'CREATE INDEX CONCURRENTLY _event_created ON pinterest_capi._event USING brin (created_at) WITH (pages_per_range = 64, autosummarize = on)'),
			('_retry', '{dest,id}', true, 'ALTER TABLE pinterest_capi._retry ADD PRIMARY KEY (dest, id)'),
			('_retry', '{dest,due_at}', false, 'CREATE INDEX CONCURRENTLY _retry_due ON pinterest_capi._retry (dest, due_at) WHERE due_at IS NOT NULL'),
			('_outcome', '{id}', true, 'ALTER TABLE pinterest_capi._outcome ADD PRIMARY KEY (id)'),
			('_outcome', '{finished_at}', false, 'CREATE INDEX CONCURRENTLY _outcome_finished ON pinterest_capi._outcome USING brin (finished_at) WITH (pages_per_range = 16, autosummarize = on)'),
			('_outcome', '{status,id,finished_at}', false, 'CREATE INDEX CONCURRENTLY _outcome_not_sent ON pinterest_capi._outcome (status, id, finished_at) WHERE status <> ''sent'''),
			('_statistics', '{hour,dest,event_name,status,sent_as,reason,test_mode,currency}', true, 'CREATE UNIQUE INDEX CONCURRENTLY _statistics_key ON pinterest_capi._statistics (hour, dest, event_name, status, sent_as, reason, test_mode, currency) NULLS NOT DISTINCT'),
			('_statistics', '{dest,hour}', false, 'CREATE INDEX CONCURRENTLY _statistics_waiting ON pinterest_capi._statistics (dest, hour) WHERE status IN (''queued'', ''retrying'')'),
			('_statistics_day', '{day,dest,event_name,status,sent_as,reason,test_mode,currency}', true, 'CREATE UNIQUE INDEX CONCURRENTLY _statistics_day_key ON pinterest_capi._statistics_day (day, dest, event_name, status, sent_as, reason, test_mode, currency) NULLS NOT DISTINCT'),
			('_statistics_day', '{dest,day}', false, 'CREATE INDEX CONCURRENTLY _statistics_day_waiting ON pinterest_capi._statistics_day (dest, day) WHERE status IN (''queued'', ''retrying'')'),
			('_dropped', '{dest}', true, 'ALTER TABLE pinterest_capi._dropped ADD PRIMARY KEY (dest)'),
			('_lease', '{lease}', true, 'ALTER TABLE pinterest_capi._lease ADD PRIMARY KEY (lease)'),
			('_worker', '{pid}', true, 'ALTER TABLE pinterest_capi._worker ADD PRIMARY KEY (pid)'),
			('_subscriber', '{slot}', true, 'ALTER TABLE pinterest_capi._subscriber ADD PRIMARY KEY (slot)')) AS w (relname, keys, is_unique, make)
	), table_faults (of, status, advice) AS MATERIALIZED (
		SELECT w.relname, CASE WHEN w.is_unique THEN 'error' ELSE 'warning' END,
			CASE WHEN w.unusable IS NOT NULL
				THEN format('The index %s of pinterest_capi.%I is not valid, so %s: REINDEX INDEX CONCURRENTLY %1$s;', w.unusable, w.relname,
					CASE WHEN w.is_unique THEN 'rows may be there twice, and are searched for slowly' ELSE 'rows are searched for slowly' END)
				ELSE format('pinterest_capi.%I has no %sindex on %s, so %s: %s;', w.relname, CASE WHEN w.is_unique THEN 'unique ' END, array_to_string(w.keys, ', '),
					CASE WHEN w.is_unique THEN 'rows may be there twice, and are searched for slowly' ELSE 'rows are searched for slowly' END, w.make) END
		FROM wanted AS w
		WHERE NOT w.found
			-- without the key, that dest is not beside it is no fault of its own
			AND (w.keys <> '{id,dest}' OR EXISTS (SELECT FROM wanted AS k WHERE k.relname = w.relname AND k.keys = '{id}' AND k.found))
		UNION ALL
		SELECT i.relname, 'warning',
			format('The index %s is not valid: it was left by a statement that was cut off, and costs each write: DROP INDEX CONCURRENTLY %1$s;', i.indexrelid::regclass)
		FROM indexes AS i
		WHERE NOT i.usable AND NOT i.busy
			AND NOT EXISTS (SELECT FROM wanted AS w WHERE NOT w.found AND w.unusable = i.indexrelid::regclass::text)
		UNION ALL
		SELECT t.relname, 'warning',
			format('pinterest_capi.%I is not as the extension made it (columns, defaults, constraints, triggers, rules, row security, partitions or indexes), so its rows are written by statements, which respects what was added and takes longer. If nothing was to be added, \d pinterest_capi.%1$I shows what to take back.', t.relname)
		FROM tables AS t
		WHERE NOT pinterest_capi._written_directly(t.oid)
		UNION ALL
		SELECT '_event_id_seq', 'error',
			'Ids are not drawn one by one in ascending order, so the worker may take an event for done that comes later, and never send it: ALTER SEQUENCE pinterest_capi._event_id_seq CACHE 1 INCREMENT 1 NO CYCLE;'
		FROM pg_catalog.pg_sequence AS q
		WHERE q.seqrelid = 'pinterest_capi._event_id_seq'::regclass AND (q.seqcache <> 1 OR q.seqincrement <> 1 OR q.seqcycle)
	), triggers AS MATERIALIZED (
		SELECT t.tgname, t.tgrelid, t.disabled, f.*
		FROM pinterest_capi._trigger AS t
			CROSS JOIN LATERAL pinterest_capi._trigger_faults(t.tgrelid, t.oid, t.writers) AS f
		-- a partition's copy of the trigger has the same mapping, and mostly the same faults
		WHERE t.tgparentid = 0 OR f.fault IS NOT NULL AND NOT EXISTS (
			SELECT FROM pinterest_capi._trigger AS o
				CROSS JOIN LATERAL pinterest_capi._trigger_faults(o.tgrelid, o.oid, o.writers) AS g
			WHERE o.tgname = t.tgname AND g.key = f.key
				AND o.tgrelid = pg_catalog.pg_partition_root(t.tgrelid))
	), checks (place, "check", of, status, advice) AS (

		SELECT 1, 'library', '',
			CASE WHEN s.version <> x.extversion OR w.version <> s.version THEN 'warning' ELSE 'ok' END,
			CASE WHEN s.version <> x.extversion
				THEN format('This session runs the library of version %s, the extension is version %s: ALTER EXTENSION pinterest_capi UPDATE; then connect anew, and restart the server where the library is preloaded.', s.version, x.extversion)
				WHEN w.version <> s.version
				THEN format('The worker still runs the library of version %s, this session that of %s: SELECT pg_terminate_backend(%s); it starts anew.', w.version, s.version, w.pid)
				ELSE format('Version %s is loaded.', s.version) END
		FROM server AS s
			JOIN pg_catalog.pg_extension AS x ON x.extname = 'pinterest_capi'
			LEFT JOIN worker AS w ON true

		UNION ALL
		SELECT 2, 'preload', '', 'ok',
			CASE WHEN s.preloaded THEN 'The library is preloaded: a worker runs from server start.'
				ELSE 'The library is not preloaded, which is optional: after a restart of the server the worker starts with the next event. To have it from the start, add pinterest_capi to shared_preload_libraries and restart.' END
		FROM server AS s

		UNION ALL
		SELECT 3, 'worker', '',
			CASE WHEN s.standby THEN 'ok'
				WHEN w.state = 'read-only' THEN 'error'
				WHEN w.pid IS NULL AND s.workers < s.worker_slots AND NOT s.waiting THEN 'ok'
				WHEN w.pid IS NULL OR w.last_cycle_at < pg_catalog.clock_timestamp() - interval '1 minute' THEN 'error'
				WHEN w.last_error_at > pg_catalog.clock_timestamp() - interval '5 minutes' THEN 'warning'
				ELSE 'ok' END,
			CASE WHEN s.standby THEN 'This server is a standby: nothing is sent from here. A worker starts after promotion.'
				WHEN w.state = 'read-only' THEN 'This server is read-only, so nothing is sent: ALTER SYSTEM SET default_transaction_read_only = off; SELECT pg_reload_conf();'
				WHEN w.pid IS NULL AND s.workers >= s.worker_slots THEN 'No worker runs, since no slot is free for it: see slots.'
				WHEN w.pid IS NULL AND NOT s.waiting THEN 'No worker runs, and nothing waits for one: it starts with the next event.'
				WHEN w.pid IS NULL THEN 'No worker runs, though events wait: SELECT pinterest_capi.flush(); starts one; if it does not stay, the server''s log says why.'
				WHEN w.last_cycle_at < pg_catalog.clock_timestamp() - interval '1 minute'
				THEN format('The worker (pid %s) has not looked for work since %s. If it hangs in a lock or a file system, see pg_stat_activity, then SELECT pg_terminate_backend(%s); it starts anew.', w.pid, date_trunc('second', w.last_cycle_at), w.pid)
				WHEN w.last_error_at > pg_catalog.clock_timestamp() - interval '5 minutes'
				THEN format('The worker (pid %s) could not do something at %s: %s. It tries again by itself; the server''s log has the details.', w.pid, date_trunc('second', w.last_error_at), w.last_error)
				ELSE format('The worker runs (pid %s, %s).', w.pid, w.state) END
		FROM server AS s LEFT JOIN worker AS w ON true

		UNION ALL
		SELECT 4, 'slots', '',
			CASE WHEN w.pid IS NULL AND NOT s.standby AND s.workers >= s.worker_slots THEN 'error' ELSE 'ok' END,
			CASE WHEN w.pid IS NULL AND NOT s.standby AND s.workers >= s.worker_slots
				THEN format('All %s background worker slots are taken: ALTER SYSTEM SET max_worker_processes = %s; and restart the server.', s.worker_slots, s.worker_slots + 8)
				ELSE format('%s of %s background worker slots are in use.', s.workers, s.worker_slots) END
		FROM server AS s LEFT JOIN worker AS w ON true

		UNION ALL
		SELECT 5, 'dispatch', '',
			CASE WHEN CASE WHEN s.publishing THEN s.subscribed ELSE s.dispatch AND s.hold IS NULL END THEN 'ok' ELSE 'error' END,
			CASE WHEN s.publishing AND s.subscribed THEN 'Another server sends what is published here: see doctor() there.'
				WHEN s.publishing THEN 'This database''s events are published, and no dispatcher has subscribed: on the one that is to send, SELECT pinterest_capi.subscribe(''CONNECTION'', ''NAME'');'
				WHEN s.hold LIKE '% is not named in %'
				THEN format('Nothing is sent, since %s. If this host is to send, name it: ALTER SYSTEM SET pinterest_capi.senders = ''HOST, ...''; SELECT pg_reload_conf();', s.hold)
				WHEN s.hold LIKE 'the subscription %'
				THEN format('Nothing is sent, since %s, as a replica of another server''s, which sends. After the switch-over, DROP SUBSCRIPTION has this server send; for a subscription that is to stay, leave the schema pinterest_capi out of its publication.', s.hold)
				WHEN s.hold IS NOT NULL
				THEN format('Nothing is sent, since %s. If it is the server that is to send, and the other one does not: SELECT pinterest_capi.resume_destination(%s); which sends what waits; cancel() before it takes out what is not to go again.', s.hold, (SELECT quote_literal(min(f.destination)) FROM pinterest_capi._destination_facts AS f))
				WHEN s.dispatch THEN 'This server sends.'
				ELSE 'pinterest_capi.dispatch is off, so this server only enqueues. If it is meant to send: ALTER SYSTEM SET pinterest_capi.dispatch = on; SELECT pg_reload_conf();' END
		FROM server AS s

		UNION ALL
		SELECT 5, 'subscription', b.subscription,
			CASE WHEN NOT b.takes_events OR NOT b.has_slot OR NOT b.enabled THEN 'error'
				WHEN b.is_source AND b.heard_at IS NULL THEN 'warning' ELSE 'ok' END,
			CASE
				WHEN NOT b.takes_events OR NOT b.has_slot
				THEN format('The subscription %I takes no events: a dump or pg_upgrade has brought it. Never enable it. ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I; on the other server, where its slot keeps WAL, SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ %L; here SELECT pinterest_capi.subscribe(''CONNECTION'', %L); then there SELECT pinterest_capi.publish(since => now() - interval ''1 day'');',
					b.subscription, '^pinterest_capi_' || b.subscription || '_[0-9a-f]{8}$', b.subscription)
				WHEN NOT b.enabled
				THEN format('The subscription %I is disabled, so the other server''s events wait there: ALTER SUBSCRIPTION %1$I ENABLE;', b.subscription)
				WHEN b.is_source AND b.heard_at IS NULL
				THEN format('The subscription %I takes the calls of a source and is not connected, so they wait there and its server keeps WAL: this server''s log says why.', b.subscription)
				WHEN b.is_source
				THEN format('The subscription %I takes the calls of a source: last heard of it %s s ago, %s bytes of its WAL received and not confirmed yet.', b.subscription,
					pg_catalog.round(GREATEST(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - b.heard_at), 0)), b.unconfirmed)
				ELSE format('The subscription %I takes the events of another server.', b.subscription) END
		FROM pinterest_capi._dispatching AS b

		UNION ALL
		SELECT 6, 'destination', '', 'error',
			'There is no destination: SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', ''AD ACCOUNT ID'');'
		WHERE NOT EXISTS (SELECT FROM destinations)

		UNION ALL
		SELECT 6, 'destination', d.destination,
			CASE WHEN d.status = 'disabled' OR d.status = 'ready' AND d.test_mode THEN 'warning'
				WHEN d.status = 'ready' THEN 'ok' ELSE 'error' END,
			CASE
				WHEN d.status = 'disabled'
				THEN format('%s is disabled, its events wait: UPDATE pinterest_capi.destination SET enabled = true WHERE destination = %s;', d.name, d.literal)
				WHEN d.status = 'not ready' AND NOT d.has_ids
				THEN format('%s lacks an id (%s): SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', ''AD ACCOUNT ID'', destination => %s); both ids are in Pinterest Ads Manager.', d.name, d.reason, d.literal)
				WHEN d.status = 'not ready' AND NOT d.has_token THEN format('%s has no access token: see token.', d.name)
				WHEN d.status = 'not ready' THEN format('%s waits, as nothing is sent from this server: see dispatch.', d.name)
				WHEN d.status = 'paused' AND d.fault = 'by pause_destination'
				THEN format('Somebody paused %s, its events wait: SELECT pinterest_capi.resume_destination(%s);', d.name, d.literal)
				WHEN d.status = 'paused'
				THEN format('%s is paused, its events wait: %s. Remedy that, then SELECT pinterest_capi.resume_destination(%s);', d.name, d.fault, d.literal)
				WHEN d.test_mode
				THEN format('%s is in test mode, Pinterest checks its events and discards them. When all is well: UPDATE pinterest_capi.destination SET test_mode = false WHERE destination = %s;', d.name, d.literal)
				WHEN d.stand_in
				THEN format('%s is ready. %s gets its events, not Pinterest: if that is to change, UPDATE pinterest_capi.destination SET api_url = DEFAULT WHERE destination = %s;', d.name, d.api, d.literal)
				ELSE format('%s is ready.', d.name) END
		FROM destinations AS d

		UNION ALL
		SELECT 7, 'token', d.destination,
			CASE WHEN s.publishing THEN 'ok' WHEN NOT d.has_token OR d.fault ~ E'^HTTP 40[13]\\M' OR d.fault LIKE '%access token file%' THEN 'error' ELSE 'ok' END,
			CASE
				WHEN s.publishing THEN 'The token of the server that sends is what counts.'
				WHEN NOT d.has_token
				THEN format('%s has no access token; a dump carries none: SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', destination => %s);', d.name, d.literal)
				WHEN d.fault ~ E'^HTTP 401\\M'
				THEN format('%s refuses the token of %s (%s). Create a new one in Ads Manager, then SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', destination => %s);', d.api, d.name, d.fault, d.literal)
				WHEN d.fault ~ E'^HTTP 403\\M'
				THEN format('The token of %s may not write to its ad account (%s). Check the account''s permissions and id, then SELECT pinterest_capi.resume_destination(%s);', d.name, d.fault, d.literal)
				WHEN d.fault LIKE '%access token file%'
				THEN format('The token of %s can''t be read (%s). The file must be readable for the server''s user; then SELECT pinterest_capi.resume_destination(%s);', d.name, d.fault, d.literal)
				WHEN d.last_sent_at IS NULL
				THEN format('%s has a token that has not been used yet: SELECT pinterest_capi.verify_destination(%s);', d.name, d.literal)
				ELSE format('%s takes the token of %s.', d.api, d.name) END
		FROM destinations AS d CROSS JOIN server AS s

		UNION ALL
		SELECT 8, 'connection', d.destination,
			CASE
				WHEN d.fault LIKE 'the server''s certificate was refused%' OR d.fault LIKE 'no request could be made%'
					OR d.fault LIKE 'no connection%' AND d.fault NOT LIKE '%access token file%'
					OR d.fault ~ E'^HTTP (3\\d\\d|404|511)\\M' OR d.fault ~ E'^HTTP 4\\d\\d in other words'
					OR d.fault LIKE '%times in a row%' THEN 'error'
				WHEN d.fault LIKE 'no complete answer%' OR d.fault ~ E'^HTTP (2\\d\\d|408|425|429|5\\d\\d)\\M' THEN 'warning'
				ELSE 'ok' END,
			CASE
				WHEN d.fault LIKE 'the server''s certificate was refused%'
				THEN format('TLS: %s. Behind a proxy of your own, name its authority: ALTER SYSTEM SET pinterest_capi.ca_file = ''/path/ca.pem''; SELECT pg_reload_conf(); else bring the package ca-certificates up to date. Then SELECT pinterest_capi.resume_destination(%s);', d.fault, d.literal)
				WHEN d.fault LIKE 'no request could be made%'
				THEN format('%s. Check pinterest_capi.ca_file and pinterest_capi.proxy, SELECT pg_reload_conf(); then SELECT pinterest_capi.resume_destination(%s);', d.fault, d.literal)
				WHEN d.fault ~ '^no connection: Could(n''t| not) resolve'
				THEN format('DNS: %s. Check name resolution on the database server, and pinterest_capi.proxy; the worker tries again by itself, and at once after SELECT pinterest_capi.resume_destination(%s);', d.fault, d.literal)
				WHEN d.fault LIKE 'no connection%' AND d.fault NOT LIKE '%access token file%'
				THEN format('%s. Check the firewall between the database server and the API, and pinterest_capi.proxy; the worker tries again by itself, and at once after SELECT pinterest_capi.resume_destination(%s);', d.fault, d.literal)
				WHEN d.fault ~ E'^HTTP 3\\d\\d\\M'
				THEN format('Something between here and Pinterest redirects (%s): a portal or a proxy. Mend the network, then SELECT pinterest_capi.resume_destination(%s);', d.fault, d.literal)
				WHEN d.fault ~ E'^HTTP 404\\M'
				THEN format('Pinterest knows no such ad account (%s): SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', ''AD ACCOUNT ID'', %s);', d.fault, d.literal)
				WHEN d.fault ~ E'^HTTP (4\\d\\d in other words|511\\M)'
				THEN format('Something between here and Pinterest refuses requests, such as a firewall or a proxy (%s): have it let them pass. Then SELECT pinterest_capi.resume_destination(%s);', d.fault, d.literal)
				WHEN d.fault LIKE '%times in a row%'
				THEN format('What answers is not the API as it is known (%s): a portal or a proxy, or a change of the API. See what comes as the server''s user: curl -v https://api.pinterest.com/v5. Then SELECT pinterest_capi.resume_destination(%s), which sends the events again, under the same event_id;', d.fault, d.literal)
				WHEN d.fault ~ E'^HTTP 429\\M'
				THEN format('Pinterest asks for fewer requests (%s). The worker waits as long as it is told; to stay below: UPDATE pinterest_capi.destination SET max_requests_per_minute = 1000 WHERE destination = %s;', d.fault, d.literal)
				WHEN d.fault LIKE 'no complete answer%' OR d.fault ~ E'^HTTP (2\\d\\d|408|425|5\\d\\d)\\M'
				THEN format('The API has trouble (%s). Nothing is lost: the worker tries again by itself, for as long as retry_for of %s.', d.fault, d.name)
				WHEN d.last_sent_at IS NULL
				THEN format('Nothing has been sent to %s yet: SELECT pinterest_capi.verify_destination(%s);', d.name, d.literal)
				ELSE format('The API took events of %s at %s.', d.name, date_trunc('second', d.last_sent_at)) END
		FROM destinations AS d

		UNION ALL
		SELECT 9, 'clock', '',
			CASE WHEN abs(extract(epoch FROM w.clock_ahead)) >= 60 THEN 'error'
				WHEN abs(extract(epoch FROM w.clock_ahead)) >= 10 OR f.events > 0 THEN 'warning'
				ELSE 'ok' END,
			CASE
				WHEN abs(extract(epoch FROM w.clock_ahead)) >= 10
				THEN format('This server''s clock is %s seconds %s that of the API, as of %s, and Pinterest judges an event by its time: have NTP set it (timedatectl set-ntp true).',
					round(abs(extract(epoch FROM w.clock_ahead))), CASE WHEN w.clock_ahead > interval '0' THEN 'ahead of' ELSE 'behind' END, date_trunc('second', w.clock_seen_at))
				WHEN f.events > 0
				THEN format('%s of the last day''s events were rejected, since their event_time is in the future: check the clock and the time zone of whoever gives it.', f.events)
				WHEN w.clock_ahead IS NULL THEN 'The worker compares clocks with each answer of the API; there was none since it started.'
				ELSE 'This server''s clock and the API''s agree.' END
		FROM (SELECT coalesce(sum(l.events), 0) AS events FROM last_day AS l WHERE l.reason = 'event time in the future') AS f
			LEFT JOIN worker AS w ON true

		UNION ALL
		SELECT 10, 'privileges', '',
			CASE WHEN p.lost IS NOT NULL OR p.closed IS NOT NULL OR p.open IS NOT NULL THEN 'error' ELSE 'ok' END,
			CASE
				WHEN p.lost IS NOT NULL
				THEN format('The extension''s owner, %s, may not read and write %s: GRANT ALL ON %s TO %1$s;', p.owner, p.lost, p.lost)
				WHEN p.closed IS NOT NULL
				THEN format('The extension''s owner, %s, lacks a right of its own, so events are not recorded: %s;', p.owner, p.closed)
				WHEN p.open IS NOT NULL
				THEN format('Others than the extension''s owner may read internal tables: REVOKE ALL ON %s FROM PUBLIC, %s;', p.open, p.strangers)
				ELSE format('The owner, %s, has what is needed. You, %s, have the levels: %s.',
					p.owner, quote_ident(current_user), p.levels) END
		FROM (SELECT o.oid::regrole::text AS owner,
				(SELECT string_agg(DISTINCT t.oid::regclass::text, ', ') FROM tables AS t,
						unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
					WHERE NOT has_table_privilege(o.oid, t.oid, wanted)) AS lost,
				nullif(concat_ws('; ',
					CASE WHEN NOT has_schema_privilege(o.oid, 'pinterest_capi', 'USAGE') THEN format('GRANT USAGE ON SCHEMA pinterest_capi TO %s', o.oid::regrole) END,
					(SELECT format('GRANT USAGE ON SEQUENCE %s TO %s', string_agg(c.oid::regclass::text, ', '), o.oid::regrole) FROM pg_catalog.pg_class AS c
						WHERE c.relnamespace = 'pinterest_capi'::regnamespace AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(o.oid, c.oid, 'USAGE') END
						HAVING count(*) > 0),
					(SELECT format('GRANT EXECUTE ON FUNCTION %s TO %s', string_agg(f.oid::regprocedure::text, ', '), o.oid::regrole) FROM pg_catalog.pg_proc AS f
						WHERE f.pronamespace = 'pinterest_capi'::regnamespace AND NOT has_function_privilege(o.oid, f.oid, 'EXECUTE')
						HAVING count(*) > 0)), '') AS closed,
				(SELECT string_agg(DISTINCT t.oid::regclass::text, ', ') FROM tables AS t, aclexplode(t.relacl) AS a
					WHERE t.relname LIKE E'\\_%' AND a.grantee <> t.relowner) AS open,
				(SELECT string_agg(DISTINCT a.grantee::regrole::text, ', ') FROM tables AS t, aclexplode(t.relacl) AS a
					WHERE t.relname LIKE E'\\_%' AND a.grantee <> t.relowner AND a.grantee <> 0) AS strangers,
				concat_ws(', ',
					CASE WHEN has_function_privilege('pinterest_capi.identify(text, jsonb, jsonb)', 'EXECUTE') THEN 'track' END,
					'monitor',
					CASE WHEN has_function_privilege('pinterest_capi.cancel(text, text)', 'EXECUTE') THEN 'operate' END,
					CASE WHEN has_function_privilege('pinterest_capi.drop_destination(text)', 'EXECUTE') THEN 'configure' END) AS levels
			FROM owner AS o) AS p

		UNION ALL
		SELECT 10, 'tables', f.of, f.status, f.advice FROM table_faults AS f

		UNION ALL
		SELECT 10, 'tables', '', 'ok', 'The extension''s tables and their indexes are as it made them.'
		WHERE NOT EXISTS (SELECT FROM table_faults)

		UNION ALL
		SELECT 11, 'oldest event', d.destination,
			CASE WHEN d.oldest_at < clock_timestamp() - greatest(d.max_event_age - interval '1 day', d.max_event_age / 2) THEN 'error'
				WHEN d.oldest_at < clock_timestamp() - interval '15 minutes' THEN 'warning'
				ELSE 'ok' END,
			CASE
				WHEN d.oldest_at < clock_timestamp() - interval '15 minutes'
				THEN format('The oldest event for %s waits since %s; at an age of %s it expires. What it waits for: SELECT reason, count(*) FROM pinterest_capi.dispatch_status WHERE destination = %s AND status IN (''queued'', ''retrying'') GROUP BY 1;', d.name, date_trunc('second', d.oldest_at), d.max_event_age, d.literal)
				WHEN d.oldest_at IS NOT NULL THEN format('The oldest event for %s waits since %s.', d.name, date_trunc('second', d.oldest_at))
				ELSE format('Nothing waits for %s.', d.name) END
		FROM destinations AS d

		UNION ALL
		SELECT 11, 'stuck events', k.destination, 'error',
			format('%s of the events for "%s" cannot be dealt with, while the others go on: %s (id %s%s). See SELECT event_id, status, reason, error FROM pinterest_capi.dispatch_status WHERE id = %s; remedy what it says; what is not worth that: SELECT pinterest_capi.cancel(event_id).',
				count(*), k.destination, (array_agg(k.what ORDER BY k.id))[1], (array_agg(k.id::text ORDER BY k.id))[1],
				coalesce(', ' || nullif(array_to_string((array_agg(k.id::text ORDER BY k.id))[2:5], ', '), ''), ''), (array_agg(k.id ORDER BY k.id))[1])
		FROM pinterest_capi._stuck AS k
		WHERE _doctor.destination IS NULL OR k.destination = _doctor.destination
		GROUP BY k.destination

		UNION ALL
		SELECT 11, 'stuck events', x.destination, 'error',
			format('%s of the newest events for "%s" have neither an outcome nor a place among those that wait, as after a deletion of rows of pinterest_capi._outcome, so they are not sent (id %s). Queue all such events again, if Pinterest is to get them: INSERT INTO pinterest_capi._retry (id, dest) SELECT e.id, e.dest FROM pinterest_capi._event AS e JOIN pinterest_capi._destination_state AS s ON s.dest = e.dest WHERE s.destination = %L AND e.id <= s.done_below AND NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = e.id) ON CONFLICT DO NOTHING; then they may be cancelled, too.',
				count(*), x.destination, min(x.id), x.destination)
		FROM pinterest_capi._lost AS x
		WHERE _doctor.destination IS NULL OR x.destination = _doctor.destination
		GROUP BY x.destination

		UNION ALL
		SELECT 12, 'allowed events', d.destination,
			CASE WHEN d.allowed = 0 AND NOT EXISTS (SELECT FROM pinterest_capi._dispatching) THEN 'error' ELSE 'ok' END,
			CASE WHEN d.allowed = 0 AND EXISTS (SELECT FROM pinterest_capi._dispatching)
				THEN format('%s gets what other servers have allowed there, and nothing that is tracked here.', d.name)
				WHEN d.allowed = 0
				THEN format('No event is allowed for %s, so it gets none: SELECT pinterest_capi.allow_event(''Checkout'', destination => %s);', d.name, d.literal)
				ELSE format('Allowed for %s: %s.', d.name, d.allowed) END
		FROM destinations AS d

		UNION ALL
		SELECT 12, 'allowed events', '', 'warning',
			format('%s of the last day''s events were on no destination''s list, most of them %s: SELECT pinterest_capi.allow_event(%s%s); or leave them out.',
				sum(n.events), m.name, m.name,
				(SELECT ', destination => ' || min(d.literal) FROM destinations AS d HAVING bool_and(d.destination <> 'default')))
		FROM last_day AS n
			CROSS JOIN LATERAL (SELECT coalesce((SELECT quote_literal(w.event_name) FROM newest AS w
				WHERE w.reason = 'not allowed' GROUP BY w.event_name ORDER BY sum(w.events) DESC, w.event_name LIMIT 1), '''NAME''') AS name OFFSET 0) AS m
		WHERE n.reason = 'not allowed' AND EXISTS (SELECT FROM destinations)
		GROUP BY m.name

		UNION ALL
		SELECT 13, 'gates', d.destination,
			CASE WHEN g.stopped = g.events AND g.events > 0 THEN 'error' ELSE 'ok' END,
			CASE
				WHEN g.stopped = g.events AND g.events > 0
				THEN format('All of the last day''s events for %s (%s) were stopped, most of them by this: %s. %s', d.name, g.events, g.most,
					CASE WHEN g.most LIKE 'consent rule %' THEN 'See the rule in pinterest_capi.consent_rule, and what it sees: SELECT status, reason FROM pinterest_capi.preview(''EVENT'', consent => ''{"KEY": true}'');'
						WHEN g.most = 'no identifier' THEN 'Give track() an e-mail address, a phone number or a click id in user_data; the rows'' warnings tell what was dropped: SELECT warnings FROM pinterest_capi.dispatch_status WHERE reason = ''no identifier'' LIMIT 10;'
						ELSE format('SELECT event_name, reason, warnings FROM pinterest_capi.dispatch_status WHERE destination = %s ORDER BY id DESC LIMIT 10;', d.literal) END)
				WHEN NOT s.log_suppressed
				THEN 'What gates stop is not recorded: to see it, ALTER SYSTEM SET pinterest_capi.log_suppressed = on; SELECT pg_reload_conf();'
				ELSE format('Gates stopped %s of the last day''s %s events for %s.', g.stopped, g.events, d.name) END
		FROM destinations AS d
			CROSS JOIN server AS s
			CROSS JOIN LATERAL (
				SELECT coalesce(sum(l.events), 0) AS events,
					coalesce(sum(l.events) FILTER (WHERE l.status IN ('suppressed', 'rejected', 'expired')), 0) AS stopped,
					(SELECT m.reason FROM last_day AS m
						WHERE m.destination = d.destination AND m.status IN ('suppressed', 'rejected', 'expired')
						GROUP BY m.reason ORDER BY sum(m.events) DESC, m.reason LIMIT 1) AS most
				FROM last_day AS l WHERE l.destination = d.destination) AS g

		UNION ALL
		SELECT 14, 'refusals', d.destination,
			CASE WHEN f.failed >= f.sent AND f.failed > 0 THEN 'error'
				WHEN f.failed * 20 > f.sent AND f.failed > 0 THEN 'warning' ELSE 'ok' END,
			CASE WHEN f.failed * 20 > f.sent AND f.failed > 0
				THEN format('%s of the last day''s events for %s failed, %s were sent; most of them: %s. Mend that, then SELECT pinterest_capi.replay(%s, since => now() - interval ''1 day'');',
					f.failed, d.name, f.sent, f.most, d.literal)
				ELSE format('%s of the last day''s events for %s failed, %s were sent.', f.failed, d.name, f.sent) END
		FROM destinations AS d
			CROSS JOIN LATERAL (
				SELECT coalesce(sum(l.events) FILTER (WHERE l.status = 'failed'), 0) AS failed,
					coalesce(sum(l.events) FILTER (WHERE l.status = 'sent'), 0) AS sent,
					(SELECT concat_ws(': ', m.reason, m.error) FROM newest AS m
						WHERE m.destination = d.destination AND m.status = 'failed'
						GROUP BY m.reason, m.error ORDER BY sum(m.events) DESC, m.error LIMIT 1) AS most
				FROM last_day AS l WHERE l.destination = d.destination) AS f

		UNION ALL
		SELECT 14, 'match quality', d.destination,
			CASE WHEN q.events >= 20 AND q.matchable * 2 < q.events THEN 'warning' ELSE 'ok' END,
			CASE WHEN q.events IS NULL OR q.events < 20 THEN format('Too few new events for %s to judge which identifiers are missing.', d.name)
				ELSE format('Of the last day''s events %L for %s (%s), %s carry what Pinterest asks for.', q.event_name, d.name, q.events, q.matchable)
					|| coalesce(format(' Missing most: %s. %s', q.missing, pinterest_capi._identifier_advice(q.missing)), ' No identifier is missing in more than a few.') END
		FROM destinations AS d
			LEFT JOIN LATERAL (
				SELECT n.event_name, n.events, n.matchable, pinterest_capi._missing_identifier(round(n.em / n.events, 4), round(n.ph / n.events, 4),
					round(n.click_id / n.events, 4), round(n.external_id / n.events, 4), round(n.hashed_maids / n.events, 4)) AS missing
				FROM (SELECT l.event_name, sum(l.events) AS events, sum(l.matchable) AS matchable, sum(l.em) AS em, sum(l.ph) AS ph,
						sum(l.click_id) AS click_id, sum(l.external_id) AS external_id, sum(l.hashed_maids) AS hashed_maids
					FROM last_day AS l
					WHERE l.destination = d.destination AND (l.status NOT IN ('suppressed', 'rejected') OR l.status = 'suppressed' AND l.reason = 'no identifier')
					GROUP BY 1) AS n
				ORDER BY n.events < 20, n.matchable / n.events, n.events DESC, n.event_name LIMIT 1) AS q ON true

		UNION ALL
		SELECT 15, 'retention', '',
			CASE WHEN o.finished_at < clock_timestamp() - s.retention::interval - interval '1 day' THEN 'warning' ELSE 'ok' END,
			CASE WHEN o.finished_at < clock_timestamp() - s.retention::interval - interval '1 day'
				THEN format('Final events are to be kept for %s, and some are of %s: the worker deletes them while it runs; or SELECT pinterest_capi.purge(%L);', s.retention, date_trunc('second', o.finished_at), s.retention)
				ELSE format('Final events are kept for %s.', s.retention) END
		FROM server AS s LEFT JOIN pinterest_capi._oldest_final AS o ON true

		UNION ALL
		SELECT 16, 'bloat', '',
			CASE WHEN b.dead > 100000 AND b.dead > 10 * b.live THEN 'warning' ELSE 'ok' END,
			CASE WHEN b.dead > 100000 AND b.dead > 10 * b.live
				THEN format('The table of retries has %s dead rows beside %s live ones: VACUUM pinterest_capi._retry; if that does not help, end transactions that are open for hours (pg_stat_activity.xact_start).', b.dead, b.live)
				ELSE 'The table of retries is vacuumed in time.' END
		FROM (SELECT pg_stat_get_dead_tuples(t.oid) AS dead, pg_stat_get_live_tuples(t.oid) AS live
			FROM tables AS t WHERE t.relname = '_retry') AS b

		UNION ALL
		SELECT 16, 'unknown destination', x.dest::text, 'error',
			CASE WHEN x.destination IS NULL
				THEN format('Events wait, the first of them %L, for a destination whose number, %s, has no name here, so nobody sends them. Give them to one: WITH s AS (SELECT dest FROM pinterest_capi._destination_state WHERE destination = ''DESTINATION''), q AS (DELETE FROM pinterest_capi._retry WHERE dest = %2$s), e AS (UPDATE pinterest_capi._event AS e SET dest = s.dest FROM s WHERE e.dest = %2$s RETURNING e.id, e.dest) INSERT INTO pinterest_capi._retry (id, dest) SELECT e.id, e.dest FROM e WHERE NOT EXISTS (SELECT FROM pinterest_capi._outcome AS o WHERE o.id = e.id) ON CONFLICT DO NOTHING; or give them up: SELECT sum(pinterest_capi.cancel(event_id)) FROM pinterest_capi.dispatch_status WHERE reason = ''destination unknown'';', x.event_id, x.dest)
				ELSE format('Events wait, the first of them %L, for %s, which is not a destination of this server: SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', ''AD ACCOUNT ID'', destination => %L); or give them up: SELECT sum(pinterest_capi.cancel(event_id)) FROM pinterest_capi.dispatch_status WHERE destination = %3$L AND status IN (''queued'', ''retrying'');', x.event_id, '"' || x.destination || '"', x.destination) END
		FROM pinterest_capi._stray AS x CROSS JOIN server AS s
		WHERE _doctor.destination IS NULL AND (x.destination IS NULL OR NOT s.publishing)

		UNION ALL
		SELECT 16, 'unknown destination', '', 'ok', 'All events that wait belong to a destination.'
		WHERE NOT EXISTS (SELECT FROM pinterest_capi._stray)

		-- such events have no destination, so the report of each destination tells of them
		UNION ALL
		SELECT 16, 'unknown destination', '', 'warning',
			format('%s of the last day''s events were rejected, most of them %s, since they named a destination that does not exist (%s). Correct "destination" in the trigger''s mapping, in the rows that it reads or in the call; or make the destination: SELECT pinterest_capi.configure_destination(''TAG ID'', ''ACCESS TOKEN'', ''AD ACCOUNT ID'', destination => ''NAME''); then track the events again; which ones: SELECT event_id, created_at FROM pinterest_capi.dispatch_status WHERE reason = ''unknown destination'';',
				sum(n.events), coalesce((SELECT quote_literal(w.event_name) FROM newest AS w
					WHERE w.reason = 'unknown destination' GROUP BY w.event_name ORDER BY sum(w.events) DESC, w.event_name LIMIT 1), 'of other names'),
				(SELECT coalesce('there is ' || string_agg(quote_literal(k.destination), ', ' ORDER BY k.destination), 'there is none')
					FROM pinterest_capi._destination_facts AS k))
		FROM last_day AS n
		WHERE n.reason = 'unknown destination'
		HAVING sum(n.events) > 0

		UNION ALL
		SELECT 16, 'settings', '',
			CASE WHEN g.broken IS NOT NULL OR g.missing IS NOT NULL THEN 'error' ELSE 'ok' END,
			CASE WHEN g.missing IS NOT NULL
				THEN format('Triggers on the tables of settings are missing, so each call reads them anew and changes may do harm: make them again as the script of the extension does (%s).', g.missing)
				WHEN g.broken IS NOT NULL
				THEN format('Triggers on the tables of settings are not enabled as they should be, as after a restore with --disable-triggers, so each call reads them anew, or api_url is not guarded: %s;', g.broken)
				ELSE 'Changes of settings are heard in all sessions at once.' END
		FROM (SELECT string_agg(format('ALTER TABLE pinterest_capi.%I ENABLE %sTRIGGER %I', w.relname, CASE w.fires WHEN 'A' THEN 'ALWAYS ' WHEN 'R' THEN 'REPLICA ' ELSE '' END, w.tgname), '; ' ORDER BY w.relname, w.tgname)
					FILTER (WHERE g.tgenabled NOT IN (w.fires, 'A')) AS broken,
				string_agg(w.tgname || ' on pinterest_capi.' || w.relname, ', ' ORDER BY w.relname, w.tgname)
					FILTER (WHERE g.tgenabled IS NULL) AS missing
			FROM (SELECT r.relname, t.tgname, 'A' AS fires
					FROM (VALUES ('destination'), ('_destination_state'), ('allowed_event'), ('consent_rule'), ('_suppression')) AS r (relname),
						(VALUES ('_settings_changed'), ('_settings_truncated')) AS t (tgname)
				UNION ALL VALUES ('_secret', '_settings_changed', 'A'), ('destination', '_destination_guard', 'O'), ('_event', '_received', 'R')) AS w
				LEFT JOIN tables AS t ON t.relname = w.relname
				LEFT JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = t.oid AND g.tgname = w.tgname) AS g

		UNION ALL
		SELECT 17, 'triggers', t.tgrelid::regclass::text || ' ' || t.tgname,
			CASE WHEN t.disabled OR t.fault LIKE 'Where role %' OR t.fault LIKE 'Its table is locked%' THEN 'warning' ELSE 'error' END,
			format('%s on %s%s%s: %s %s', quote_ident(t.tgname), t.tgrelid::regclass, CASE WHEN t.disabled THEN ' (disabled)' END,
				', mapping of ' || t.key, t.fault, t.hint)
		FROM triggers AS t
		WHERE t.fault IS NOT NULL

		UNION ALL
		SELECT 17, 'triggers', '', CASE WHEN r.events > 0 THEN 'warning' ELSE 'ok' END,
			CASE WHEN r.events > 0
				THEN format('%s of the last day''s events were rejected since a trigger''s mapping could not be used, most of them %s, by "%s". A WARNING in the server''s log tells the SQLSTATE; which rows: SELECT event_id, created_at FROM pinterest_capi.dispatch_status WHERE reason = %L;',
					r.events, r.event_name, r.reason, r.reason)
				WHEN u.triggers = 0 THEN 'No trigger tracks.'
				ELSE format('Triggers that track: %s.%s', u.triggers,
					CASE WHEN u.nowhere IS NOT NULL THEN format(' No destination allows their %s, so these events are suppressed.', u.nowhere) END) END
		FROM (SELECT count(DISTINCT (t.tgrelid, t.tgname)) AS triggers,
				string_agg(DISTINCT quote_literal(t.event_name), ', ') FILTER (WHERE t.event_name <> ''
					AND NOT EXISTS (SELECT FROM pinterest_capi._allowed_name AS a WHERE a.folded = pinterest_capi._fold(t.event_name))) AS nowhere
			FROM triggers AS t) AS u
			CROSS JOIN (SELECT coalesce(sum(l.events), 0) AS events,
					coalesce((SELECT quote_literal(w.event_name) FROM newest AS w
						WHERE w.status = 'rejected' AND (w.reason LIKE 'mapping: %' OR w.reason = 'not a row-level AFTER trigger')
						GROUP BY w.event_name ORDER BY sum(w.events) DESC, w.event_name LIMIT 1), 'of other names') AS event_name,
					(array_agg(l.reason ORDER BY l.events DESC, l.reason))[1] AS reason
				FROM last_day AS l
				WHERE l.status = 'rejected' AND (l.reason LIKE 'mapping: %' OR l.reason = 'not a row-level AFTER trigger')) AS r
		WHERE r.events > 0 OR NOT EXISTS (SELECT FROM triggers AS t WHERE t.fault IS NOT NULL)
	)
	SELECT c."check", c.status, c.advice FROM checks AS c ORDER BY c.place, c.of, c.status DESC;
END;
COMMENT ON FUNCTION pinterest_capi._doctor(text) IS
	'internal: doctor() for one destination and the server; NULL: all';

CREATE FUNCTION pinterest_capi.doctor() RETURNS TABLE ("check" text, status text, advice text)
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT d."check", d.status, d.advice FROM pinterest_capi._doctor(NULL) AS d;
END;
COMMENT ON FUNCTION pinterest_capi.doctor() IS
	'what keeps events from leaving: a row per check, with status ok, warning or error, and what to do next';
