/*
 * finalize.c
 *	  Make waiting events final without a request.
 *
 * cancel, drop_destination and forget use this, and the worker for the events of
 * destinations that were dropped.  It does not wait for the worker: an event in flight
 * becomes final too, and the response that comes later finds nothing to settle.
 */
#include "pinterest_capi.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/spi.h"
#include "fmgr.h"
#include "queue/destination_state.h"
#include "queue/finalize.h"
#include "queue/outcome.h"
#include "queue/statistics.h"
#include "queue/waiting.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#define DROPPED "destination dropped"

/* what the events become, for finalize_step() */
typedef struct Final
{
	const char *status;
	const char *reason;
	bool		skip_locked;
} Final;

/*
 * Lock events that wait, so that none becomes a retry (settle.c) in between: for the
 * statistics, what it was has to be known.
 */
static void
lock_events(Datum ids)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {ids};

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT FROM pinterest_capi._event AS e WHERE e.id = ANY ($1) AND" PCAPI_NOT_FINAL("e.id")
							 " ORDER BY e.id FOR NO KEY UPDATE OF e",
							 1, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/*
 * Give those of the chosen events that wait an outcome, and delete their rows of _retry.  A PcapiStep.
 *
 * Only rows of _event and the key of _outcome are waited for, in the order of ids, so no two calls deadlock.  A
 * row of _retry that another transaction has locked stays: the worker deletes it
 * (dequeue.c).
 */
static int64
finalize_step(Datum dests, Datum ids, void *arg)
{
	static SPIPlanPtr plans[2];
	const Final *final = arg;
	Oid			types[4] = {TEXTOID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID};
	Datum		values[4] = {CStringGetTextDatum(final->status), CStringGetTextDatum(final->reason), dests, ids};
	MemoryContext context = CurrentMemoryContext;
	Datum	   *written;
	bool	   *retried;
	int			n;

	if (final->skip_locked)
		values[3] = pcapi_without_pending(ids);
	else
		lock_events(ids);
	SPI_connect();
	pcapi_execute(SPI_OK_INSERT_RETURNING,
				  pcapi_outcome_plan(plans,
									 "WITH chosen AS MATERIALIZED (SELECT e.id, e.dest, e.destination, q.attempts, q.http_status,"
									 " q.last_attempt_at, q.error, q.warnings"
									 " FROM (SELECT u.id FROM unnest($4) AS u (id) ORDER BY u.id OFFSET 0) AS c"
									 " JOIN LATERAL (SELECT v.id, v.dest, v.destination FROM pinterest_capi._event AS v"
									 " WHERE v.id = c.id OFFSET 0) AS e ON e.dest = ANY ($3)"
									 " LEFT JOIN LATERAL (SELECT w.* FROM pinterest_capi._retry AS w"
									 " WHERE w.dest = e.dest AND w.id = e.id OFFSET 0) AS q ON true"
									 " WHERE" PCAPI_WAITS("e") "),"
									 " free AS MATERIALIZED (SELECT q.dest, q.id FROM chosen AS r"
									 " JOIN pinterest_capi._retry AS q ON" PCAPI_RETRY_AS("r") " FOR UPDATE OF q SKIP LOCKED),"
									 " gone AS (DELETE FROM pinterest_capi._retry AS q USING free AS r WHERE" PCAPI_RETRY_AS("r") ")"
									 " INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")"
									 " SELECT g.id, clock_timestamp(), g.last_attempt_at, g.dest, coalesce(g.attempts, 0), g.http_status,"
									 " $1, $2, g.error, CASE WHEN (g.dest, g.id) IN (SELECT l.dest, unnest(l.ids) FROM pinterest_capi._lease AS l)"
									 " THEN g.warnings || '" PCAPI_WARNING_IN_REQUEST "'::text"
									 " WHEN g.destination IS NOT NULL THEN g.warnings || '" PCAPI_WARNING_PUBLISHED "'::text"
									 " ELSE g.warnings END, NULL FROM chosen AS g%s"
									 " RETURNING id, attempts",
									 4, types),
				  values, NULL, false, 0);
	n = (int) SPI_processed;
	written = MemoryContextAlloc(context, sizeof(Datum) * Max(n, 1));
	retried = MemoryContextAlloc(context, sizeof(bool) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		written[i] = Int64GetDatum(pcapi_result_int64(i, "id"));
		retried[i] = pcapi_result_int32(i, "attempts") > 0;
	}
	SPI_finish();
	pcapi_statistics_finalized(written, retried, n);
	return n;
}

/*
 * An event in flight may have been processed, which a warning in its outcome says.
 * The lease of a request that starts at this very moment isn't seen yet.
 */
int64
pcapi_finalize_waiting(const char *status, const char *reason, const char *query,
					   bool skip_locked, int nargs, const Oid *argtypes, const Datum *args, const char *argnulls)
{
	int			level = pcapi_plan_by_key();
	Final		final = {status, reason, skip_locked};
	int64		n;

	n = pcapi_in_steps(query, nargs, argtypes, args, argnulls, finalize_step, &final);
	AtEOXact_GUC(true, level);
	return n;
}

