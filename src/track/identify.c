/*
 * identify.c
 *	  identify() and capture_click(): store identifiers, consent and click id of a visitor.
 *
 * identify() is one INSERT ... ON CONFLICT, so that of concurrent calls for one
 * visitor none is lost.  A click id is a row of its own, for which nobody waits
 * (visitor.c).
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/encoding.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_insert.h"
#include "core/normalize.h"
#include "core/url.h"
#include "fmgr.h"
#include "track/call.h"
#include "track/identify.h"
#include "track/settings.h"
#include "track/settings_cache.h"
#include "track/suppression.h"
#include "track/user_data.h"
#include "track/user_data_json.h"
#include "track/visitor.h"
#include "track/warning.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Return the visitor_id; it must not be empty. */
static char *
visitor_arg(FunctionCallInfo fcinfo)
{
	char	   *visitor_id = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (visitor_id == NULL || visitor_id[0] == '\0')
		pcapi_error_invalid_parameter(("visitor_id must not be null or empty"),
									  ("Give the value by which the application knows the visitor, such as a cookie of its own."));
	return visitor_id;
}

/* ---- identify ---- */

/* Store a visitor.  A click id that is null is stored as a time without one: older ones no longer count. */
static void
store_visitor(const unsigned char *visitor, const PcapiIdentifiers *ids,
			  PcapiSettings *settings, Jsonb *consent, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	uint32		withheld = pcapi_withheld_keys(settings);
	const char *click_id = ids->texts[PCAPI_CLICK_ID];
	bool		click_id_cleared = (ids->cleared & PCAPI_KEY_BIT(PCAPI_CLICK_ID)) != 0;
	Oid			types[7] = {BYTEAOID, JSONBOID, JSONBOID, TEXTOID, TEXTARRAYOID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[7];
	char		nulls[7] = {' ', ' ', ' ', ' ', ' ', ' ', ' '};

	SPI_connect();
	values[0] = pcapi_visitor_datum(visitor);
	values[1] = JsonbPGetDatum(pcapi_stored_user_data(ids, withheld));
	if (consent)
		values[2] = JsonbPGetDatum(consent);
	else
		nulls[2] = 'n';
	if (click_id)
		values[3] = CStringGetTextDatum(click_id);
	else
		nulls[3] = 'n';
	values[4] = pcapi_cleared_keys(ids, withheld);
	values[5] = BoolGetDatum(click_id_cleared);
	values[6] = TimestampTzGetDatum(at != 0 ? at : GetCurrentTimestamp());
	(void) pcapi_execute_upsert(PCAPI_TABLE_VISITOR,
								pcapi_plan(&plan,
										   "INSERT INTO pinterest_capi._visitor AS v"
										   " (visitor, user_data, consent, click_id, click_id_at, updated_at)"
										   " VALUES ($1, $2, $3, $4, CASE WHEN $4 IS NOT NULL OR $6 THEN $7 END, $7)"
										   " ON CONFLICT (visitor) DO UPDATE SET"
										   " user_data = (v.user_data OPERATOR(pg_catalog.-) $5) OPERATOR(pg_catalog.||) excluded.user_data,"
										   " consent = coalesce(excluded.consent, v.consent),"
										   " click_id = CASE WHEN $6 THEN NULL ELSE coalesce(excluded.click_id, v.click_id) END,"
										   " click_id_at = coalesce(excluded.click_id_at, v.click_id_at),"
										   " updated_at = excluded.updated_at",
										   7, types),
								values, nulls);
	SPI_finish();
	if (click_id || click_id_cleared)
		pcapi_visitor_drop_clicks(visitor);
}

/*
 * Return the country whose phone numbers the call has.  Stored numbers are hashed
 * now, for all destinations: their default is used only where all have the same.
 */
static const char *
country_of(PcapiIdentifiers *ids, PcapiSettings *settings)
{
	const char *country = pcapi_known_country(ids);

	if (country[0] == '\0' && list_length(pcapi_default_countries(settings)) == 1)
		country = linitial(pcapi_default_countries(settings));
	return country;
}

/* Warn of keys that an event alone can have. */
static void
warn_of_not_stored(const PcapiIdentifiers *ids, List **warnings)
{
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];

		if (field->storage == PCAPI_NOT_STORED && pcapi_is_given(ids, key))
			pcapi_warn(warnings, field->name, "is an event's and not stored");
	}
}

