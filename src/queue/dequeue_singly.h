/*
 * dequeue_singly.h
 *	  Read events one by one, after an error in reading many.
 */
#ifndef PCAPI_DEQUEUE_SINGLY_H
#define PCAPI_DEQUEUE_SINGLY_H

#include "pinterest_capi.h"

#include "queue/payload.h"

/*
 * Read events that are due, or fresh and behind an id, each by itself, as dequeue.h's
 * functions do.  One that can't be read comes with a problem.
 */
extern int	pcapi_dequeue_singly(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events);

#endif							/* PCAPI_DEQUEUE_SINGLY_H */