/*
 * If a destination of this name is configured again, it has the same number and
 * another life, so that a response to a request of the old one changes nothing.
 */
void
pcapi_cancel_destination_events(const char *destination)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(pcapi_destination_number(destination, false))};

	if (DatumGetInt32(values[0]) == 0)
		return;
	pcapi_finalize_waiting("cancelled", DROPPED, PCAPI_WAITING_OF("$1"), false, 1, types, values, NULL);
	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state SET paused_at = NULL, paused_reason = NULL,"
					   " failing_since = NULL, backoff_until = NULL, backoff_reason = NULL,"
					   " last_sent_at = NULL, last_error = NULL, last_error_at = NULL, last_hour = DEFAULT,"
					   " dropped_at = clock_timestamp(), life = life + 1 WHERE dest = $1",
					   1, types, values, NULL, false, 0);
	/* the row's xmin tells when, so it has to be a new one */
	pcapi_execute_once(SPI_OK_DELETE, "DELETE FROM pinterest_capi._dropped WHERE dest = $1", 1, types, values, NULL, false, 0);
	pcapi_execute_once(SPI_OK_INSERT, "INSERT INTO pinterest_capi._dropped (dest) VALUES ($1)", 1, types, values, NULL, false, 0);
	SPI_finish();
}

/* ---- events of dropped destinations that were committed late ---- */

/* the wait for the transactions that may not know of a drop */
typedef struct Grace
{
	TransactionId before;		/* for each drop older than this; invalid: there is no wait */
	TransactionId wait_for;		/* it is over once all transactions older than this are */
} Grace;

/* Conditions: a row f of _dropped is older than a transaction; its destination was not configured again. */
#define OLDER(before)	" age(f.xmin) > age(" before ")"
#define STILL_DROPPED \
	" EXISTS (SELECT FROM pinterest_capi._destination_state AS s WHERE s.dest = f.dest AND s.dropped_at IS NOT NULL" \
	" AND NOT EXISTS (SELECT FROM pinterest_capi.destination AS d WHERE d.destination = s.destination))"

/*
 * Begin to wait, if there is a drop that each running statement knows of.  Whatever did
 * not know of it has its transaction's xid by now (as in erase.c).
 */
static void
begin_grace(Grace *grace)
{
	Oid			types[1] = {XIDOID};
	Datum		values[1];
	TransactionId before = GetOldestTransactionIdConsideredRunning();

	values[0] = TransactionIdGetDatum(before);
	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT FROM pinterest_capi._dropped AS f WHERE" OLDER("$1") " LIMIT 1",
					   1, types, values, NULL, true, 1);
	if (SPI_processed > 0)
	{
		grace->before = before;
		grace->wait_for = XidFromFullTransactionId(ReadNextFullTransactionId());
	}
	SPI_finish();
}

/* End it: delete the rows of the drops.  One that has events left, to which a transaction gives an outcome, stays. */
static void
end_grace(Grace *grace)
{
	Oid			types[1] = {XIDOID};
	Datum		values[1] = {TransactionIdGetDatum(grace->before)};
	int			level = pcapi_plan_by_key();

	SPI_connect();
	pcapi_execute_once(SPI_OK_DELETE,
					   "DELETE FROM pinterest_capi._dropped AS f WHERE" OLDER("$1")
					   " AND NOT (" STILL_DROPPED " AND EXISTS (" PCAPI_WAITING_OF("f.dest") " OFFSET 0))",
					   1, types, values, NULL, false, 0);
	SPI_finish();
	AtEOXact_GUC(true, level);
	memset(grace, 0, sizeof(Grace));
}

/* Return whether a destination was dropped of which events may still come. */
static bool
any_dropped(void)
{
	bool		found;

	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT, "SELECT FROM pinterest_capi._dropped LIMIT 1", true);
	found = (SPI_processed > 0);
	SPI_finish();
	return found;
}

/*
 * The worker calls this periodically.  A destination that was configured again meanwhile
 * keeps its events.  That a destination is missing would not be enough: a dump may be
 * about to bring it, or the outcomes of its events.
 */
void
pcapi_cancel_orphaned_events(void)
{
	static Grace grace;
	bool		over;

	if (!any_dropped())
		return;
	over = TransactionIdIsValid(grace.before) &&
		TransactionIdPrecedesOrEquals(grace.wait_for, GetTransactionSnapshot()->xmin);
	pcapi_finalize_waiting("cancelled", DROPPED,
						   "SELECT n.dest, n.id FROM (SELECT f.dest FROM pinterest_capi._dropped AS f WHERE" STILL_DROPPED " OFFSET 0) AS f"
						   " CROSS JOIN LATERAL (" PCAPI_WAITING_OF("f.dest") " OFFSET 0) AS n",
						   true, 0, NULL, NULL, NULL);
	if (over)
		end_grace(&grace);
	else if (!TransactionIdIsValid(grace.before))
		begin_grace(&grace);
}
