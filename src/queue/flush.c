/*
 * flush.c
 *	  Waiting until the worker has nothing left to do.
 *
 * Each look has a snapshot of its own, which is gone while we wait.  What the
 * caller's own transaction has queued isn't due before it commits, and so is
 * not looked at.
 */
#include "queue/live.h"
#include "queue/queue.h"

#include "fmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FIRST_WAIT_MS	2L
#define LONGEST_WAIT_MS	100L

/*
 * The newest snapshot, with the own transaction's rows left out: to a command
 * id of zero, all of them come later.
 */
static void
push_snapshot(void)
{
	PushCopiedSnapshot(GetLatestSnapshot());
	GetActiveSnapshot()->curcid = FirstCommandId;
}

static bool
anything_due(void)
{
	static SPIPlanPtr plan = NULL;
	PcapiIdentity saved;
	bool		due;

	pcapi_become_owner(&saved, true);
	SPI_connect();
	push_snapshot();
	SPI_execute_plan(pcapi_plan(&plan,
								"SELECT FROM pinterest_capi._readiness AS r"
								" JOIN pinterest_capi._queue AS q ON q.dest = r.dest"
								" WHERE r.status = 'ready' AND r.backoff_until IS NULL"
								" AND (q.due_at IS NULL OR q.due_at <= clock_timestamp())",
								0, NULL),
					 NULL, NULL, true, 1);
	due = (SPI_processed > 0);
	PopActiveSnapshot();
	SPI_finish();
	pcapi_become_caller(&saved);
	return due;
}

PG_FUNCTION_INFO_V1(pcapi_sql_flush);
Datum
pcapi_sql_flush(PG_FUNCTION_ARGS)
{
	Interval   *timeout = PG_GETARG_INTERVAL_P(0);
	int64		us = timeout->time + ((int64) timeout->month * DAYS_PER_MONTH + timeout->day) * USECS_PER_DAY;
	TimestampTz until;
	long		wait = FIRST_WAIT_MS;

	if (us < 0)
		pcapi_bad_call(("timeout must not be negative"), ("Give an interval such as '30 seconds'."));
	until = GetCurrentTimestamp() + us;
	for (;;)
	{
		TimestampTz now;

		/* a server that doesn't send has nothing due */
		if (!pcapi_dispatch || RecoveryInProgress() || !anything_due())
			PG_RETURN_BOOL(true);
		now = GetCurrentTimestamp();
		if (now >= until)
			PG_RETURN_BOOL(false);
		if (!pcapi_worker_present())
			pcapi_worker_start_if_none(InvalidTransactionId);
		else if (wait == FIRST_WAIT_MS)
			pcapi_worker_set_latch();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(wait, (long) ((until - now) / 1000) + 1), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		wait = Min(wait * 2, LONGEST_WAIT_MS);
	}
}
