/*
 * privileges.sql
 *	  Who may use what, once everything is there: nothing for PUBLIC but the
 *	  two pure functions.  What a level has is listed in access.c alone.
 */

REVOKE ALL ON ALL TABLES IN SCHEMA pinterest_capi FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pinterest_capi FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pinterest_capi FROM PUBLIC;

GRANT USAGE ON SCHEMA pinterest_capi TO PUBLIC;
GRANT EXECUTE ON FUNCTION pinterest_capi.normalize_identifier(text, text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION pinterest_capi.hash_identifier(text, text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION pinterest_capi.normalize_identifier(text, text, text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION pinterest_capi.hash_identifier(text, text, text) TO PUBLIC;

SELECT pinterest_capi.grant_access('pg_monitor', 'monitor');

CREATE FUNCTION pinterest_capi._claim_server() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_claim_server';
COMMENT ON FUNCTION pinterest_capi._claim_server() IS
	'internal: this server is the one that sends this database''s events';
REVOKE ALL ON FUNCTION pinterest_capi._claim_server() FROM PUBLIC;
SELECT pinterest_capi._claim_server();

-- at commit: start the worker, so that a user need not do it
CREATE FUNCTION pinterest_capi._wake() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_wake';
COMMENT ON FUNCTION pinterest_capi._wake() IS
	'internal: at commit, wakes the worker of this database or starts one';
REVOKE ALL ON FUNCTION pinterest_capi._wake() FROM PUBLIC;
SELECT pinterest_capi._wake();
