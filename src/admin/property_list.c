/*
 * property_list.c
 *	  The fields that an event can have, and what is done to each before it is
 *	  sent: for the view compliance_report.
 *
 * The rows are made from the tables that build events (property.c,
 * user_data_key.c), so that an auditor reads what the code does.
 */
#include "pinterest_capi.h"

#include "fmgr.h"
#include "funcapi.h"
#include "track/property.h"
#include "track/user_data_key.h"
#include "utils/builtins.h"

/* Return what is done to a property. */
static const char *
transformation(const PcapiProperty *p)
{
	switch (p->type)
	{
		case PCAPI_TYPE_TEXT:
			return "free text: clipped, left out where it looks like personal data";
		case PCAPI_TYPE_TOKEN:
		case PCAPI_TYPE_TOKENS:
			return "short text: left out where it looks like personal data";
		case PCAPI_TYPE_DECIMAL:
		case PCAPI_TYPE_INTEGER:
			return "number";
		case PCAPI_TYPE_BOOLEAN:
			return "true or false";
		case PCAPI_TYPE_URL:
			return "URL without user info, query and fragment, as far as page_url_detail says";
		default:
			return "object: field by field";
	}
}

/* Return the object of the event that has it, as a prefix. */
static const char *
object_of(const PcapiProperty *p)
{
	switch (p->place)
	{
		case PCAPI_IN_CUSTOM_DATA:
			return "custom_data.";
		case PCAPI_IN_APP_INFO:
			return "app_info.";
		case PCAPI_IN_DEVICE_INFO:
			return "device_info.";
		case PCAPI_IN_CONTENTS:
			return "custom_data.contents[].";
		default:
			return "";
	}
}

PG_FUNCTION_INFO_V1(pcapi_sql_fields);
Datum
pcapi_sql_fields(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < pcapi_property_count(); i++)
	{
		const PcapiProperty *p = pcapi_property(i);
		Datum		values[4];
		bool		nulls[4] = {false};

		if (p->place == PCAPI_NOT_SENT)
			continue;
		values[0] = CStringGetTextDatum(p->name);
		values[1] = CStringGetTextDatum(psprintf("%s%s", object_of(p), p->field));
		values[2] = BoolGetDatum(p->structured);
		values[3] = CStringGetTextDatum(transformation(p));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(pcapi_sql_user_data_keys);
Datum
pcapi_sql_user_data_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];
		Datum		values[3] = {0};
		bool		nulls[3] = {false};

		values[0] = CStringGetTextDatum(psprintf("user_data.%s", field->name));
		values[1] = CStringGetTextDatum(field->parse ? "as given" : "normalised, SHA-256");
		nulls[2] = field->setting == NULL;
		if (field->setting)
			values[2] = CStringGetTextDatum(field->setting);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
