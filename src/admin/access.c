/*
 * access.c
 *	  grant_access and revoke_access: the extension's rights in four levels.
 *
 * A level is no role and is not stored: it is a list of plain GRANTs.  So psql's \dp
 * shows what a role has, and pg_dump carries it.
 */
#include "pinterest_capi.h"

#include "common/extension.h"
#include "common/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

typedef enum Level
{
	LEVEL_TRACK,
	LEVEL_MONITOR,
	LEVEL_OPERATE,
	LEVEL_CONFIGURE
} Level;

static const char *const level_names[] = {"track", "monitor", "operate", "configure"};

/* what each level grants in addition to the levels that it includes; see includes() */
static const struct
{
	Level		level;
	const char *rights;
	const char *objects;
}			rights[] = {
	{LEVEL_TRACK, "EXECUTE", "FUNCTION"
		" pinterest_capi.track(text, jsonb, jsonb, text, text, timestamptz, text, jsonb, text),"
		/* firing needs no right, but creating a trigger does */
		" pinterest_capi.track_trigger(),"
		" pinterest_capi.identify(text, jsonb, jsonb),"
		" pinterest_capi.capture_click(text, text, text),"
		" pinterest_capi.preview(text, jsonb, jsonb, text, text, timestamptz, text, jsonb, text),"
		" pinterest_capi.preview_row(anyelement)"},
	{LEVEL_TRACK, "SELECT", "pinterest_capi.standard_event"},
	{LEVEL_MONITOR, "SELECT",
		"pinterest_capi.dispatch_status, pinterest_capi.destination_status, pinterest_capi.worker_status,"
		" pinterest_capi.event_activity, pinterest_capi.event_quality, pinterest_capi.event_statistics, pinterest_capi.compliance_report,"
		" pinterest_capi.standard_event"},
	{LEVEL_MONITOR, "EXECUTE", "FUNCTION pinterest_capi._worker_state(), pinterest_capi._fields(), pinterest_capi._user_data_keys(),"
		" pinterest_capi._fold(text),"
		" pinterest_capi.doctor(), pinterest_capi._doctor(text), pinterest_capi._server_state(),"
		" pinterest_capi._missing_identifier(numeric, numeric, numeric, numeric, numeric), pinterest_capi._identifier_advice(text),"
		" pinterest_capi._hold_reason(), pinterest_capi._status(text, timestamptz, integer), pinterest_capi._trigger_faults(oid, oid, oid[]),"
		" pinterest_capi._written_directly(oid)"},
	{LEVEL_MONITOR, "SELECT",
		"pinterest_capi._destination_facts, pinterest_capi._stray, pinterest_capi._dispatching, pinterest_capi._handover, pinterest_capi._last_day, pinterest_capi._lost, pinterest_capi._newest_not_sent, pinterest_capi._oldest_final, pinterest_capi._stuck,"
		" pinterest_capi._trigger, pinterest_capi._allowed_name,"
		" pinterest_capi._counted_hour, pinterest_capi._counted_day, pinterest_capi._counted_from, pinterest_capi._known_destination,"
		" pinterest_capi._newest_failed, pinterest_capi._newest_warned, pinterest_capi._newest_stopped"},
	/* these run as the caller of report_html */
	{LEVEL_MONITOR, "EXECUTE", "FUNCTION pinterest_capi.report_html(text, interval),"
		" pinterest_capi._html(text),"
		" pinterest_capi._bad_call(text, text),"
		" pinterest_capi._report_style(),"
		" pinterest_capi._report_n(numeric),"
		" pinterest_capi._report_share(numeric, numeric),"
		" pinterest_capi._report_time(timestamptz),"
		" pinterest_capi._report_age(timestamptz),"
		" pinterest_capi._report_words(text),"
		" pinterest_capi._report_step(interval),"
		" pinterest_capi._report_slots(interval, text),"
		" pinterest_capi._report_slot(timestamptz, text, boolean),"
		" pinterest_capi._report_statuses(),"
		" pinterest_capi._report_begun(text),"
		" pinterest_capi._report_before(timestamptz[], text),"
		" pinterest_capi._report_change(numeric, numeric),"
		" pinterest_capi._report_money(numeric, text),"
		" pinterest_capi._report_rows(text, timestamptz[], text),"
		" pinterest_capi._report_compared(pinterest_capi._report_row[], timestamptz[], text),"
		" pinterest_capi._report_warnings(text, timestamptz),"
		" pinterest_capi._warning_advice(text),"
		" pinterest_capi._report_table(text, text, text),"
		" pinterest_capi._report_verdict(text),"
		" pinterest_capi._report_tiles(pinterest_capi._report_row[], text),"
		" pinterest_capi._report_health(text),"
		" pinterest_capi._report_timeline(pinterest_capi._report_row[], timestamptz[], text),"
		" pinterest_capi._report_names(pinterest_capi._report_row[]),"
		" pinterest_capi._report_match(pinterest_capi._report_row[], timestamptz[], text),"
		" pinterest_capi._report_missing(pinterest_capi._report_row[]),"
		" pinterest_capi._report_failures(text, timestamptz),"
		" pinterest_capi._report_gates(pinterest_capi._report_row[], timestamptz),"
		" pinterest_capi._report_compliance(text),"
		" pinterest_capi._report_page(text, text, timestamptz[], pinterest_capi._report_row[])"},
	{LEVEL_OPERATE, "EXECUTE", "FUNCTION"
		" pinterest_capi.verify_destination(text),"
		" pinterest_capi.pause_destination(text),"
		" pinterest_capi.resume_destination(text),"
		" pinterest_capi.flush(interval),"
		" pinterest_capi.replay(text, text, text, timestamptz, timestamptz, boolean, boolean, boolean),"
		" pinterest_capi.cancel(text, text),"
		" pinterest_capi.purge(interval),"
		" pinterest_capi.forget(text, jsonb)"},
	{LEVEL_CONFIGURE, "EXECUTE", "FUNCTION"
		" pinterest_capi.configure_destination(text, text, text, text),"
		" pinterest_capi.drop_destination(text),"
		" pinterest_capi.allow_event(text, text, text, text[]),"
		" pinterest_capi.disallow_event(text, text),"
		/* functions in constraints of the tables, which are checked as the user who writes */
		" pinterest_capi._api_url_ok(text),"
		" pinterest_capi._properties_ok(text[]),"
		" pinterest_capi._send_as_ok(text)"},
	{LEVEL_CONFIGURE, "SELECT, INSERT, UPDATE, DELETE",
		"pinterest_capi.destination, pinterest_capi.allowed_event, pinterest_capi.consent_rule"},
};

