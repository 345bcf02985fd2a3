/*
 * sender.h
 *	  Destinations as the worker sees them: what may be sent when, and what is taken next.
 */
#ifndef PCAPI_SENDER_H
#define PCAPI_SENDER_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "worker/sending.h"

extern dlist_head pcapi_routes;

/* in a transaction; the targets as they are now */
extern void pcapi_routes_load(void);
extern void pcapi_routes_commit(void);
extern void pcapi_routes_rollback(void);
extern void pcapi_routes_clock_back(void);
extern PcapiRoute *pcapi_route_by_name(const char *destination);
extern PcapiRoute *pcapi_route_for(int dest);	/* made, as one that is gone, if there is none */

/* when the next request may start; DT_NOEND: not by time alone */
extern TimestampTz pcapi_route_opens(PcapiRoute *route, TimestampTz now);
extern void pcapi_route_release(PcapiRoute *route, int64 id);	/* to be read again */

#endif							/* PCAPI_SENDER_H */
