-- Print the objects of the extension pinterest_capi in this database, a line for
-- each property of each object, in a fixed order and without OIDs: two databases
-- that print the same have the same extension.  For t/077_update_scripts.pl.
--
-- The physical place of a column is no property: an updated table may have a
-- dropped one, or the same ones in the same order after a gap.  Nor is what the
-- server itself counts in a column's options (pg_attver, since 15.20).
\pset tuples_only on
\pset format unaligned
SET search_path = pg_catalog;

CREATE TEMP VIEW member AS
	SELECT d.classid, d.objid, i.type, i.identity
	FROM pg_depend AS d, LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pinterest_capi');
CREATE TEMP VIEW relation AS
	SELECT c.*, c.oid::regclass::text AS name
	FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

CREATE TEMP VIEW line AS
	SELECT concat_ws(' ', m.type, m.identity) AS object, 'exists' AS property, NULL::text AS value
	FROM member AS m
	UNION ALL
	SELECT concat_ws(' ', 'comment on', m.type, m.identity), coalesce('column ' || a.attname, ''), c.description
	FROM member AS m
		JOIN pg_description AS c ON c.classoid = m.classid AND c.objoid = m.objid
		LEFT JOIN pg_attribute AS a ON m.classid = 'pg_class'::regclass AND a.attrelid = m.objid AND a.attnum = c.objsubid
			AND c.objsubid > 0
	UNION ALL
	-- rights, as they are and as a dump believes that the extension made them
	SELECT concat_ws(' ', 'rights on', m.type, m.identity), r.kind, r.acl
	FROM member AS m CROSS JOIN LATERAL (
		SELECT 'now' AS kind, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(c.relacl) AS x) AS acl
			FROM pg_class AS c WHERE m.classid = 'pg_class'::regclass AND c.oid = m.objid
		UNION ALL SELECT 'now', (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(p.proacl) AS x)
			FROM pg_proc AS p WHERE m.classid = 'pg_proc'::regclass AND p.oid = m.objid
		UNION ALL SELECT 'now', (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(n.nspacl) AS x)
			FROM pg_namespace AS n WHERE m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
		UNION ALL SELECT 'initial ' || i.objsubid, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(i.initprivs) AS x)
			FROM pg_init_privs AS i WHERE i.classoid = m.classid AND i.objoid = m.objid) AS r
	UNION ALL
	SELECT 'function ' || p.oid::regprocedure::text, v.property, v.value
	FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
		CROSS JOIN LATERAL (VALUES
			('arguments', pg_get_function_arguments(p.oid)), ('result', pg_get_function_result(p.oid)),
			('code', concat_ws(' ', (SELECT lanname FROM pg_language WHERE oid = p.prolang), p.prosrc, p.probin)),
			('flags', concat_ws(' ', p.prokind, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof)),
			('estimates', concat_ws(' ', p.procost, p.prorows, p.prosupport)),
			('settings', array_to_string(p.proconfig, ','))) AS v (property, value)
	UNION ALL
	SELECT 'relation ' || c.name, v.property, v.value
	FROM relation AS c CROSS JOIN LATERAL (VALUES
		('kind', concat_ws(' ', c.relkind, c.relpersistence, (SELECT amname FROM pg_am WHERE oid = c.relam))),
		('options', array_to_string(c.reloptions, ',')),
		('row security', concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity)),
		('definition', CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END),
		('dumped', (SELECT concat_ws(' where ', 'yes', nullif(e.extcondition[n], ''))
			FROM pg_extension AS e, generate_subscripts(e.extconfig, 1) AS n
			WHERE e.extname = 'pinterest_capi' AND e.extconfig[n] = c.oid))) AS v (property, value)
	UNION ALL
	SELECT 'relation ' || c.name, 'column ' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
		concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage,
			a.attcompression, (SELECT string_agg(x, ',') FROM unnest(a.attoptions) AS x WHERE x NOT LIKE 'pg\_attver=%'), a.attacl::text, nullif(a.attcollation, 0)::regcollation::text,
			pg_get_expr(f.adbin, f.adrelid))
	FROM relation AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef AS f ON f.adrelid = c.oid AND f.adnum = a.attnum
	UNION ALL
	SELECT 'relation ' || c.name, 'index ' || i.indexrelid::regclass::text,
		concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident, i.indisclustered)
	FROM relation AS c JOIN pg_index AS i ON i.indrelid = c.oid
	UNION ALL
	SELECT 'relation ' || c.name, 'constraint ' || k.conname, concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated)
	FROM relation AS c JOIN pg_constraint AS k ON k.conrelid = c.oid
	UNION ALL
	SELECT 'relation ' || c.name, 'trigger ' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
	FROM relation AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal
	UNION ALL
	SELECT 'relation ' || c.name, 'policy ' || p.polname,
		concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[]::text, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
	FROM relation AS c JOIN pg_policy AS p ON p.polrelid = c.oid
	UNION ALL
	SELECT 'relation ' || c.name, 'sequence', concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
	FROM relation AS c JOIN pg_sequence AS s ON s.seqrelid = c.oid
	UNION ALL
	SELECT 'relation ' || c.name, 'statistics ' || s.stxname, pg_get_statisticsobjdef(s.oid)
	FROM relation AS c JOIN pg_statistic_ext AS s ON s.stxrelid = c.oid
	UNION ALL
	SELECT 'standard event ' || e.event_name, 'row', e::text FROM pinterest_capi.standard_event AS e
	UNION ALL
	SELECT 'extension', v.property, v.value
	FROM pg_extension AS e CROSS JOIN LATERAL (VALUES
		('version', e.extversion), ('relocatable', e.extrelocatable::text), ('schema', e.extnamespace::regnamespace::text)) AS v (property, value)
	WHERE e.extname = 'pinterest_capi';

-- NULL and the empty string are different things
SELECT concat_ws(': ', object, property, coalesce(regexp_replace(value, '\s+', ' ', 'g'), '-'))
	FROM line ORDER BY object COLLATE "C", property COLLATE "C", value COLLATE "C";
