/*
 * operate.c
 *	  pause, resume and drop a destination; cancel and purge events.
 *
 * None of it waits for the worker: what it does to rows that are in a request
 * stands, and the answer that comes later finds nothing to settle.
 */
#include "queue/operate.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "queue/claim.h"
#include "queue/hold.h"
#include "queue/sending_server.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define DROPPED "destination dropped"

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

void
pcapi_unknown_destination(void)
{
	pcapi_bad_call(("unknown destination"),
				   ("The view pinterest_capi.destination_status lists those that exist."));
}

void
pcapi_check_destination(const char *destination)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	bool		found;

	if (destination == NULL)
		pcapi_unknown_destination();
	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	SPI_execute_with_args("SELECT FROM pinterest_capi.destination WHERE destination = $1",
						  1, types, values, NULL, false, 1);
	found = (SPI_processed > 0);
	SPI_finish();
	if (!found)
		pcapi_unknown_destination();
}

int
pcapi_require_destination(const char *destination)
{
	pcapi_check_destination(destination);
	return pcapi_destination_number(destination, true);
}

/* For the deletion below: see PCAPI_QUEUED_AS.  No jit: what is off has a cost beyond all limits. */
int
pcapi_plan_by_key(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

typedef struct Finish
{
	const char *status;
	const char *reason;
} Finish;

/* Of rows that are locked.  See finish_waiting(). */
static int64
finish_step(Datum dests, Datum ids, void *arg)
{
	static SPIPlanPtr plans[2];
	const Finish *finish = arg;
	Oid			types[4] = {TEXTOID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID};
	Datum		values[4] = {CStringGetTextDatum(finish->status), CStringGetTextDatum(finish->reason), dests, ids};
	int64		n;

	SPI_connect();
	SPI_execute_plan(pcapi_outcome_plan(plans,
										"WITH gone AS ("
										" DELETE FROM pinterest_capi._queue AS q USING unnest($3, $4) AS chosen (dest, id)"
										" WHERE" PCAPI_QUEUED_AS("chosen") " RETURNING q.*)"
										" INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")"
										" SELECT g.id, clock_timestamp(), g.last_attempt_at, g.dest, g.attempts, g.http_status,"
										" $1, $2, g.error, CASE WHEN (g.dest, g.id) IN (SELECT l.dest, unnest(l.ids) FROM pinterest_capi._lease AS l)"
										" THEN g.warnings || '" PCAPI_WARNING_IN_REQUEST "'::text"
										" WHEN (SELECT e.destination IS NOT NULL FROM pinterest_capi._event AS e WHERE e.id = g.id)"
										" THEN g.warnings || '" PCAPI_WARNING_PUBLISHED "'::text"
										" ELSE g.warnings END, NULL FROM gone AS g%s",
										4, types),
					 values, NULL, false, 0);
	n = (int64) SPI_processed;
	SPI_finish();
	return n;
}

/*
 * Waiting rows become final: those rows q of the queue that this FROM has,
 * which may use parameters from $3 on, in the order of dest and id.  As rows are
 * locked in this order, no two of these wait for each other; but ORDER BY q's
 * columns of a join would have the queue read in their order.  skip_locked: but
 * for those that another transaction has locked.
 *
 * What is in a request may have been processed, which the row then
 * says; the lease of a request that leaves in this very moment isn't seen yet.
 */
int64
pcapi_finish_waiting(const char *status, const char *reason, const char *from,
					 bool skip_locked, int nargs, const Oid *argtypes, const Datum *args, const char *argnulls)
{
	Oid			types[5] = {TEXTOID, TEXTOID};
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};
	int			level = pcapi_plan_by_key();
	Finish		finish = {status, reason};
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
					   2 + nargs, types, values, nulls, finish_step, &finish);
	AtEOXact_GUC(true, level);
	return n;
}

/* ---- destinations ---- */

PG_FUNCTION_INFO_V1(pcapi_sql_pause_destination);
Datum
pcapi_sql_pause_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = text_arg(fcinfo, 0);
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2];
	PcapiIdentity saved;

	pcapi_check_writable("pause_destination()");
	pcapi_become_owner(&saved, true);
	values[0] = Int32GetDatum(pcapi_require_destination(destination));
	values[1] = CStringGetTextDatum("by pause_destination");
	SPI_connect();
	SPI_execute_with_args("UPDATE pinterest_capi._destination_state SET paused_at = clock_timestamp(),"
						  " paused_reason = $2 WHERE dest = $1 AND paused_at IS NULL",
						  2, types, values, NULL, false, 0);
	if (SPI_processed > 0)
	{
		pcapi_notify(destination, "paused", "by pause_destination");
		pcapi_wake_at_commit();
	}
	SPI_finish();
	pcapi_become_caller(&saved);
	PG_RETURN_VOID();
}

