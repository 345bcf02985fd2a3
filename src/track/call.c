/*
 * call.c
 *	  One call to track or preview: its parameters, read and checked.
 */
#include "pinterest_capi.h"

#include "fmgr.h"
#include "track/call.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char *const action_sources[] = {"web", "app_android", "app_ios", "offline"};

/* Raise an error for JSON that is no object. */
static void
check_object(Jsonb *value, const char *parameter)
{
	if (value != NULL && !JB_ROOT_IS_OBJECT(value))
		pcapi_error_invalid_parameter(("%s must be a JSON object", parameter),
									  ("For example: {\"key\": \"value\"}."));
}

static const char *
find_action_source(const char *name)
{
	for (int i = 0; i < lengthof(action_sources); i++)
	{
		if (strcmp(name, action_sources[i]) == 0)
			return action_sources[i];
	}
	return NULL;
}

bool
pcapi_is_action_source(const char *name)
{
	return find_action_source(name) != NULL;
}

const char *
pcapi_call_action_source(PcapiCall *call)
{
	const char *found = call->action_source ? find_action_source(call->action_source) : "web";

	if (found)
		return found;
	if (!call->from_data)
		pcapi_error_invalid_parameter(("unknown action_source"),
									  ("Use web, app_android, app_ios or offline."));
	return NULL;
}

void
pcapi_call_check(PcapiCall *call)
{
	if (call->reject == NULL && (call->event_name == NULL || call->event_name[0] == '\0'))
		pcapi_error_invalid_parameter(("event_name must not be null or empty"),
									  ("Give the name under which the event was allowed with allow_event."));
	check_object(call->properties, "properties");
	check_object(call->user_data, "user_data");
	check_object(call->consent, "consent");
}

void
pcapi_call_from_args(PcapiCall *call, FunctionCallInfo fcinfo)
{
	memset(call, 0, sizeof(*call));
	if (!PG_ARGISNULL(0))
		call->event_name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(1))
		call->properties = PG_GETARG_JSONB_P(1);
	if (!PG_ARGISNULL(2))
		call->user_data = PG_GETARG_JSONB_P(2);
	if (!PG_ARGISNULL(3))
		call->visitor_id = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!PG_ARGISNULL(4))
		call->event_id = text_to_cstring(PG_GETARG_TEXT_PP(4));
	if (!PG_ARGISNULL(5))
	{
		call->has_event_time = true;
		call->event_time = PG_GETARG_TIMESTAMPTZ(5);
	}
	if (!PG_ARGISNULL(6))
		call->action_source = text_to_cstring(PG_GETARG_TEXT_PP(6));
	if (!PG_ARGISNULL(7))
		call->consent = PG_GETARG_JSONB_P(7);
	if (!PG_ARGISNULL(8))
		call->destination = text_to_cstring(PG_GETARG_TEXT_PP(8));
}

Jsonb *
pcapi_object_arg(FunctionCallInfo fcinfo, int n, const char *parameter)
{
	Jsonb	   *value = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	check_object(value, parameter);
	return value;
}
