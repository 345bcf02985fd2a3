/*
 * wakeup.c
 *	  Wake the worker at COMMIT, or start one.
 *
 * A caller's session and the worker share this, the tables, and the segment in
 * worker_state.h.  The row in _worker tells where the worker's PGPROC is.  A session
 * reads it once and keeps it until a worker starts, which invalidates the table's
 * relcache entry.  So at COMMIT it only sets a latch.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "queue/wakeup.h"
#include "queue/worker_lock.h"
#include "queue/worker_start.h"
#include "queue/worker_state.h"

static bool wake_wanted = false;	/* at the end of the current transaction */

/*
 * A worker that is started here doesn't wait for this transaction, which may last long;
 * nor is the start lock kept until its end.
 */
void
pcapi_wake_now(void)
{
	static bool started = false;
	static int64 started_at;
	int64		now = pcapi_clock_ms();

	if (RecoveryInProgress())
		return;
	pcapi_worker_forget();		/* the kept row may be of a worker that has ended */
	if (pcapi_worker_pid() != 0)
	{
		pcapi_worker_set_latch();
		return;
	}

	/* a worker that fails at its start keeps its slot: don't use them all up */
	if (started && now - started_at < PCAPI_START_GAP_MS)
		return;
	started = true;
	started_at = now;
	if (pcapi_start_worker_if_none(InvalidTransactionId))
		pcapi_unlock(PCAPI_LOCK_START, false);
}

void
pcapi_wake_xact_event(XactEvent event)
{
	if (!wake_wanted)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			/* an error is allowed here, but none is expected */
			if (!RecoveryInProgress())
				(void) pcapi_start_worker_if_none(GetTopTransactionIdIfAny());
			break;
		case XACT_EVENT_PRE_PREPARE:

			/*
			 * COMMIT PREPARED wakes no worker, so one must run that finds the
			 * rows.  It doesn't wait for that transaction, and the start lock
			 * isn't left to it.
			 */
			if (!RecoveryInProgress() && pcapi_start_worker_if_none(InvalidTransactionId))
				pcapi_unlock(PCAPI_LOCK_START, false);
			break;
		case XACT_EVENT_COMMIT:
			wake_wanted = false;
			pcapi_worker_set_latch();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:	/* the worker's periodic poll finds the rows */
			wake_wanted = false;
			break;
		default:
			break;
	}
}

void
pcapi_wake_at_commit(void)
{
	if (wake_wanted)
		return;
	pcapi_worker_look_up();
	wake_wanted = true;
}

PG_FUNCTION_INFO_V1(pcapi_sql_wake);

Datum
pcapi_sql_wake(PG_FUNCTION_ARGS)
{
	if (!IsBinaryUpgrade)
		pcapi_wake_at_commit();
	PG_RETURN_VOID();
}
