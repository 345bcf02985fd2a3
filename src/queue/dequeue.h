/*
 * dequeue.h
 *	  What the worker takes from the queue, but for events that were never tried (dequeue_new.c).
 */
#ifndef PCAPI_DEQUEUE_H
#define PCAPI_DEQUEUE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/payload.h"

/* dequeue.c: the same by a statement, also where the reader gets full; none of them has its place */
extern int	pcapi_dequeue_new_by_sql(int dest, int64 after, int limit, PcapiPayloadBudget *reader, PcapiQueuedEvent **events);

/* those whose retry is due */
extern int	pcapi_dequeue_due(int dest, int limit, PcapiPayloadBudget *reader, PcapiQueuedEvent **events);
extern int	pcapi_dequeue_ids(int dest, const int64 *ids, int n, PcapiPayloadBudget *reader, PcapiQueuedEvent **events);

/* never tried ones and those that are due, behind after */
extern int	pcapi_dequeue_singly(int dest, int64 after, int limit, PcapiPayloadBudget *reader, PcapiQueuedEvent **events);
extern Oid	pcapi_queue_file(void); /* which file has the table _queue: another one once it was emptied or written anew */

/* ids of never tried events in (low, high] */
extern int	pcapi_queued_between(int dest, int64 low, int64 high, int64 **ids);
extern TimestampTz pcapi_next_due(int dest);	/* 0: none */

#endif							/* PCAPI_DEQUEUE_H */
