/*
 * mapped_value.c
 *	  Put the values of a row into the parameters of a call.
 *
 * A value that can't be used is left out with a warning.  For some keys it must
 * not count as absent, since the event would then reach all destinations, or
 * pass an opt-out or a consent rule.
 */
#include "pinterest_capi.h"

#include "track/call.h"
#include "track/column_json.h"
#include "track/column_time.h"
#include "track/jsonb_push.h"
#include "track/mapped_value.h"
#include "track/mapping.h"
#include "track/warning.h"

/* A quarter of the server's limit for JSON, since consent rules see a whole call as one document. */
#define OBJECT_MAX	(64 * 1024 * 1024)

void
pcapi_mapped_begin(PcapiMappedCall *mapped)
{
	PcapiJsonbPush(&mapped->properties.json, WJB_BEGIN_OBJECT, NULL);
	PcapiJsonbPush(&mapped->user_data.json, WJB_BEGIN_OBJECT, NULL);
}

void
pcapi_mapped_end(PcapiMappedCall *mapped)
{
	PcapiJsonbPush(&mapped->properties.json, WJB_END_OBJECT, NULL);
	mapped->call->properties = JsonbValueToJsonb(mapped->properties.json.result);
	PcapiJsonbPush(&mapped->user_data.json, WJB_END_OBJECT, NULL);
	mapped->call->user_data = JsonbValueToJsonb(mapped->user_data.json.result);
}

static void
push_pair(PcapiMappedObject *object, const char *key, JsonbValue *value)
{
	pcapi_push_string(&object->json, WJB_KEY, key);
	PcapiJsonbPush(&object->json, WJB_VALUE, value);
}

/* Add a value to its object; return NULL, or what is wrong with it. */
static const char *
add_value(PcapiMappedObject *object, const char *key, JsonbValue *v)
{
	Size		size = 0;

	if (v->type == jbvBinary)
		size = v->val.binary.len;
	else if (v->type == jbvString)
		size = v->val.string.len;
	if (object->size + size > OBJECT_MAX)
		return "too large, left out";
	object->size += size;
	push_pair(object, key, v);
	return NULL;
}

/* Set the consent, which must be an object; return NULL, or what is wrong with it. */
static const char *
put_consent(PcapiCall *call, JsonbValue *v)
{
	if (v->type == jbvNull)
		return NULL;
	if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
		return "not a JSON object";
	call->consent = JsonbValueToJsonb(v);
	return NULL;
}

/* Put a value into consent, user_data or properties; return NULL, or what is wrong with it. */
static const char *
put_json(PcapiMappedCall *mapped, const PcapiMapping *m, Datum value)
{
	JsonbValue	v;
	const char *wrong;
	const char *refused;

	if (!pcapi_column_to_json(&m->type, value, &v, &wrong))
		return wrong;
	if (m->target == PCAPI_TO_CONSENT)
		return wrong ? wrong : put_consent(mapped->call, &v);
	refused = add_value(m->target == PCAPI_TO_USER_DATA ? &mapped->user_data : &mapped->properties,
						m->key, &v);
	return refused ? refused : wrong;
}

/* Put a value into its parameter; return NULL, or what is wrong with it. */
static const char *
put(PcapiMappedCall *mapped, const PcapiMapping *m, Datum value)
{
	PcapiCall  *call = mapped->call;
	const char *wrong = NULL;

	switch (m->target)
	{
		case PCAPI_TO_VISITOR_ID:
			call->visitor_id = pcapi_column_to_text(&m->type, value, &wrong);
			break;
		case PCAPI_TO_EVENT_ID:
			call->event_id = pcapi_column_to_text(&m->type, value, &wrong);
			break;
		case PCAPI_TO_ACTION_SOURCE:
			call->action_source = pcapi_column_to_text(&m->type, value, &wrong);
			break;
		case PCAPI_TO_DESTINATION:
			call->destination = pcapi_column_to_text(&m->type, value, &wrong);
			break;
		case PCAPI_TO_EVENT_TIME:
			if (pcapi_column_to_time(&m->type, value, &call->event_time))
				call->has_event_time = true;
			else
				call->bad_event_time = "invalid event time";
			break;
		default:
			wrong = put_json(mapped, m, value);
	}
	return wrong;
}

/* Put a value that no check accepts where an absent one would let the event pass. */
static void
put_unusable(PcapiMappedCall *mapped, const PcapiMapping *m)
{
	JsonbValue	unclear;

	if (m->target == PCAPI_TO_DESTINATION)
		mapped->call->destination = pstrdup("");
	else if (m->target == PCAPI_TO_ACTION_SOURCE)
		mapped->call->action_source = pstrdup("");
	else if (m->target == PCAPI_TO_CONSENT)
		mapped->call->bad_consent = true;
	else if (m->target == PCAPI_TO_PROPERTIES && strcmp(m->key, "opt_out") == 0)
	{
		unclear.type = jbvString;
		unclear.val.string.val = pstrdup("unclear");
		unclear.val.string.len = strlen("unclear");
		push_pair(&mapped->properties, m->key, &unclear);
	}
}

void
pcapi_put_value(PcapiMappedCall *mapped, const PcapiMapping *m, Datum value)
{
	const char *wrong = put(mapped, m, value);

	if (wrong == NULL)
		return;
	pcapi_warn(&mapped->call->warnings, m->key, wrong);
	put_unusable(mapped, m);
}
