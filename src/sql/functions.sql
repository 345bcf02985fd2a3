/*
 * functions.sql
 *	  What a user can call; written in C, but for what is looked at (views.sql).
 */

------------------------------------------------------------------------------
-- Configure
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi.configure_destination(tag_id text, access_token text,
		ad_account_id text DEFAULT NULL, destination text DEFAULT 'default') RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_configure_destination';
COMMENT ON FUNCTION pinterest_capi.configure_destination(text, text, text, text) IS
	'creates a destination or replaces its credentials; returns whether it is ready, or what is missing. access_token file:/absolute/path names a file on the server. Errors: 22023';

CREATE FUNCTION pinterest_capi.verify_destination(destination text DEFAULT 'default') RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_verify_destination';
COMMENT ON FUNCTION pinterest_capi.verify_destination(text) IS
	'sends one test-mode event through the worker and returns the verdict as a sentence';

CREATE FUNCTION pinterest_capi.pause_destination(destination text DEFAULT 'default') RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_pause_destination';
COMMENT ON FUNCTION pinterest_capi.pause_destination(text) IS
	'events wait as queued until resume_destination';
CREATE FUNCTION pinterest_capi.resume_destination(destination text DEFAULT 'default') RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_resume_destination';
COMMENT ON FUNCTION pinterest_capi.resume_destination(text) IS
	'ends a pause and any backoff, and sends what waited';