/* Return whether a level has the rights of another one. */
static bool
includes(Level level, Level other)
{
	if (level == LEVEL_MONITOR || level == LEVEL_OPERATE)
		return other == LEVEL_MONITOR || other == level;
	return other <= level;
}

/* Grant or revoke all rights of a level. */
static void
change_access(FunctionCallInfo fcinfo, bool grant)
{
	Oid			role = PG_GETARG_OID(0);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int			level = -1;
	char	   *role_name;
	PcapiUserContext saved;

	for (int i = 0; i < lengthof(level_names); i++)
		if (strcmp(name, level_names[i]) == 0)
			level = i;
	if (level < 0)
		pcapi_error_invalid_parameter(("unknown level of access"),
									  ("Levels are track, monitor, operate and configure."));
	pcapi_check_writable(grant ? "grant_access()" : "revoke_access()");
	role_name = GetUserNameFromId(role, true);
	if (role_name == NULL)
		pcapi_error_invalid_parameter(("unknown role"), ("Give an existing role, as in 'shop'."));

	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	for (int i = 0; i < lengthof(rights); i++)
	{
		char	   *sql;

		if (!includes((Level) level, rights[i].level))
			continue;
		sql = psprintf("%s %s ON %s %s %s", grant ? "GRANT" : "REVOKE", rights[i].rights,
					   rights[i].objects, grant ? "TO" : "FROM", quote_identifier(role_name));
		pcapi_execute_sql(SPI_OK_UTILITY, sql, false);
	}
	SPI_finish();
	pcapi_restore_user(&saved);
}

PG_FUNCTION_INFO_V1(pcapi_sql_grant_access);
Datum
pcapi_sql_grant_access(PG_FUNCTION_ARGS)
{
	change_access(fcinfo, true);
	PG_RETURN_VOID();
}

/* It revokes what grant_access with the same level grants, also if it was granted otherwise. */
PG_FUNCTION_INFO_V1(pcapi_sql_revoke_access);
Datum
pcapi_sql_revoke_access(PG_FUNCTION_ARGS)
{
	change_access(fcinfo, false);
	PG_RETURN_VOID();
}
