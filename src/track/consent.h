/*
 * consent.h
 *	  Gate 2: consent rules, jsonpath predicates over an event.
 */
#ifndef PCAPI_CONSENT_H
#define PCAPI_CONSENT_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "track/call.h"
#include "track/settings.h"
#include "utils/jsonb.h"

/*
 * Evaluate the rules of a destination for a call.  Returns the name of the rule
 * that stops the event, or NULL.  paths are those of the rules for all
 * destinations.  *doc is built at the first call and serves all destinations.
 */
extern const char *pcapi_consent_check(List *paths, PcapiDestination *destination,
									   PcapiCall *call, Jsonb *consent, Jsonb **doc, List **warnings);

/* Compile a rule that was read, in the current memory context.  Its paths are added to *paths. */
extern void pcapi_consent_compile(PcapiRule *rule, List **paths);

#endif							/* PCAPI_CONSENT_H */
