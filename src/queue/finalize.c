/*
 * finalize.c
 *	  Make waiting events final without a request.
 *
 * cancel, drop_destination and forget use this, and the worker for the events of
 * destinations that were dropped.  It does not wait for the worker: an event in flight
 * becomes final too, and the response that comes later finds nothing to settle.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "fmgr.h"
#include "queue/destination_state.h"
#include "queue/finalize.h"
#include "queue/outcome.h"
#include "queue/statistics.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#define DROPPED "destination dropped"

/* what the events become, for finalize_step() */
typedef struct Final
{
	const char *status;
	const char *reason;
} Final;

/* Move rows that are locked from _queue to _outcome.  A PcapiStep. */
static int64
finalize_step(Datum dests, Datum ids, void *arg)
{
	static SPIPlanPtr plans[2];
	const Final *final = arg;
	Oid			types[4] = {TEXTOID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID};
	Datum		values[4] = {CStringGetTextDatum(final->status), CStringGetTextDatum(final->reason), dests, ids};
	int64		n;

	pcapi_statistics_before(ids);
	SPI_connect();
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_outcome_plan(plans,
									 "WITH dequeued AS ("
									 " DELETE FROM pinterest_capi._queue AS q USING unnest($3, $4) AS chosen (dest, id)"
									 " WHERE" PCAPI_QUEUED_AS("chosen") " RETURNING q.*)"
									 " INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")"
									 " SELECT g.id, clock_timestamp(), g.last_attempt_at, g.dest, g.attempts, g.http_status,"
									 " $1, $2, g.error, CASE WHEN (g.dest, g.id) IN (SELECT l.dest, unnest(l.ids) FROM pinterest_capi._lease AS l)"
									 " THEN g.warnings || '" PCAPI_WARNING_IN_REQUEST "'::text"
									 " WHEN (SELECT e.destination IS NOT NULL FROM pinterest_capi._event AS e WHERE e.id = g.id)"
									 " THEN g.warnings || '" PCAPI_WARNING_PUBLISHED "'::text"
									 " ELSE g.warnings END, NULL FROM dequeued AS g%s",
									 4, types),
				  values, NULL, false, 0);
	n = (int64) SPI_processed;
	SPI_finish();
	pcapi_statistics_after(ids);
	return n;
}

/*
 * The rows q come in the order of dest and id.  As they are locked in this order, no
 * two calls deadlock.  A join must not have ORDER BY q's columns: the planner would
 * read the queue in their order.
 *
 * An event in flight may have been processed, which a warning in its outcome says.
 * The lease of a request that starts at this very moment isn't seen yet.
 */
int64
pcapi_finalize_waiting(const char *status, const char *reason, const char *from,
					   bool skip_locked, int nargs, const Oid *argtypes, const Datum *args, const char *argnulls)
{
	Oid			types[5] = {TEXTOID, TEXTOID};
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};
	int			level = pcapi_plan_by_key();
	Final		final = {status, reason};
	int64		n;

	Assert(nargs <= 3);
	values[0] = CStringGetTextDatum(status);
	values[1] = CStringGetTextDatum(reason);
	for (int i = 0; i < nargs; i++)
	{
		types[2 + i] = argtypes[i];
		values[2 + i] = args[i];
		nulls[2 + i] = argnulls ? argnulls[i] : ' ';
	}
	n = pcapi_in_steps(psprintf("SELECT q.dest, q.id FROM %s FOR UPDATE OF q%s", from, skip_locked ? " SKIP LOCKED" : ""),
					   2 + nargs, types, values, nulls, finalize_step, &final);
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
	pcapi_finalize_waiting("cancelled", DROPPED, "pinterest_capi._queue AS q WHERE q.dest = $3 ORDER BY q.dest, q.id", false, 1, types, values, NULL);
	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state SET paused_at = NULL, paused_reason = NULL,"
					   " failing_since = NULL, backoff_until = NULL, backoff_reason = NULL,"
					   " last_sent_at = NULL, last_error = NULL, last_error_at = NULL, last_hour = DEFAULT,"
					   " dropped_at = clock_timestamp(), life = life + 1 WHERE dest = $1",
					   1, types, values, NULL, false, 0);
	SPI_finish();
}

/* The worker calls this periodically.  That a destination is missing is not enough: a dump may be about to bring it. */
void
pcapi_cancel_orphaned_events(void)
{
	pcapi_finalize_waiting("cancelled", DROPPED,
						   "pinterest_capi._queue AS q WHERE q.dest = ANY (ARRAY(SELECT s.dest"
						   " FROM pinterest_capi._destination_state AS s WHERE s.dropped_at IS NOT NULL"
						   " AND NOT EXISTS (SELECT FROM pinterest_capi.destination AS d WHERE d.destination = s.destination)))"
						   " ORDER BY q.dest, q.id",
						   true, 0, NULL, NULL, NULL);
}