/*
 * Whoever configures or resumes a destination here means this server to send:
 * that ends what holds it as a copy of another one, for all destinations.
 */
void
pcapi_claim_server(void)
{
	const char *remedy;
	char	   *reason;

	if (pcapi_sending_server_claim())
		ereport(NOTICE,
				(errmsg("this server sends from now on"),
				 errdetail("It was held as a copy of another one, for all destinations."),
				 errhint("What waits in its queue is sent too: pinterest_capi.cancel() or pinterest_capi.pause_destination() in the same transaction keeps it."),
				 pcapi_hide()));
	reason = pcapi_hold_reason(&remedy);
	if (reason)
		ereport(NOTICE,
				(errmsg("nothing is sent from this server: %s", reason),
				 errhint("%s", remedy),
				 pcapi_hide()));
}

void
pcapi_unpause(const char *destination)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(pcapi_destination_number(destination, true))};
	bool		was_paused = false;

	SPI_connect();
	SPI_execute_with_args("WITH before AS (SELECT dest, paused_at FROM pinterest_capi._destination_state"
						  " WHERE dest = $1 FOR UPDATE)"
						  " UPDATE pinterest_capi._destination_state AS s SET paused_at = NULL, paused_reason = NULL,"
						  " failing_since = NULL, backoff_until = NULL, backoff_reason = NULL, dropped_at = NULL"
						  " FROM before WHERE s.dest = before.dest RETURNING before.paused_at IS NOT NULL",
						  1, types, values, NULL, false, 0);
	if (SPI_processed > 0)
	{
		bool		isnull;

		was_paused = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	if (was_paused)
		pcapi_notify(destination, "ready", "what waited is sent");
	pcapi_wake_at_commit();
}

void
pcapi_end_backoff(const char *destination)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(destination)};

	SPI_connect();
	SPI_execute_with_args("UPDATE pinterest_capi._destination_state"
						  " SET failing_since = NULL, backoff_until = NULL, backoff_reason = NULL"
						  " WHERE destination = $1 AND failing_since IS NOT NULL",
						  1, types, values, NULL, false, 0);
	SPI_finish();
}

PG_FUNCTION_INFO_V1(pcapi_sql_resume_destination);
Datum
pcapi_sql_resume_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = text_arg(fcinfo, 0);
	PcapiIdentity saved;

	pcapi_check_writable("resume_destination()");
	pcapi_become_owner(&saved, true);
	pcapi_require_destination(destination);
	pcapi_claim_server();
	pcapi_unpause(destination);
	pcapi_become_caller(&saved);
	PG_RETURN_VOID();
}

/*
 * Should the name come back, it starts anew, under the same number.  Its life is
 * another one, so that the answer to a request of the old one says nothing of it.
 */
void
pcapi_forsake(const char *destination)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(pcapi_destination_number(destination, false))};

	if (DatumGetInt32(values[0]) == 0)
		return;
	pcapi_finish_waiting("cancelled", DROPPED, "pinterest_capi._queue AS q WHERE q.dest = $3 ORDER BY q.dest, q.id", false, 1, types, values, NULL);
	SPI_connect();
	SPI_execute_with_args("UPDATE pinterest_capi._destination_state SET paused_at = NULL, paused_reason = NULL,"
						  " failing_since = NULL, backoff_until = NULL, backoff_reason = NULL,"
						  " last_sent_at = NULL, last_error = NULL, last_error_at = NULL,"
						  " dropped_at = clock_timestamp(), life = life + 1 WHERE dest = $1",
						  1, types, values, NULL, false, 0);
	SPI_finish();
}

/* The worker's, again and again.  That a destination is missing is not enough: a dump may be on its way in. */
void
pcapi_cancel_orphans(void)
{
	pcapi_finish_waiting("cancelled", DROPPED,
						 "pinterest_capi._queue AS q WHERE q.dest = ANY (ARRAY(SELECT s.dest"
						 " FROM pinterest_capi._destination_state AS s WHERE s.dropped_at IS NOT NULL"
						 " AND NOT EXISTS (SELECT FROM pinterest_capi.destination AS d WHERE d.destination = s.destination)))"
						 " ORDER BY q.dest, q.id",
						 true, 0, NULL, NULL, NULL);
}

