/*
 * track.c
 *	  One call to track: through the gates, and into the queue.
 *
 * The gates, in their order: allowed for the destination, consent rules, opted
 * out, forgotten, an identifier.  Identifiers are read in user_data.c, the JSON
 * is made in event_json.c, the rows are written in src/queue/enqueue.c.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "common/encoding.h"
#include "common/extension.h"
#include "common/guc.h"
#include "core/normalize.h"
#include "core/url.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "queue/destination_state.h"
#include "queue/enqueue.h"
#include "queue/event_id.h"
#include "queue/wakeup.h"
#include "track/call.h"
#include "track/consent.h"
#include "track/contents.h"
#include "track/event_json.h"
#include "track/property.h"
#include "track/settings.h"
#include "track/settings_cache.h"
#include "track/suppression.h"
#include "track/track.h"
#include "track/user_data.h"
#include "track/visitor.h"
#include "track/warning.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define EVENT_NAME_MAX	256
#define AHEAD_MAX		(60 * USECS_PER_SEC)	/* clock skew between the application's host and ours */

/* the part of a decision that is the same for all destinations */
typedef struct CallState
{
	PcapiCall  *call;
	PcapiSettings *settings;
	PcapiProperties props;
	PcapiIdentifiers ids;
	List	   *warnings;
	Jsonb	   *consent;		/* stored for the visitor, or NULL */
	Jsonb	   *doc;			/* the document of consent rules; NULL before the first one */
	const char *action_source;
	const char *reject;			/* reason for all destinations, or NULL */
	bool		forgotten;		/* the visitor or an identifier is suppressed */
	char	   *event_id;
	TimestampTz event_time;
	TimestampTz now;
} CallState;

/* Use the id that was given, in its stored form, or generate one. */
static void
resolve_event_id(CallState *state, bool *generated)
{
	char	   *given = state->call->event_id;
	const char *why;

	*generated = given == NULL || given[0] == '\0';
	if (*generated)
	{
		state->event_id = pcapi_make_event_id(state->now);
		return;
	}
	state->event_id = pcapi_stored_event_id(given, &why);
	if (why)
		pcapi_warn(&state->warnings, "event_id", why);
}

/* Use the time that was given, or the transaction's start.  Reject an unusable time. */
static void
resolve_event_time(CallState *state)
{
	PcapiCall  *call = state->call;

	state->event_time = call->has_event_time ? call->event_time : GetCurrentTransactionStartTimestamp();
	if (call->bad_event_time != NULL || TIMESTAMP_NOT_FINITE(state->event_time))
	{
		state->reject = call->bad_event_time ? call->bad_event_time : "invalid event time";
		state->event_time = GetCurrentTransactionStartTimestamp();
	}
	else if (state->event_time > state->now)
	{
		if (state->event_time - state->now > AHEAD_MAX)
			state->reject = "event time in the future";
		else
		{
			pcapi_warn(&state->warnings, "event_time", "in the future, the current time stands in");
			state->event_time = state->now;
		}
	}
}

/* Return the click id in a property that holds a URL, or NULL. */
static char *
click_id_in(CallState *state, int property)
{
	const JsonbValue *v = state->props.given[property];
	size_t		len;
	char	   *utf8;
	char	   *found;
	char	   *click_id = NULL;

	if (v == NULL || v->type != jbvString || v->val.string.len > PCAPI_CLICK_SOURCE_MAX)
		return NULL;
	utf8 = pcapi_to_utf8(v->val.string.val, v->val.string.len, &len);
	found = utf8 ? pcapi_epik_from_url(utf8, len) : NULL;
	if (found)
	{
		char	   *text = pcapi_from_utf8(found, strlen(found));
		const char *wrong;

		free(found);
		wrong = text ? pcapi_parse_click_id(&click_id, text, strlen(text)) :
			"has no form in the database's encoding";
		if (wrong)
			pcapi_warn(&state->warnings, "epik", wrong);
	}
	return click_id;
}

/*
 * Gather the identifiers of the call, then a click id from its URLs, then what
 * is stored of the visitor.  Return the click id that a URL had, or NULL.
 */
