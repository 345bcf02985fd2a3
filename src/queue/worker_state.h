/*
 * worker_state.h
 *	  Find this database's worker, and read and write its segment in shared memory.
 */
#ifndef PCAPI_WORKER_STATE_H
#define PCAPI_WORKER_STATE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "storage/dsm.h"
#include "storage/spin.h"

#define PCAPI_WORKER_STATE_MAGIC	0x50434150
#define PCAPI_WORKER_STATE_TEXT		512

/* the state of verify_destination's one question */
typedef enum PcapiVerifyState
{
	PCAPI_VERIFY_IDLE,
	PCAPI_VERIFY_ASKED,			/* by a session */
	PCAPI_VERIFY_TAKEN,			/* by the worker */
	PCAPI_VERIFY_ANSWERED
} PcapiVerifyState;

/* the segment; mutex protects what changes */
typedef struct PcapiWorkerState
{
	uint32		magic;
	slock_t		mutex;
	int			pid;
	TimestampTz started_at;
	TimestampTz last_cycle_at;
	int			in_flight;		/* requests */
	char		state[32];
	char		last_error[PCAPI_WORKER_STATE_TEXT];
	TimestampTz last_error_at;
	char		version[16];	/* of the library that it runs */

	/*
	 * How far this server's clock is ahead of the API's, beyond what the
	 * request's duration and the Date header's whole seconds leave open.
	 */
	int64		clock_ahead;	/* microseconds; negative: behind */
	TimestampTz clock_seen_at;	/* 0: no answer so far */

	/*
	 * verify_destination asks one question at a time, each with a number.
	 * Each of these steps is taken under the mutex:
	 *
	 * IDLE -> ASKED, by a session, which fills in the fields below.
	 *
	 * ASKED -> TAKEN, by the worker, which copies number and destination.
	 *
	 * TAKEN -> ANSWERED, by the worker, if the number is still the one that
	 * it copied; else the session no longer waits.
	 *
	 * any -> IDLE, by the session that asked, if the number is still its own:
	 * it has read the answer, or gives up (time, an error, its end).
	 *
	 * any -> ASKED, by another session, once verify_until is over: the
	 * session that asked has ended without withdrawing its question.
	 *
	 * The session sets the worker's latch after it has asked, and polls for
	 * the answer.
	 */
	PcapiVerifyState verify_state;
	int			verify_pid;		/* the session that asks, for debugging */
	int64		verify_until;	/* the session gives up before; pcapi_clock_ms(), the same for all processes */
	uint32		verify_no;		/* counts questions */
	char		verify_destination[132];
	char		verify_answer[PCAPI_WORKER_STATE_TEXT];
} PcapiWorkerState;

/* ---- in the worker ---- */

/* Create the segment. */
extern PcapiWorkerState *pcapi_worker_state_create(void);

/* Write the row in _worker.  In a transaction, as the extension's owner. */
extern void pcapi_worker_state_publish(void);

/* ---- in a session ---- */

/* Find this database's worker by the row in _worker, unless that was done a moment ago. */
extern void pcapi_worker_look_up(void);

/* Return its pid.  0: there is none. */
extern int	pcapi_worker_pid(void);

/* Set its latch, if it was found. */
extern void pcapi_worker_set_latch(void);

/* Attach to its segment; detach with dsm_detach(*segment).  NULL: no worker runs. */
extern PcapiWorkerState *pcapi_worker_state_attach(dsm_segment **segment);

/* Read the row again at the next call. */
extern void pcapi_worker_forget(void);

/* Invalidation callback. */
extern void pcapi_worker_relcache_changed(Oid relid);

#endif							/* PCAPI_WORKER_STATE_H */