/* The rest is done by foreign keys and by the trigger that guards the table. */
PG_FUNCTION_INFO_V1(pcapi_sql_drop_destination);
Datum
pcapi_sql_drop_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = text_arg(fcinfo, 0);
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	PcapiIdentity saved;

	pcapi_check_writable("drop_destination()");
	pcapi_become_owner(&saved, true);
	pcapi_require_destination(destination);
	values[0] = CStringGetTextDatum(destination);
	SPI_connect();
	SPI_execute_with_args("DELETE FROM pinterest_capi.destination WHERE destination = $1",
						  1, types, values, NULL, false, 0);
	SPI_finish();
	pcapi_become_caller(&saved);
	PG_RETURN_VOID();
}

/* ---- events ---- */

PG_FUNCTION_INFO_V1(pcapi_sql_cancel);
Datum
pcapi_sql_cancel(PG_FUNCTION_ARGS)
{
	char	   *event_id = text_arg(fcinfo, 0);
	char	   *destination = text_arg(fcinfo, 1);
	Oid			types[2] = {TEXTOID, INT4OID};
	Datum		values[2] = {0};
	char		nulls[2] = {' ', 'n'};
	PcapiIdentity saved;
	const char *why;
	int64		n;

	pcapi_check_writable("cancel()");
	if (event_id == NULL)
		pcapi_bad_call(("event_id must not be null"),
					   ("The view pinterest_capi.dispatch_status shows what waits."));
	pcapi_become_owner(&saved, true);
	values[0] = CStringGetTextDatum(pcapi_stored_event_id(event_id, &why));
	if (destination)
	{
		values[1] = Int32GetDatum(pcapi_require_destination(destination));
		nulls[1] = ' ';
	}
	n = pcapi_finish_waiting("cancelled", "by cancel",
							 "(SELECT * FROM (SELECT e.dest, e.id FROM pinterest_capi._event AS e"
							 " WHERE e.event_id = $3 AND ($4 IS NULL OR e.dest = $4) OFFSET 0) AS n ORDER BY dest, id OFFSET 0) AS r"
							 " JOIN pinterest_capi._queue AS q ON" PCAPI_QUEUED_AS("r"),
							 false, 2, types, values, nulls);
	pcapi_become_caller(&saved);
	PG_RETURN_INT64(n);
}

/* A row that was replayed since it was chosen is not there any more, or final for not so long. */
static int64
purge_step(Datum dests, Datum ids, void *arg)
{
	static SPIPlanPtr plan = NULL;
	const Datum *age = arg;
	Oid			types[3] = {INT8ARRAYOID, INTERVALOID, TIMESTAMPTZOID};
	Datum		values[3] = {ids, age[0], age[1]};
	int64		n;

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"WITH gone AS (DELETE FROM pinterest_capi._outcome"
								" WHERE id = ANY ($1) AND finished_at < $3 - $2 RETURNING id)"
								" DELETE FROM pinterest_capi._event WHERE id = ANY (ARRAY(SELECT id FROM gone))",
								3, types),
					 values, NULL, false, 0);
	n = (int64) SPI_processed;
	SPI_finish();
	return n;
}

PG_FUNCTION_INFO_V1(pcapi_sql_purge);
Datum
pcapi_sql_purge(PG_FUNCTION_ARGS)
{
	Interval   *older_than = PG_GETARG_INTERVAL_P(0);
	Oid			types[2] = {INTERVALOID, TIMESTAMPTZOID};
	Datum		values[2] = {IntervalPGetDatum(older_than), TimestampTzGetDatum(GetCurrentTimestamp())};
	PcapiIdentity saved;
	int64		n;

	pcapi_check_writable("purge()");
	if (older_than->month < 0 || older_than->day < 0 || older_than->time < 0)
		pcapi_bad_call(("older_than must not be negative"),
					   ("Give an interval such as '30 days'."));
	pcapi_become_owner(&saved, true);
	n = pcapi_in_steps("SELECT o.dest, o.id FROM pinterest_capi._outcome AS o WHERE o.finished_at < $2 - $1",
					   2, types, values, NULL, purge_step, values);
	pcapi_become_caller(&saved);
	PG_RETURN_INT64(n);
}
