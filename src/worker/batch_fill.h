/*
 * batch_fill.h
 *	  Fill a batch: which events of a destination are sent next.
 */
#ifndef PCAPI_BATCH_FILL_H
#define PCAPI_BATCH_FILL_H

#include "pinterest_capi.h"

#include "worker/sending.h"

/* in a transaction: claim a batch, or drop what can't be sent; false when nothing waits */
extern bool pcapi_route_take(PcapiRoute *route);
extern void pcapi_route_rescan(PcapiRoute *route);

#endif							/* PCAPI_BATCH_FILL_H */
