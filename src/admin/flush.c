/*
 * flush.c
 *	  flush(): wait until no event is due.
 *
 * Due are events in flight, and events that could be sent now: those that were never
 * tried or whose retry is due, of a destination that is ready and not backing off.  In a
 * published database, events that wait to be handed over are due.  Not due are an event
 * that was sent and whose outcome can't be written, and a row whose event is missing:
 * doctor() names them.  Nor are the caller's own uncommitted events, as no other process
 * sees them.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/guc.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "fmgr.h"
#include "queue/published.h"
#include "queue/waiting.h"
#include "queue/wakeup.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* ms between two polls: doubled each time, up to a limit */
#define FIRST_WAIT_MS	1
#define LONGEST_WAIT_MS	100

/* ms between two calls that wake the worker */
#define WAKE_INTERVAL_MS	1000

#define EXISTING(id)	" (SELECT true FROM pinterest_capi._event AS e WHERE e.id = " id ")"

/* condition: an event of this id has no outcome, and no lease holds it as sent */
#define OPEN(id) \
	PCAPI_NOT_FINAL(id) \
	" AND " id " <> ALL (ARRAY(SELECT unnest(l.ids) FROM pinterest_capi._lease AS l WHERE l.problem IS NOT NULL))"

/*
 * Poll: return whether an event is due.  It runs in a subtransaction that is rolled back.
 * So its locks and its snapshot are released before the wait begins, and neither DROP
 * EXTENSION nor VACUUM has to wait for more than the caller's own statement.
 *
 * It uses the newest snapshot, also in REPEATABLE READ.  As the snapshot's command id is
 * zero, rows that this transaction has inserted are invisible, and rows that it has
 * deleted or changed are as they were: as the worker sees them.
 */
static void
poll_due(void *arg)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {BOOLOID, TIMESTAMPTZOID};
	Datum		values[2] = {BoolGetDatum(pcapi_dispatch || pcapi_published()), TimestampTzGetDatum(GetCurrentTimestamp())};
	bool	   *due = arg;
	PcapiUserContext saved;
	Snapshot	snapshot;
	int			level;

	pcapi_switch_to_owner(&saved, true);
	level = pcapi_plan_by_key();
	SPI_connect();
	(void) pcapi_plan(&plan,
					  "SELECT EXISTS (SELECT FROM pinterest_capi._lease AS l CROSS JOIN unnest(l.ids) AS i (id)"
					  " WHERE l.problem IS NULL AND" EXISTING("i.id") " AND" PCAPI_NOT_FINAL("i.id") " OFFSET 0)"
					  " OR ($1 AND EXISTS (SELECT FROM pinterest_capi._readiness AS r"
					  " WHERE r.status = 'ready' AND r.backoff_until IS NULL"
					  " AND (EXISTS (SELECT FROM pinterest_capi._event AS v"
					  " WHERE v.id >" PCAPI_DONE_BELOW("r.dest") " AND v.dest + 0 = r.dest AND" OPEN("v.id")
					  " AND NOT" PCAPI_IS_RETRIED("v.dest", "v.id") " OFFSET 0)"
					  " OR EXISTS (SELECT FROM pinterest_capi._retry AS q"
					  " WHERE q.dest = r.dest AND q.due_at <= $2 AND" OPEN("q.id") " AND" EXISTING("q.id") " OFFSET 0)))) AS due",
					  2, types);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	snapshot->curcid = FirstCommandId;
	pcapi_execute_as_of(snapshot, plan, values);
	*due = pcapi_result_bool(0, "due");
	UnregisterSnapshot(snapshot);
	SPI_finish();
	AtEOXact_GUC(true, level);
	pcapi_restore_user(&saved);
}

/*
 * Return whether there are events of a number that is no destination's.  They are never
 * due, so flush() does not wait for them; but it must not return true, either.
 */
static void
poll_strays(void *arg)
{
	bool	   *found = arg;
	PcapiUserContext saved;
	int			level;

	pcapi_switch_to_owner(&saved, true);
	level = pcapi_plan_by_key();
	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT, "SELECT FROM pinterest_capi._stray AS x WHERE x.destination IS NULL LIMIT 1", true);
	*found = SPI_processed > 0;
	SPI_finish();
	AtEOXact_GUC(true, level);
	pcapi_restore_user(&saved);
}

/* Poll in a subtransaction. */
static bool
something_is_due(void)
{
	bool		due = false;

	pcapi_rollback_subxact(poll_due, &due);
	return due;
}

PG_FUNCTION_INFO_V1(pcapi_sql_flush);
Datum
pcapi_sql_flush(PG_FUNCTION_ARGS)
{
	static uint32 wait_event = 0;
	TimestampTz begin = GetCurrentTimestamp();
	TimestampTz end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															  TimestampTzGetDatum(begin),
															  PG_GETARG_DATUM(0)));
	int64		now = pcapi_clock_ms();
	int64		until;
	int64		wake_at = now;
	int64		wait = FIRST_WAIT_MS;
	bool		stray = false;

	if (end < begin)
		pcapi_error_invalid_parameter(("timeout must not be negative"),
									  ("Give an interval such as '30 seconds'."));
	/* the wall clock may be set meanwhile */
	until = now + (end - begin) / 1000;
	if (wait_event == 0)
		wait_event = PcapiWaitEvent("PinterestCapiFlush");

	while (something_is_due())
	{
		now = pcapi_clock_ms();
		if (now >= until)
			PG_RETURN_BOOL(false);

		/*
		 * A COMMIT has woken the worker; this is for the case that it has
		 * died since, or could not be started.
		 */
		if (now >= wake_at)
		{
			pcapi_wake_now();
			wake_at = now + WAKE_INTERVAL_MS;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) Min(wait, until - now), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		wait = Min(wait * 2, LONGEST_WAIT_MS);
	}
	pcapi_rollback_subxact(poll_strays, &stray);
	PG_RETURN_BOOL(!stray);
}
