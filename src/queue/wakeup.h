/*
 * wakeup.h
 *	  At COMMIT, tell the worker that there is something to do, or start one.
 */
#ifndef PCAPI_WAKEUP_H
#define PCAPI_WAKEUP_H

#include "pinterest_capi.h"

#include "access/xact.h"

/* for who waits for the worker: wake it, or have one started, before COMMIT */
extern void pcapi_wake_now(void);
extern void pcapi_wake_at_commit(void);
extern void pcapi_wake_xact_event(XactEvent event);

#endif							/* PCAPI_WAKEUP_H */
