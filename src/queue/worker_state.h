/*
 * worker_state.h
 *	  The worker's segment in shared memory, and worker_status's reading of it.
 */
#ifndef PCAPI_WORKER_STATE_H
#define PCAPI_WORKER_STATE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "storage/dsm.h"
#include "storage/spin.h"

#define PCAPI_WORKER_STATE_MAGIC	0x50434150
#define PCAPI_WORKER_STATE_TEXT		512

typedef enum PcapiVerifyState
{
	PCAPI_VERIFY_IDLE,
	PCAPI_VERIFY_ASKED,			/* by a session */
	PCAPI_VERIFY_TAKEN,			/* by the worker */
	PCAPI_VERIFY_ANSWERED
} PcapiVerifyState;

typedef struct PcapiWorkerState
{
	uint32		magic;
	slock_t		mutex;
	int			pid;
	TimestampTz started_at;
	TimestampTz last_cycle_at;
	int			in_flight;
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
	 * verify_destination: one question at a time, each with a number.  Each
	 * of these steps is taken under the mutex:
	 *
	 * IDLE -> ASKED, by a session, which fills in the fields below.
	 *
	 * ASKED -> TAKEN, by the worker, which copies number and destination.
	 *
	 * TAKEN -> ANSWERED, by the worker, if the number is still the one it
	 * took; else nobody waits for the answer any more.
	 *
	 * any -> IDLE, by the session that asked, if the number is still its own:
	 * it has read the answer, or gives up (time, an error, its end).
	 *
	 * any -> ASKED, by another session, once verify_until is over: whoever
	 * asked is gone without having said so.
	 *
	 * The session sets the worker's latch after asking, and polls for the
	 * answer.
	 */
	PcapiVerifyState verify_state;
	int			verify_pid;		/* who asks; for whoever debugs it */
	int64		verify_until;	/* who asks gives up before; of pcapi_clock_ms(), the same for all processes */
	uint32		verify_no;		/* counts questions */
	char		verify_destination[132];
	char		verify_answer[PCAPI_WORKER_STATE_TEXT];
} PcapiWorkerState;

/* the worker's side */
extern PcapiWorkerState *pcapi_worker_state_create(void);
extern void pcapi_worker_state_publish(void);	/* writes the row in _worker;
												 * in a transaction, as owner */

/* the session's side: NULL when no worker runs; detach with dsm_detach(*segment) */
extern PcapiWorkerState *pcapi_worker_state_attach(dsm_segment **segment);

/* the worker that serves this database, by the row in _worker; 0 when there is none */
extern int	pcapi_worker_pid(void);
extern void pcapi_worker_forget(void);	/* look again at the next call */
extern void pcapi_worker_set_latch(void);
extern void pcapi_worker_relcache_changed(Oid relid);

/* Find this database's worker, by its row in _worker, unless that was done a moment ago. */
extern void pcapi_worker_look_up(void);

#endif							/* PCAPI_WORKER_STATE_H */
