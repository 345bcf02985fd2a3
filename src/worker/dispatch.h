/*
 * dispatch.h
 *	  The worker's cycle: settle answered batches, poll the queue, start
 *	  requests, schedule the next cycle.
 */
#ifndef PCAPI_DISPATCH_H
#define PCAPI_DISPATCH_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "worker/transfer.h"

/*
 * Run one cycle.  Return the ms until the next one is useful.
 * *spurious_wakeup: the latch was set for something that cannot be done now.
 */
extern long pcapi_dispatch_cycle(bool woken, bool *spurious_wakeup);

/* A request has ended: read its answer.  The next cycle settles its batch. */
extern void pcapi_dispatch_finish(PcapiRequest *request);

/* Return the number of requests in flight. */
extern int	pcapi_dispatch_in_flight(void);

/* Stop or resume starting requests; those in flight end as usual. */
extern void pcapi_dispatch_drain(bool drain);

/* The settings were reloaded: poll, and check again whether this server is held. */
extern void pcapi_dispatch_reloaded(void);

/*
 * Return whether nothing is in progress that only this process knows of.  *next
 * is when there may be something to do, as far as that is known; DT_NOEND: not
 * by time alone.
 */
extern bool pcapi_dispatch_is_idle(TimestampTz *next);

#endif							/* PCAPI_DISPATCH_H */
