/*
 * worker_lock.h
 *	  Advisory locks on a database: one worker runs, and one session starts it.
 */
#ifndef PCAPI_WORKER_LOCK_H
#define PCAPI_WORKER_LOCK_H

#include "pinterest_capi.h"

/* locks on the database */
#define PCAPI_LOCK_WORKER	1	/* held by the worker, and tested by a session that starts one */
#define PCAPI_LOCK_START	2	/* held by a session while it starts a worker */
#define PCAPI_LOCK_ALIVE	3	/* held by the worker, and tested by sessions that look it up */

/* Take a lock, for the session or the transaction, without waiting.  False: another process holds it. */
extern bool pcapi_lock(int which, bool session_lock);
extern void pcapi_unlock(int which, bool session_lock);

/* Take PCAPI_LOCK_ALIVE until the process ends.  It waits for sessions that test it, for a moment. */
extern void pcapi_lock_alive(void);

/* Test it: return whether a worker of this database holds it. */
extern bool pcapi_alive_lock_is_held(void);

#endif							/* PCAPI_WORKER_LOCK_H */