static char *
gather_identifiers(CallState *state, const unsigned char *visitor)
{
	char	   *from_url = NULL;

	pcapi_identifiers_from_jsonb(&state->ids, state->call->user_data, state->call->hashed, &state->warnings);
	if (!pcapi_is_given(&state->ids, PCAPI_CLICK_ID))
	{
		from_url = click_id_in(state, PCAPI_PROP_PAGE_URL);
		if (from_url == NULL)
			from_url = click_id_in(state, PCAPI_PROP_EVENT_SOURCE_URL);
		if (from_url == NULL)
			from_url = click_id_in(state, PCAPI_PROP_REFERRER);
		if (from_url)
		{
			state->ids.texts[PCAPI_CLICK_ID] = from_url;
			state->ids.cleared &= ~PCAPI_KEY_BIT(PCAPI_CLICK_ID);
		}
	}
	if (visitor)
		pcapi_visitor_fill(visitor, &state->ids, &state->consent);
	if (state->ids.national != NIL)
	{
		const char *country = pcapi_known_country(&state->ids);

		if (country[0] != '\0')
		{
			pcapi_hash_national(&state->ids, country, &state->warnings);
			state->ids.national = NIL;
		}
	}
	state->forgotten = pcapi_call_is_suppressed(state->settings, visitor, &state->ids);
	return from_url;
}

/* End a decision with a status and its reason. */
static void
decide(PcapiDecision *d, const char *status, const char *reason)
{
	d->status = status;
	d->reason = pstrdup(reason);
}

/* Ask gates 2 to 4 for one destination.  Return whether the consent rules let the event pass. */
static bool
decide_for(CallState *state, PcapiAllowed *allowed, PcapiDecision *d)
{
	PcapiDestination *dest = allowed->destination;
	PcapiIdentifiers own;
	const PcapiIdentifiers *ids = &state->ids;
	const char *rule;
	const char *reason;
	char	   *payload;
	bool		has_identifier;
	bool		client;
	const uint32 client_keys = PCAPI_KEY_BIT(PCAPI_CLIENT_IP) | PCAPI_KEY_BIT(PCAPI_CLIENT_USER_AGENT);

	d->destination = dest;
	d->event_name = allowed->event_name;
	d->sent_as = allowed->sent_as;
	d->warnings = list_copy(state->warnings);

	rule = pcapi_consent_check(pcapi_rule_paths(state->settings), dest, state->call, state->consent,
							   &state->doc, &d->warnings);
	if (rule)
	{
		decide(d, "suppressed", psprintf("consent rule %s", rule));
		return false;
	}
	if (state->props.opt_out && dest->suppress_opt_out)
	{
		decide(d, "suppressed", "opted out");
		return true;
	}
	if (state->forgotten)
	{
		decide(d, "suppressed", "forgotten");
		return true;
	}
	if (state->reject)
	{
		decide(d, "rejected", state->reject);
		return true;
	}
	if (ids->national != NIL)
	{
		own = *ids;
		own.hashes[PCAPI_PH] = list_copy(ids->hashes[PCAPI_PH]);
		pcapi_hash_national(&own, dest->default_country, &d->warnings);
		ids = &own;
	}
	reason = pcapi_build_event(allowed, &state->props, ids, state->action_source,
							   state->event_id, state->event_time, &d->warnings, &payload, &d->facts);
	if (reason)
	{
		decide(d, "rejected", reason);
		return true;
	}
	/* an expired event keeps its payload: it can be replayed with a new time */
	has_identifier = pcapi_has_identifier(ids, dest);
	if (has_identifier)
		d->payload = payload;
	if (state->now - state->event_time > dest->max_event_age)
		decide(d, "expired", "older than max_event_age");
	else if (!has_identifier)
		decide(d, "suppressed", "no identifier");
	client = pcapi_is_given(ids, PCAPI_CLIENT_IP) || pcapi_is_given(ids, PCAPI_CLIENT_USER_AGENT);
	if (!has_identifier && client && (dest->withheld & client_keys) != 0)
		pcapi_warn(&d->warnings, "user_data",
				   "IP address and user agent are left out, send_client_ip and send_user_agent are not both on");
	if (has_identifier && !pcapi_is_given(ids, PCAPI_EM) && !pcapi_is_given(ids, PCAPI_MAIDS) &&
		!pcapi_sends_client(ids, dest))
		pcapi_warn(&d->warnings, "user_data",
				   "Pinterest asks for em, hashed_maids, or client IP address and user agent");
	return true;
}

/* Decide for an event without a destination: one row records it. */
static List *
decide_nowhere(CallState *state, PcapiDestination *named, const char *status, const char *reason)
{
	PcapiDecision *d = palloc0(sizeof(PcapiDecision));
	const char *name = state->call->event_name;
	int			len = strlen(name);

	d->destination = named;
	d->event_name = pnstrdup(name, pg_mbcliplen(name, len, Min(len, EVENT_NAME_MAX)));
	d->warnings = state->warnings;
	decide(d, status, reason);
	return list_make1(d);
}

