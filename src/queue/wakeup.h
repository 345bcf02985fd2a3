/*
 * wakeup.h
 *	  Wake the worker at COMMIT, or start one.
 */
#ifndef PCAPI_WAKEUP_H
#define PCAPI_WAKEUP_H

#include "pinterest_capi.h"

#include "access/xact.h"

/* Wake the worker, or start one, when the current transaction commits.  Cheap enough for each event. */
extern void pcapi_wake_at_commit(void);

/* Wake the worker, or start one, now: for a session that waits for it. */
extern void pcapi_wake_now(void);

/* Callback for the end of a transaction. */
extern void pcapi_wake_xact_event(XactEvent event);

#endif							/* PCAPI_WAKEUP_H */
