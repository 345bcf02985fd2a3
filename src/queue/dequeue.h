/*
 * dequeue.h
 *	  Read retries and chosen events; dequeue_new.h has fresh events.
 */
#ifndef PCAPI_DEQUEUE_H
#define PCAPI_DEQUEUE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/dequeue_new.h"
#include "queue/payload.h"

/*
 * Read events of a destination into *events, in the current memory context, and
 * return how many; payloads are read within the budget.  None of them has the place
 * of its row (tid).
 */

/* Read fresh events by a statement, with those that a batch holds: as pcapi_dequeue_new(). */
extern int	pcapi_dequeue_new_by_sql(PcapiWalk *walk, int limit, PcapiQueuedEvent **events);

/* Read ids of fresh events by a statement: as pcapi_new_ids(). */
extern int	pcapi_new_ids_by_sql(const PcapiWalk *walk, int limit, int64 *ids);

/*
 * Read retries that are due, the one that has been due longest first.  Rows of events that have an outcome are
 * deleted.
 */
extern int	pcapi_dequeue_due(int dest, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

/* Read those of the ids, which are sorted, that still wait, in their order. */
extern int	pcapi_dequeue_ids(int dest, const int64 *ids, int n, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

/* Return when the next retry that isn't due yet will be.  0: there is none. */
extern TimestampTz pcapi_next_due(int dest);

/* Return the file of the table _event.  It is another one after TRUNCATE or a rewrite. */
extern Oid	pcapi_event_file(void);

#endif							/* PCAPI_DEQUEUE_H */
