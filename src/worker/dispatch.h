/*
 * dispatch.h
 *	  The worker's cycle: settle what is answered, look at the tables, start what may start, and say when the next turn is useful.
 */
#ifndef PCAPI_DISPATCH_H
#define PCAPI_DISPATCH_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "worker/transfer.h"

/*
 * One turn: settle what is answered, look at the tables and start what may
 * start.  Returns the ms until the next one is useful; *spurious_wakeup: the latch was
 * set for nothing that could be done now.
 */
extern long pcapi_dispatch_cycle(bool woken, bool *spurious_wakeup);
extern void pcapi_dispatch_finish(PcapiRequest *request);
extern int	pcapi_dispatch_in_flight(void);
extern void pcapi_dispatch_hold(bool hold);
extern void pcapi_dispatch_reloaded(void);
extern bool pcapi_dispatch_is_idle(TimestampTz *next);

#endif							/* PCAPI_DISPATCH_H */
