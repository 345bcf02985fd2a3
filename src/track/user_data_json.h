/*
 * user_data_json.h
 *	  Identifiers as the JSON of events, and of visitors in the table _visitor.
 */
#ifndef PCAPI_USER_DATA_JSON_H
#define PCAPI_USER_DATA_JSON_H

#include "pinterest_capi.h"

#include "lib/stringinfo.h"
#include "track/settings.h"
#include "track/user_data.h"
#include "utils/jsonb.h"

/* Append "user_data": {...} as the destination may receive it. */
extern void pcapi_append_user_data(StringInfo buf, const PcapiIdentifiers *ids, const PcapiDestination *dest);

/* Return which of the identifiers that are counted it has then: PCAPI_CARRIES_... bits. */
extern char pcapi_carries(const PcapiIdentifiers *ids, const PcapiDestination *dest);

/*
 * Make a visitor's user_data, and the text[] of the keys that a stored one
 * loses: those that were null.  Withheld keys are never stored and always lost.
 */
extern Jsonb *pcapi_stored_user_data(const PcapiIdentifiers *ids, uint32 withheld);
extern Datum pcapi_cleared_keys(const PcapiIdentifiers *ids, uint32 withheld);

/* Add what ids lacks and doesn't clear: from a visitor's user_data, or from an event as it is sent. */
extern void pcapi_identifiers_add_stored(PcapiIdentifiers *ids, Jsonb *user_data);
extern void pcapi_identifiers_add_event(PcapiIdentifiers *ids, Jsonb *event);

#endif							/* PCAPI_USER_DATA_JSON_H */
