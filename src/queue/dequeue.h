/*
 * dequeue.h
 *	  Read retries and chosen events from the queue; dequeue_new.h has events that were never tried.
 */
#ifndef PCAPI_DEQUEUE_H
#define PCAPI_DEQUEUE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/payload.h"

/*
 * Read events of a destination into *events, in the current memory context, and
 * return how many; payloads are read within the budget.  None of them has the place
 * of its row (tid).
 */

/* Read events that were never tried, behind an id, by a statement: as pcapi_dequeue_new(). */
extern int	pcapi_dequeue_new_by_sql(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

/* Read retries that are due, the one that has been due longest first. */
extern int	pcapi_dequeue_due(int dest, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

/* Read those of the ids, which are sorted, that are still queued, in their order. */
extern int	pcapi_dequeue_ids(int dest, const int64 *ids, int n, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

/* Read events that were never tried or are due, behind an id, each by itself: after an error of the others. */
extern int	pcapi_dequeue_singly(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

/* Return the ids of queued events that were never tried, in (low, high]; at most 100,000. */
extern int	pcapi_queued_between(int dest, int64 low, int64 high, int64 **ids);

/* Return when the next retry that isn't due yet will be.  0: there is none. */
extern TimestampTz pcapi_next_due(int dest);

/* Return the file of the table _queue.  It is another one after TRUNCATE or a rewrite. */
extern Oid	pcapi_queue_file(void);

#endif							/* PCAPI_DEQUEUE_H */