CREATE FUNCTION pinterest_capi.drop_destination(destination text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_drop_destination';
COMMENT ON FUNCTION pinterest_capi.drop_destination(text) IS
	'removes a destination and its rules; waiting events become cancelled, the history stays';

CREATE FUNCTION pinterest_capi.allow_event(event_name text, send_as text DEFAULT NULL,
		destination text DEFAULT 'default', properties text[] DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_allow_event';
COMMENT ON FUNCTION pinterest_capi.allow_event(text, text, text, text[]) IS
	'lets an event go to a destination, as a standard event or as custom; properties lists free text that may go with it. The same name again replaces. Errors: 22023';
CREATE FUNCTION pinterest_capi.disallow_event(event_name text, destination text DEFAULT 'default') RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_disallow_event';
COMMENT ON FUNCTION pinterest_capi.disallow_event(text, text) IS
	'takes an event off the list; false when it was not on it';

CREATE FUNCTION pinterest_capi.grant_access(role regrole, level text) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_grant_access';
COMMENT ON FUNCTION pinterest_capi.grant_access(regrole, text) IS
	'gives a role the level track, monitor, operate or configure';
CREATE FUNCTION pinterest_capi.revoke_access(role regrole, level text) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_revoke_access';
COMMENT ON FUNCTION pinterest_capi.revoke_access(regrole, text) IS
	'takes a level from a role';

------------------------------------------------------------------------------
-- Track
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi.track(event_name text, properties jsonb DEFAULT '{}',
		user_data jsonb DEFAULT '{}', visitor_id text DEFAULT NULL, event_id text DEFAULT NULL,
		event_time timestamptz DEFAULT NULL, action_source text DEFAULT 'web',
		consent jsonb DEFAULT NULL, destination text DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_track';
COMMENT ON FUNCTION pinterest_capi.track(text, jsonb, jsonb, text, text, timestamptz, text, jsonb, text) IS
	'queues an event in the caller''s transaction and returns its event_id; wrong data is recorded, not raised. Errors: 22023 for a call that cannot be meant';

CREATE FUNCTION pinterest_capi.track_trigger() RETURNS trigger
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'pcapi_sql_track_trigger';
COMMENT ON FUNCTION pinterest_capi.track_trigger() IS
	'row-level AFTER trigger: track_trigger(event_name, ''key=column'', ''key:=constant'', ''key=(query over $1)'', ...)';

CREATE FUNCTION pinterest_capi.preview(event_name text, properties jsonb DEFAULT '{}',
		user_data jsonb DEFAULT '{}', visitor_id text DEFAULT NULL, event_id text DEFAULT NULL,
		event_time timestamptz DEFAULT NULL, action_source text DEFAULT 'web',
		consent jsonb DEFAULT NULL, destination text DEFAULT NULL,
		OUT destination text, OUT status text, OUT reason text, OUT sent_as text,
		OUT payload jsonb, OUT warnings text[]) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
	AS 'MODULE_PATHNAME', 'pcapi_sql_preview';
COMMENT ON FUNCTION pinterest_capi.preview(text, jsonb, jsonb, text, text, timestamptz, text, jsonb, text) IS
	'what track would do with the same call, a row per destination, without doing it; payload is the event as it would be sent, NULL when it would not be queued';

CREATE FUNCTION pinterest_capi.preview_row(anyelement,
		OUT trigger_name text, OUT destination text, OUT status text, OUT reason text, OUT sent_as text,
		OUT payload jsonb, OUT warnings text[]) RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1
	AS 'MODULE_PATHNAME', 'pcapi_sql_preview_row';
COMMENT ON FUNCTION pinterest_capi.preview_row(anyelement) IS
	'what the track_trigger triggers of the row''s table would make of it, without doing it: the columns of preview for each trigger; status "not fired" where the row does not meet its WHEN or the trigger is disabled. Errors: 22023 for what is no row of a table, 42501';

CREATE FUNCTION pinterest_capi.normalize_identifier(kind text, value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_normalize_identifier';
COMMENT ON FUNCTION pinterest_capi.normalize_identifier(text, text) IS
	'what gets hashed, or NULL where nothing is usable; kind: em ph ge db ln fn ct st zp country external_id hashed_maids. Errors: 22023';
CREATE FUNCTION pinterest_capi.hash_identifier(kind text, value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_hash_identifier';
COMMENT ON FUNCTION pinterest_capi.hash_identifier(text, text) IS
	'SHA-256 of the normalised value as 64 lower-case hex digits; a value that is a hash already passes. Errors: 22023';
CREATE FUNCTION pinterest_capi.normalize_identifier(kind text, value text, country text) RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_normalize_identifier';
COMMENT ON FUNCTION pinterest_capi.normalize_identifier(text, text, text) IS
	'the same where the country is known, for phone numbers in national form and names of states; a country of null is an unknown one. Errors: 22023';
CREATE FUNCTION pinterest_capi.hash_identifier(kind text, value text, country text) RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_hash_identifier';
COMMENT ON FUNCTION pinterest_capi.hash_identifier(text, text, text) IS
	'the same where the country is known, for phone numbers in national form and names of states; a country of null is an unknown one. Errors: 22023';

CREATE FUNCTION pinterest_capi.identify(visitor_id text, user_data jsonb DEFAULT '{}',
		consent jsonb DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_identify';
COMMENT ON FUNCTION pinterest_capi.identify(text, jsonb, jsonb) IS
	'stores a visitor''s identifiers (hashed) and consent for later events; JSON null clears, what is absent stays';
CREATE FUNCTION pinterest_capi.capture_click(visitor_id text, url text DEFAULT NULL,
		cookie text DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_capture_click';
COMMENT ON FUNCTION pinterest_capi.capture_click(text, text, text) IS
	'finds Pinterest''s click id (epik) in a URL or a cookie, stores it for the visitor and returns it, or NULL';
CREATE FUNCTION pinterest_capi.forget(visitor_id text DEFAULT NULL, user_data jsonb DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_forget';
COMMENT ON FUNCTION pinterest_capi.forget(text, jsonb) IS
	'erases a person from queue, log and visitors, and suppresses later events; returns the number of rows emptied or deleted';

------------------------------------------------------------------------------
-- Operate
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi.flush(timeout interval DEFAULT '30 seconds') RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_flush';
COMMENT ON FUNCTION pinterest_capi.flush(interval) IS
	'waits until nothing that is committed is due; false when time is up';
CREATE FUNCTION pinterest_capi._new_event_id() RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_new_event_id';
COMMENT ON FUNCTION pinterest_capi._new_event_id() IS
	'internal: an event_id that nobody else has made, as track makes them';
CREATE FUNCTION pinterest_capi._readable(payload text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_readable';
COMMENT ON FUNCTION pinterest_capi._readable(text) IS
	'internal: whether the text is a JSON object that can be taken apart';
CREATE FUNCTION pinterest_capi.replay(destination text, status text DEFAULT 'failed',
		event_name text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
		new_event_id boolean DEFAULT false, event_time_now boolean DEFAULT false,
		dry_run boolean DEFAULT false) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_replay';
COMMENT ON FUNCTION pinterest_capi.replay(text, text, text, timestamptz, timestamptz, boolean, boolean, boolean) IS
	'queues final events again, under their old or a new event_id; returns how many';
CREATE FUNCTION pinterest_capi.cancel(event_id text, destination text DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_cancel';
COMMENT ON FUNCTION pinterest_capi.cancel(text, text) IS
	'cancels waiting events; returns how many';
CREATE FUNCTION pinterest_capi.purge(older_than interval) RETURNS bigint
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_purge';
COMMENT ON FUNCTION pinterest_capi.purge(interval) IS
	'deletes events that have been final for longer than this; returns how many';

------------------------------------------------------------------------------
-- Beyond one server
------------------------------------------------------------------------------

CREATE FUNCTION pinterest_capi.publish(subscriber regrole DEFAULT NULL, since timestamptz DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_publish';
COMMENT ON FUNCTION pinterest_capi.publish(regrole, timestamptz) IS
	'from now on another server sends this database''s events: makes the publication, lets the role subscribe; since: what was handed over since then goes out again, returns how many';
CREATE FUNCTION pinterest_capi.subscribe(connection text, name text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_subscribe';
COMMENT ON FUNCTION pinterest_capi.subscribe(text, text) IS
	'sends the events of the database that the connection string leads to and where publish was called; name becomes the subscription''s and their origin';
CREATE FUNCTION pinterest_capi._make_slot(slot text) RETURNS text
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_make_slot';
COMMENT ON FUNCTION pinterest_capi._make_slot(text) IS
	'internal: called by a dispatcher: its replication slot; returns this database''s encoding';
CREATE FUNCTION pinterest_capi._attach(slot text) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'pcapi_sql_attach';
COMMENT ON FUNCTION pinterest_capi._attach(text) IS
	'internal: called by a dispatcher: what waits is to go through this slot';
