/*
 * dequeue_new.h
 *	  Read queued events that were never tried, in the order of their ids.
 */
#ifndef PCAPI_DEQUEUE_NEW_H
#define PCAPI_DEQUEUE_NEW_H

#include "pinterest_capi.h"

#include "queue/payload.h"

/*
 * Read at most limit events of a destination that were never tried, behind an id, in
 * the current memory context.  Return how many; no more once the budget is full.
 */
extern int	pcapi_dequeue_new(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

#endif							/* PCAPI_DEQUEUE_NEW_H */