List *
pcapi_decide(PcapiCall *call, char **event_id, bool *event_id_generated,
			 TimestampTz *event_time, unsigned char **visitor, char **click_id)
{
	CallState  *state = palloc0(sizeof(CallState));
	PcapiDestination *named = NULL;
	PcapiAllowed *allowed = NULL;
	List	   *decisions = NIL;
	char	   *from_url = NULL;
	bool		gathered = false;

	pcapi_call_check(call);
	state->call = call;
	/* folding makes a name shorter, but never by more than a factor of 16 */
	state->settings = pcapi_settings_find(strlen(call->event_name) > 16 * EVENT_NAME_MAX ? NULL : call->event_name,
										  call->destination, &named, &allowed);
	state->warnings = list_copy(call->warnings);
	state->now = call->called_at != 0 ? call->called_at : GetCurrentTimestamp();
	resolve_event_id(state, event_id_generated);
	resolve_event_time(state);
	state->action_source = pcapi_call_action_source(call);
	if (state->action_source == NULL)
		state->reject = "unknown action source";
	if (call->destination && named == NULL && !call->from_data)
		pcapi_error_invalid_parameter(("unknown destination"),
									  ("Destinations are made with configure_destination; the table pinterest_capi.destination lists them."));

	*event_id = state->event_id;
	*event_time = state->event_time;
	*click_id = NULL;
	*visitor = call->visitor;
	if (call->visitor_id && call->visitor_id[0] != '\0')
	{
		*visitor = palloc(32);
		pcapi_visitor_hash(call->visitor_id, *visitor);
	}

	/*
	 * Recorded without a destination: a row of the destination would keep out
	 * the same event_id once the mapping is right.
	 */
	if (call->reject)
		return decide_nowhere(state, NULL, "rejected", call->reject);
	if (call->destination && named == NULL)
		return decide_nowhere(state, NULL, "rejected", "unknown destination");

	for (; allowed; allowed = allowed->next)
	{
		PcapiDecision *d;

		if (!gathered)
		{
			pcapi_properties_from_jsonb(&state->props, call->properties);
			state->warnings = list_concat(state->warnings, state->props.warnings);
			from_url = gather_identifiers(state, *visitor);
			gathered = true;
		}
		d = palloc0(sizeof(PcapiDecision));
		if (decide_for(state, allowed, d) && !state->forgotten)
			*click_id = from_url;
		decisions = lappend(decisions, d);
	}
	if (decisions == NIL)
		decisions = decide_nowhere(state, named, "suppressed",
								   named || pcapi_any_destination(state->settings) ? "not allowed" : "no destination");
	return decisions;
}

char *
pcapi_track(PcapiCall *call)
{
	MemoryContext caller_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller_context, "pinterest_capi call",
												  ALLOCSET_DEFAULT_SIZES);
	PcapiUserContext saved;
	List	   *decisions;
	ListCell   *lc;
	bool		generated;
	bool		queued = false;
	unsigned char *visitor;
	char	   *click_id;
	PcapiNewEvent ev = {0};
	char	   *event_id;
	char	   *result;

	pcapi_check_writable("track()");
	MemoryContextSwitchTo(context);
	pcapi_switch_to_owner(&saved, false);
	decisions = pcapi_decide(call, &event_id, &generated, &ev.event_time, &visitor, &click_id);

	ev.visitor = visitor;
	ev.event_id = event_id;
	ev.event_id_generated = generated;
	ev.created_at = call->called_at;
	ev.origin = call->origin;
	foreach(lc, decisions)
	{
		PcapiDecision *d = lfirst(lc);

		if (d->status && strcmp(d->status, "suppressed") == 0 && !pcapi_log_suppressed)
			continue;
		ev.dest = 0;
		ev.destination = NULL;
		if (d->destination)
		{
			ev.destination = d->destination->name;
			ev.dest = d->destination->no > 0 ? d->destination->no :
				pcapi_destination_number(d->destination->name, true);
		}
		ev.event_name = d->event_name;
		ev.sent_as = d->sent_as;
		ev.warnings = d->warnings;
		ev.payload = d->payload;
		ev.facts = d->facts;
		ev.status = d->status;
		ev.reason = d->reason;
		if (pcapi_enqueue(&ev) && d->status == NULL)
			queued = true;
	}
	if (visitor && click_id)
		pcapi_visitor_store_click(visitor, click_id, ev.event_time);
	if (queued)
		pcapi_wake_at_commit();
	pcapi_restore_user(&saved);

	MemoryContextSwitchTo(caller_context);
	result = pstrdup(event_id);
	MemoryContextDelete(context);
	return result;
}

PG_FUNCTION_INFO_V1(pcapi_sql_track);
Datum
pcapi_sql_track(PG_FUNCTION_ARGS)
{
	PcapiCall	call;

	pcapi_call_from_args(&call, fcinfo);
	PG_RETURN_TEXT_P(cstring_to_text(pcapi_track(&call)));
}
