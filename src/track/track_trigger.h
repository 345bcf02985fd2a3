/*
 * track_trigger.h
 *	  track_trigger: rows of the application's tables as events.
 */
#ifndef PCAPI_TRACK_TRIGGER_H
#define PCAPI_TRACK_TRIGGER_H

#include "pinterest_capi.h"

#include "access/htup.h"
#include "track/call.h"
#include "track/mapping.h"
#include "utils/relcache.h"

/*
 * Fill a call from a row.  Returns NULL, or what is wrong with the mapping: then
 * call->reject is set.
 */
extern const PcapiMappingFault *pcapi_call_from_row(PcapiCall *call, PcapiTriggerMap *map,
													Relation rel, HeapTuple tuple);

/* Called by the callbacks of the caches of relations, and of functions and types. */
extern void pcapi_trigger_relcache_changed(Oid relid);
extern void pcapi_trigger_catalog_changed(void);

#endif							/* PCAPI_TRACK_TRIGGER_H */