List *
pcapi_identify(const unsigned char *visitor, Jsonb *user_data, bool hashed, Jsonb *consent, TimestampTz at)
{
	PcapiIdentifiers ids;
	List	   *warnings = NIL;
	PcapiUserContext saved;
	PcapiSettings *settings;

	pcapi_switch_to_owner(&saved, false);
	settings = pcapi_settings();
	pcapi_identifiers_from_jsonb(&ids, user_data, hashed, &warnings);
	warn_of_not_stored(&ids, &warnings);
	if (!pcapi_call_is_suppressed(settings, visitor, &ids))
	{
		if (ids.national != NIL)
			pcapi_hash_national(&ids, country_of(&ids, settings), &warnings);
		store_visitor(visitor, &ids, settings, consent, at);
	}
	pcapi_restore_user(&saved);
	return warnings;
}

PG_FUNCTION_INFO_V1(pcapi_sql_identify);
Datum
pcapi_sql_identify(PG_FUNCTION_ARGS)
{
	char	   *visitor_id = visitor_arg(fcinfo);
	Jsonb	   *user_data = pcapi_object_arg(fcinfo, 1, "user_data");
	Jsonb	   *consent = pcapi_object_arg(fcinfo, 2, "consent");
	unsigned char visitor[32];

	pcapi_check_writable("identify()");
	pcapi_visitor_hash(visitor_id, visitor);
	pcapi_show_warnings(pcapi_identify(visitor, user_data, false, consent, 0));
	PG_RETURN_VOID();
}

/* ---- capture_click ---- */

/* Return the click id that an argument has, or NULL. */
static char *
click_id_from(FunctionCallInfo fcinfo, int n, char *(*find) (const char *, size_t))
{
	char	   *given;
	size_t		len;
	char	   *found;
	char	   *click_id = NULL;

	if (PG_ARGISNULL(n) || toast_raw_datum_size(PG_GETARG_DATUM(n)) > PCAPI_CLICK_SOURCE_MAX)
		return NULL;
	given = text_to_cstring(PG_GETARG_TEXT_PP(n));
	given = pcapi_to_utf8(given, strlen(given), &len);
	found = given ? find(given, len) : NULL;
	if (found)
	{
		given = pcapi_from_utf8(found, strlen(found));
		free(found);
		if (given)
			(void) pcapi_parse_click_id(&click_id, given, strlen(given));
	}
	return click_id;
}

void
pcapi_capture_click(const unsigned char *visitor, char *click_id, TimestampTz at)
{
	PcapiIdentifiers ids;
	PcapiUserContext saved;

	memset(&ids, 0, sizeof(ids));
	ids.texts[PCAPI_CLICK_ID] = click_id;
	pcapi_switch_to_owner(&saved, false);
	if (!pcapi_call_is_suppressed(pcapi_settings(), visitor, &ids))
		pcapi_visitor_store_click(visitor, click_id, at != 0 ? at : GetCurrentTimestamp());
	pcapi_restore_user(&saved);
}

PG_FUNCTION_INFO_V1(pcapi_sql_capture_click);
Datum
pcapi_sql_capture_click(PG_FUNCTION_ARGS)
{
	char	   *visitor_id = visitor_arg(fcinfo);
	char	   *click_id;
	unsigned char visitor[32];

	pcapi_check_writable("capture_click()");
	click_id = click_id_from(fcinfo, 1, pcapi_epik_from_url);
	if (click_id == NULL)
		click_id = click_id_from(fcinfo, 2, pcapi_epik_from_cookie);
	if (click_id == NULL)
		PG_RETURN_NULL();

	pcapi_visitor_hash(visitor_id, visitor);
	pcapi_capture_click(visitor, click_id, 0);
	PG_RETURN_TEXT_P(cstring_to_text(click_id));
}
