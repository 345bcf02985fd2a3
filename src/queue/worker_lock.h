/*
 * worker_lock.h
 *	  Advisory locks on a database: one worker runs, one session starts it.
 */
#ifndef PCAPI_WORKER_LOCK_H
#define PCAPI_WORKER_LOCK_H

#include "pinterest_capi.h"

/* locks on the database, so that one worker runs and few are started; keys of an advisory lock */
#define PCAPI_LOCK_WORKER	1
#define PCAPI_LOCK_START	2
#define PCAPI_LOCK_ALIVE	3	/* held by the one that has PCAPI_LOCK_WORKER, and asked for by who looks for it */

extern bool pcapi_lock(int which, bool session_lock);	/* without waiting */
extern void pcapi_lock_alive(void); /* waits; until the process ends */
extern void pcapi_unlock(int which, bool session_lock);
extern bool pcapi_alive_lock_is_held(void);

#endif							/* PCAPI_WORKER_LOCK_H */
