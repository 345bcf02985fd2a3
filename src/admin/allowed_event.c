/*
 * allowed_event.c
 *	  allow_event and disallow_event: which events may be sent to which destination.
 *
 * The list is the table allowed_event, whose constraints call functions of this file.
 * src/track/settings_read.c reads it.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/encoding.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_insert.h"
#include "fmgr.h"
#include "queue/destination_state.h"
#include "track/property.h"
#include "track/standard_event.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define NAME_MAX_BYTES	256

/* Return the parameter destination.  It is an error if it is null. */
static char *
destination_arg(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		pcapi_error_invalid_parameter(("destination must not be null"),
									  ("The table pinterest_capi.destination lists destinations."));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Return the parameter event_name.  It is an error if it is null, empty or too long. */
static char *
event_name_arg(FunctionCallInfo fcinfo)
{
	char	   *name = pcapi_text_arg(fcinfo, 0);

	if (name == NULL || name[0] == '\0' || strlen(name) > NAME_MAX_BYTES)
		pcapi_error_invalid_parameter(("event_name must have 1 to %d bytes", NAME_MAX_BYTES),
									  ("Give the name under which the application tracks the event."));
	return name;
}

/* Return the number, from 1, of the first element that is no property.  0: all are. */
static int
unknown_property(ArrayType *array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name;

		if (nulls[i])
			return i + 1;
		name = TextDatumGetCString(elems[i]);
		if (strcmp(name, "*") != 0 && pcapi_property_from_name(name, strlen(name)) < 0)
			return i + 1;
	}
	return 0;
}

/* Notify the caller that the event is sent as custom, which is in no report of Pinterest's and likely a mistake. */
static void
notice_sent_as_custom(const char *event_name)
{
	const char *nearest = pcapi_nearest_standard_event(event_name);

	ereport(NOTICE,
			(errmsg("the event will be sent as custom, since its name is not one of Pinterest's standard events"),
			 nearest ?
			 errhint("If it means what Pinterest calls %s, allow it with send_as => '%s'; with send_as => 'Custom' this notice does not come.", nearest, nearest) :
			 errhint("The view pinterest_capi.standard_event lists them; with send_as => 'Custom' this notice does not come."),
			 pcapi_errhide()));
}

PG_FUNCTION_INFO_V1(pcapi_sql_allow_event);
Datum
pcapi_sql_allow_event(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	PcapiUserContext saved;
	uint64		destinations;

	pcapi_check_writable("allow_event()");
	values[0] = CStringGetTextDatum(event_name_arg(fcinfo));
	values[1] = CStringGetTextDatum(destination_arg(fcinfo, 2));
	if (PG_ARGISNULL(1))
		nulls[2] = 'n';
	else
	{
		char	   *send_as = text_to_cstring(PG_GETARG_TEXT_PP(1));

		if (pcapi_standard_event(send_as) == NULL)
			pcapi_error_invalid_parameter(("send_as is not a standard event"),
										  ("The view pinterest_capi.standard_event lists them; without send_as any other name is sent as custom."));
		values[2] = CStringGetTextDatum(send_as);
	}
	if (PG_ARGISNULL(3))
		nulls[3] = 'n';
	else
	{
		int			unknown = unknown_property(PG_GETARG_ARRAYTYPE_P(3));

		if (unknown > 0)
			pcapi_error_invalid_parameter(("element %d of properties is not a property that Pinterest's API knows", unknown),
										  ("Properties are those of track, such as search_string; '{*}' stands for all."));
		values[3] = PG_GETARG_DATUM(3);
	}

	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT FROM pinterest_capi.destination WHERE destination = $2",
					   4, types, values, nulls, false, 1);
	destinations = SPI_processed;
	if (destinations > 0)
		(void) pcapi_execute_upsert(PCAPI_TABLE_ALLOWED_EVENT,
									pcapi_plan(&plan,
											   "INSERT INTO pinterest_capi.allowed_event AS a (event_name, destination, send_as, properties)"
											   " VALUES ($1, $2, $3, $4)"
											   " ON CONFLICT (destination, pinterest_capi._fold(event_name)) DO UPDATE"
											   " SET event_name = excluded.event_name, send_as = excluded.send_as, properties = excluded.properties",
											   4, types),
									values, nulls);
	SPI_finish();
	/* make its number here: the first session that tracks would keep the others waiting until its COMMIT */
	if (destinations > 0)
		(void) pcapi_destination_number(TextDatumGetCString(values[1]), true);
	pcapi_restore_user(&saved);
	if (destinations == 0)
		pcapi_error_invalid_parameter(("unknown destination"),
									  ("Make it with configure_destination; the table pinterest_capi.destination lists those that exist."));
	if (PG_ARGISNULL(1) && pcapi_standard_event(TextDatumGetCString(values[0])) == NULL)
		notice_sent_as_custom(TextDatumGetCString(values[0]));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pcapi_sql_disallow_event);
Datum
pcapi_sql_disallow_event(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	PcapiUserContext saved;
	bool		found;

	pcapi_check_writable("disallow_event()");
	values[0] = CStringGetTextDatum(event_name_arg(fcinfo));
	values[1] = CStringGetTextDatum(destination_arg(fcinfo, 1));
	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	pcapi_execute_once(SPI_OK_DELETE,
					   "DELETE FROM pinterest_capi.allowed_event"
					   " WHERE destination = $2 AND pinterest_capi._fold(event_name) = pinterest_capi._fold($1)",
					   2, types, values, NULL, false, 0);
	found = (SPI_processed > 0);
	SPI_finish();
	pcapi_restore_user(&saved);
	PG_RETURN_BOOL(found);
}

PG_FUNCTION_INFO_V1(pcapi_sql_properties_ok);
Datum
pcapi_sql_properties_ok(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(unknown_property(PG_GETARG_ARRAYTYPE_P(0)) == 0);
}

PG_FUNCTION_INFO_V1(pcapi_sql_send_as_ok);
Datum
pcapi_sql_send_as_ok(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pcapi_standard_event(text_to_cstring(PG_GETARG_TEXT_PP(0))) != NULL);
}

PG_FUNCTION_INFO_V1(pcapi_sql_fold);
Datum
pcapi_sql_fold(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(pcapi_fold_name(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}
