/*
 * consent.c
 *	  Gate 2: consent rules, jsonpath predicates over an event.
 *
 * Rules fail closed: a rule that can't be evaluated stops the event, whatever
 * its action.  Evaluation is silent, and in a subtransaction all the same: some
 * errors are raised in spite of that, for a document that is nested too deep or
 * a broken template of datetime().  One subtransaction is enough for all rules
 * of a call, since the first rule that fails stops the event.
 */
#include "pinterest_capi.h"

#include "common/subxact.h"
#include "fmgr.h"
#include "track/call.h"
#include "track/consent.h"
#include "track/consent_eval.h"
#include "track/jsonb_push.h"
#include "track/settings.h"
#include "track/warning.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"
#include "utils/memutils.h"

/* Push a key with a text; NULL: JSON null. */
static void
push_text(PcapiJsonb *state, const char *key, const char *text)
{
	JsonbValue	null = {.type = jbvNull};

	pcapi_push_string(state, WJB_KEY, key);
	if (text)
		pcapi_push_string(state, WJB_VALUE, text);
	else
		PcapiJsonbPush(state, WJB_VALUE, &null);
}

/* Push a key with an object; NULL: an empty one. */
static void
push_object(PcapiJsonb *state, const char *key, Jsonb *object)
{
	JsonbValue	v;

	pcapi_push_string(state, WJB_KEY, key);
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

/* Merge consents: a key that was given with the event replaces the stored one. */
static Jsonb *
merge_consent(Jsonb *stored, Jsonb *given)
{
	if (stored == NULL || given == NULL)
		return given ? given : stored;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(stored), JsonbPGetDatum(given)));
}

/* Build the document that rules are evaluated over. */
static Jsonb *
build_document(PcapiCall *call, Jsonb *stored_consent)
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

/* Evaluate by the server's jsonb_path_match_tz(). */
static PcapiPredicateResult
ask_server(const PcapiRule *rule, Jsonb *doc)
{
	static Datum no_variables = (Datum) 0;
	LOCAL_FCINFO(fcinfo, 4);
	Datum		result;

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
	/* the _tz variant: the other one raises errors even if silent */
	result = jsonb_path_match_tz(fcinfo);
	if (fcinfo->isnull)
		return PCAPI_UNKNOWN;
	return DatumGetBool(result) ? PCAPI_TRUE : PCAPI_FALSE;
}

/* Evaluate here where that is possible, else by the server. */
static PcapiPredicateResult
evaluate(const PcapiRule *rule, Jsonb *doc)
{
	PcapiPredicateResult plain = rule->plain ? pcapi_rule_evaluate(rule->plain, doc) : PCAPI_ASK_SERVER;

	if (plain != PCAPI_ASK_SERVER)
		return plain;
	return rule->predicate ? ask_server(rule, doc) : PCAPI_UNKNOWN;
}

/* the evaluation of a destination's rules for a call */
typedef struct Evaluation
{
	List	   *paths;			/* of rules for all destinations */
	PcapiDestination *destination;
	PcapiCall  *call;
	Jsonb	   *stored_consent;
	Jsonb	  **doc;
	const PcapiRule *rule;		/* the last one evaluated, which stops the event; NULL: none does */
	PcapiPredicateResult result;	/* of the rule; UNKNOWN also after an error */
} Evaluation;

/* Evaluate rules up to the first one that stops the event. */
static void
evaluate_rules(void *arg)
{
	Evaluation *e = arg;
	ListCell   *lc;

	pcapi_rule_new_document(e->destination->rule_paths);
	foreach(lc, e->destination->rules)
	{
		e->rule = lfirst(lc);
		e->result = PCAPI_UNKNOWN;
		if (*e->doc == NULL)
		{
			*e->doc = build_document(e->call, e->stored_consent);
			pcapi_rule_new_document(e->paths);
		}
		e->result = evaluate(e->rule, *e->doc);
		if (e->result != (e->rule->require ? PCAPI_TRUE : PCAPI_FALSE))
			return;
	}
	e->rule = NULL;
}

const char *
pcapi_consent_check(List *paths, PcapiDestination *destination, PcapiCall *call,
					Jsonb *consent, Jsonb **doc, List **warnings)
{
	Evaluation	e = {paths, destination, call, consent, doc};

	if (destination->rules == NIL)
		return NULL;
	if (call->bad_consent)
	{
		pcapi_warn(warnings, "consent", "not readable, so no rule can let the event pass");
		return ((PcapiRule *) linitial(destination->rules))->name;
	}
	(void) pcapi_try_subxact(evaluate_rules, &e);
	if (e.rule == NULL)
		return NULL;
	if (e.result == PCAPI_UNKNOWN)
		pcapi_warn(warnings, "consent", "the rule gives neither true nor false for this event");
	return e.rule->name;
}

/* ---- when rules are read ---- */

/*
 * Return whether a predicate names a variable.  Rules have no variables, and a
 * missing one raises an error even if evaluation is silent.  In a path's
 * canonical text a variable is $"name", which occurs outside of strings for
 * nothing else.
 */
static bool
names_variable(JsonPath *predicate)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(jsonpath_out, PointerGetDatum(predicate)));
	char		before = '\0';
	bool		found = false;

	for (const char *c = text; *c && !found; before = *c++)
	{
		if (*c != '"')
			continue;
		found = before == '$';
		for (c++; *c != '"' && *c != '\0'; c++)
		{
			if (*c == '\\' && c[1] != '\0')
				c++;
		}
		if (*c == '\0')
			break;
	}
	pfree(text);
	return found;
}

void
pcapi_consent_compile(PcapiRule *rule, List **paths)
{
	rule->plain = pcapi_rule_compile(rule->predicate, paths);
	if (names_variable(rule->predicate))
		rule->predicate = NULL;
}
