/*
 * consent.c
 *	  Gate 2: consent rules, jsonpath predicates over an event.
 *
 * Rules fail closed: one that can't be evaluated stops the event, of either
 * kind.  Evaluation is silent, and in a subtransaction all the same: a document
 * that is nested too deep, a broken template of datetime() and more raise
 * errors in spite of that.  One subtransaction is enough for all rules of a
 * call, since the first that fails is the one that stops.
 */
#include "session/column.h"
#include "session/event.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"
#include "utils/memutils.h"

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
	PcapiJsonb	state = {0};

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

static Outcome
evaluate(const PcapiRule *rule, Jsonb *doc)
{
	static Datum no_variables = (Datum) 0;
	LOCAL_FCINFO(fcinfo, 4);
	Datum		result;

	if (rule->predicate == NULL)
		return RULE_UNKNOWN;
	if (no_variables == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		no_variables = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
		MemoryContextSwitchTo(old);
	}
	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(doc);
	fcinfo->args[1].value = PointerGetDatum(rule->predicate);
	fcinfo->args[2].value = no_variables;
	fcinfo->args[3].value = BoolGetDatum(true); /* silent */
	for (int i = 0; i < 4; i++)
		fcinfo->args[i].isnull = false;
	/* the variant that knows time zones: the other raises errors even if silent */
	result = jsonb_path_match_tz(fcinfo);
	if (fcinfo->isnull)
		return RULE_UNKNOWN;
	return DatumGetBool(result) ? RULE_TRUE : RULE_FALSE;
}

typedef struct Question
{
	PcapiSettings *settings;
	PcapiDestination *destination;
	PcapiCall  *call;
	Jsonb	   *stored_consent;
	Jsonb	  **doc;
	const PcapiRule *asked;		/* what was asked last; it stops if there was an error */
	Outcome		outcome;
} Question;

static const PcapiRule *
next_rule(const Question *q, int *from)
{
	while (*from < list_length(q->settings->rules))
	{
		const PcapiRule *rule = list_nth(q->settings->rules, (*from)++);

		if (rule->destination == NULL || strcmp(rule->destination, q->destination->name) == 0)
			return rule;
	}
	return NULL;
}

/* Ends with the first rule that stops, or with asked NULL. */
static void
ask_all(void *arg)
{
	Question   *q = arg;
	int			next = 0;

	while ((q->asked = next_rule(q, &next)) != NULL)
	{
		q->outcome = RULE_UNKNOWN;
		if (*q->doc == NULL)
			*q->doc = document(q->call, q->stored_consent);
		q->outcome = evaluate(q->asked, *q->doc);
		if (q->outcome == RULE_UNKNOWN || (q->outcome == RULE_TRUE) != q->asked->require)
			return;
	}
}

const char *
pcapi_consent_stops(PcapiSettings *settings, PcapiDestination *destination,
					PcapiCall *call, Jsonb *consent, Jsonb **doc, List **warnings)
{
	Question	q = {settings, destination, call, consent, doc};
	int			next = 0;

	if (next_rule(&q, &next) == NULL)
		return NULL;
	(void) pcapi_guarded(ask_all, &q);
	if (q.asked == NULL)
		return NULL;
	if (q.outcome == RULE_UNKNOWN)
		pcapi_warn(warnings, "consent", "the rule gives neither true nor false for this event");
	return q.asked->name;
}
