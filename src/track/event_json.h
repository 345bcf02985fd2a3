/*
 * event_json.h
 *	  An event's JSON, exactly as it will stand in the request's data array.
 */
#ifndef PCAPI_EVENT_JSON_H
#define PCAPI_EVENT_JSON_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "queue/enqueue.h"
#include "track/contents.h"
#include "track/settings.h"
#include "track/user_data.h"

/*
 * Build an event for one destination.  Returns NULL and sets *payload and *facts, or
 * returns the reason why the event can't be sent.
 */
extern const char *pcapi_build_event(const PcapiAllowed *allowed, const PcapiProperties *props,
									 const PcapiIdentifiers *ids, const char *action_source,
									 const char *event_id, TimestampTz event_time,
									 List **warnings, char **payload, PcapiFacts *facts);

#endif							/* PCAPI_EVENT_JSON_H */
