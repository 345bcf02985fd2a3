/*
 * consent.c
 *	  Gate 2: consent rules, jsonpath predicates over an event.
 *
 * Rules fail closed: one that can't be evaluated stops the event, of either
 * kind.  Evaluation is silent, so it costs no subtransaction and no error can
 * quote what it looked at; the few rules that can raise an error all the same
 * (settings.c finds them) get a subtransaction.
 */
#include "session/column.h"
#include "session/session.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

static void
push_key(PcapiJsonb *state, const char *key)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	PcapiJsonbPush(state, WJB_KEY, &v);
}

static void
push_text(PcapiJsonb *state, const char *key, const char *text)
{
	JsonbValue	v;

	push_key(state, key);
	if (text)
	{
		v.type = jbvString;
		v.val.string.val = unconstify(char *, text);
		v.val.string.len = strlen(text);
	}
	else
		v.type = jbvNull;
	PcapiJsonbPush(state, WJB_VALUE, &v);
}

static void
push_object(PcapiJsonb *state, const char *key, Jsonb *object)
{
	JsonbValue	v;

	push_key(state, key);
	if (object)
	{
		JsonbToJsonbValue(object, &v);
		PcapiJsonbPush(state, WJB_VALUE, &v);
	}
	else
	{
		PcapiJsonbPush(state, WJB_BEGIN_OBJECT, NULL);
		PcapiJsonbPush(state, WJB_END_OBJECT, NULL);
	}
}

/* what was given with the event stands over what was stored for the visitor */
static Jsonb *
merge_consent(Jsonb *stored, Jsonb *given)
{
	if (stored == NULL || given == NULL)
		return given ? given : stored;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(stored), JsonbPGetDatum(given)));
}

static Jsonb *
document(PcapiCall *call, Jsonb *stored_consent)
{
	PcapiJsonb state = {0};

	PcapiJsonbPush(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "event", call->event_name);
	push_text(&state, "action_source", call->action_source ? call->action_source : "web");
	push_object(&state, "properties", call->properties);
	push_object(&state, "user", call->user_data);
	push_object(&state, "consent", merge_consent(stored_consent, call->consent));
	PcapiJsonbPush(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

typedef enum Outcome
{
	RULE_TRUE,
	RULE_FALSE,
	RULE_UNKNOWN
} Outcome;

typedef struct Evaluation
{
	JsonPath   *predicate;
	Jsonb	   *doc;
	Outcome		outcome;
} Evaluation;

static void
match(void *arg)
{
	Evaluation *ev = arg;
	LOCAL_FCINFO(fcinfo, 4);
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(ev->doc);
	fcinfo->args[1].value = PointerGetDatum(ev->predicate);
	fcinfo->args[2].value = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	fcinfo->args[3].value = BoolGetDatum(true); /* silent */
	for (int i = 0; i < 4; i++)
		fcinfo->args[i].isnull = false;
	/* the variant that knows time zones: the other raises errors even if silent */
	result = jsonb_path_match_tz(fcinfo);
	if (!fcinfo->isnull)
		ev->outcome = DatumGetBool(result) ? RULE_TRUE : RULE_FALSE;
}

static Outcome
evaluate(const PcapiRule *rule, Jsonb *doc)
{
	Evaluation	ev = {rule->predicate, doc, RULE_UNKNOWN};

	if (rule->predicate == NULL)
		return RULE_UNKNOWN;
	if (rule->may_raise)
		(void) pcapi_guarded(match, &ev);
	else
		match(&ev);
	return ev.outcome;
}

const char *
pcapi_consent_stops(PcapiSettings *settings, PcapiDestination *destination,
					PcapiCall *call, Jsonb *consent)
{
	Jsonb	   *doc = NULL;
	ListCell   *lc;

	foreach(lc, settings->rules)
	{
		PcapiRule  *rule = lfirst(lc);
		Outcome		outcome;

		if (rule->destination && strcmp(rule->destination, destination->name) != 0)
			continue;
		if (doc == NULL)
			doc = document(call, consent);
		outcome = evaluate(rule, doc);
		if (outcome == RULE_UNKNOWN || (outcome == RULE_TRUE) != rule->require)
			return rule->name;
	}
	return NULL;
}
