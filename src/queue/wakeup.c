/*
 * wakeup.c
 *	  At COMMIT, tell the worker that there is something to do, or start one.
 *
 * This and the tables are all that callers' sessions and the worker share.
 * The row in _worker says where the worker's PGPROC is; a session reads it once
 * and keeps it until a worker starts (which invalidates the table's relcache
 * entry).  At COMMIT there is nothing left but to set a latch.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "queue/wakeup.h"
#include "queue/worker_lock.h"
#include "queue/worker_start.h"
#include "queue/worker_state.h"

static bool wake_wanted = false;

/*
 * A worker that is started here doesn't wait for this transaction, whose end
 * may be far away; nor is the start lock kept until then.
 */
void
pcapi_wake_now(void)
{
	static bool started = false;
	static int64 started_at;
	int64		now = pcapi_clock_ms();

	if (RecoveryInProgress())
		return;
	pcapi_worker_forget();		/* who waits must not trust an old row */
	if (pcapi_worker_pid() != 0)
	{
		pcapi_worker_set_latch();
		return;
	}

	/* one that fails at its start keeps its slot: they must not be used up */
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
			/* an error is still allowed here, but there is none to expect */
			if (!RecoveryInProgress())
				(void) pcapi_start_worker_if_none(GetTopTransactionIdIfAny());
			break;
		case XACT_EVENT_PRE_PREPARE:

			/*
			 * Whoever commits it has no reason to tell a worker, so one must
			 * be there to find it.  It doesn't wait for that, nor is the
			 * start lock left to the prepared transaction.
			 */
			if (!RecoveryInProgress() && pcapi_start_worker_if_none(InvalidTransactionId))
				pcapi_unlock(PCAPI_LOCK_START, false);
			break;
		case XACT_EVENT_COMMIT:
			wake_wanted = false;
			pcapi_worker_set_latch();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:	/* the worker's own slow look finds it */
			wake_wanted = false;
			break;
		default:
			break;
	}
}

/* Cheap enough to be called for each event of a transaction. */
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
