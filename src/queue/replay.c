/*
 * replay.c
 *	  Final events once more.
 *
 * Under its own event_id a row goes back into the queue; with a new one it
 * stays as it is and a new row appears.  The payload is text that event.c
 * made, so the two keys that may change can be replaced in it: in no string
 * can a quote come before a colon without a backslash.
 */
#include "queue/operate.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* The parameters of all statements here; $6 and $7 are used by some. */
#define NARGS	7

#define CHOSEN \
	" FROM pinterest_capi._outcome AS o JOIN pinterest_capi._event AS e ON e.id = o.id" \
	" WHERE o.dest = $1 AND o.status = $2" \
	" AND ($3 IS NULL OR lower(e.event_name) = lower($3))" \
	" AND ($4 IS NULL OR e.created_at >= $4) AND ($5 IS NULL OR e.created_at < $5)" \
	" AND $6 IS NOT NULL AND $7 IS NOT NULL"

#define EVENT_TIME_IN(payload) \
	" CASE WHEN $7 THEN regexp_replace(" payload ", '\"event_time\":[0-9]+'," \
	" '\"event_time\":' || floor(extract(epoch FROM clock_timestamp()))::bigint) ELSE " payload " END"

#define OFFLINE "e.payload LIKE '%\"action_source\":\"offline\"%'"

static int64
run(const char *sql, const Datum *values, const char *nulls, int64 *second)
{
	Oid			types[NARGS] = {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID, BOOLOID};
	int64		first;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args(sql, NARGS, types, unconstify(Datum *, values), nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not replay");
	first = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (second)
		*second = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	SPI_finish();
	return first;
}

/*
 * due_at is set: the worker looks for new ids where it has not been yet, and
 * for old ones by when they are due.
 */
static int64
requeue(const Datum *values, const char *nulls)
{
	return run("WITH chosen AS (SELECT o.id" CHOSEN " AND e.payload IS NOT NULL"
			   "), back AS (DELETE FROM pinterest_capi._outcome AS o USING chosen WHERE o.id = chosen.id"
			   " RETURNING o.id, o.dest, o.warnings"
			   "), timed AS (UPDATE pinterest_capi._event AS e SET event_time = clock_timestamp(), payload ="
			   EVENT_TIME_IN("e.payload")
			   " FROM back WHERE e.id = back.id AND $7"
			   "), queued AS (INSERT INTO pinterest_capi._queue (id, dest, due_at, warnings)"
			   " SELECT id, dest, clock_timestamp(), warnings FROM back RETURNING 1"
			   ") SELECT count(*) FROM queued",
			   values, nulls, NULL);
}

static int64
copy(const Datum *values, const char *nulls)
{
	return run("WITH chosen AS MATERIALIZED (SELECT e.*, gen_random_uuid()::text AS new_id" CHOSEN " AND e.payload IS NOT NULL"
			   "), made AS (INSERT INTO pinterest_capi._event (created_at, event_time, dest, visitor, event_id,"
			   " event_name, sent_as, warnings, payload)"
			   " SELECT clock_timestamp(), CASE WHEN $7 THEN clock_timestamp() ELSE c.event_time END, c.dest, c.visitor,"
			   " c.new_id, c.event_name, c.sent_as, c.warnings,"
			   " regexp_replace(" EVENT_TIME_IN("c.payload")
			   ", '\"event_id\":\"([^\"\\\\]|\\\\.)*\"', '\"event_id\":\"' || c.new_id || '\"')"
			   " FROM chosen AS c ORDER BY c.id RETURNING id, dest"
			   "), queued AS (INSERT INTO pinterest_capi._queue (id, dest, due_at) SELECT id, dest, clock_timestamp() FROM made RETURNING 1"
			   ") SELECT count(*) FROM queued",
			   values, nulls, NULL);
}

static bool
is_final(const char *status)
{
	static const char *const final[] = {"sent", "failed", "expired", "rejected", "suppressed", "cancelled"};

	for (int i = 0; i < lengthof(final); i++)
		if (strcmp(status, final[i]) == 0)
			return true;
	return false;
}

PG_FUNCTION_INFO_V1(pcapi_sql_replay);
Datum
pcapi_sql_replay(PG_FUNCTION_ARGS)
{
	char	   *destination = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *status = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	bool		new_event_id = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	bool		event_time_now = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	bool		dry_run = !PG_ARGISNULL(7) && PG_GETARG_BOOL(7);
	Datum		values[NARGS];
	char		nulls[NARGS] = {' ', ' ', ' ', ' ', ' ', ' ', ' '};
	PcapiIdentity saved;
	int64		n;
	int64		emptied;
	int64		offline;

	if (status == NULL || !is_final(status))
		pcapi_bad_call(("status must be a final one"),
					   ("Final are sent, failed, expired, rejected, suppressed and cancelled."));
	if (!dry_run)
		pcapi_check_writable("replay()");

	pcapi_become_owner(&saved, true);
	values[0] = Int32GetDatum(pcapi_require_destination(destination));
	values[1] = CStringGetTextDatum(status);
	for (int i = 2; i <= 4; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		if (PG_ARGISNULL(i))
			nulls[i] = 'n';
	}
	values[5] = BoolGetDatum(new_event_id);
	values[6] = BoolGetDatum(event_time_now);

	n = run("SELECT count(*) FILTER (WHERE e.payload IS NOT NULL), count(*) FILTER (WHERE e.payload IS NULL)" CHOSEN,
			values, nulls, &emptied);
	offline = run("SELECT count(*) FILTER (WHERE " OFFLINE ")" CHOSEN, values, nulls, NULL);
	if (!dry_run && n > 0)
	{
		n = new_event_id ? copy(values, nulls) : requeue(values, nulls);
		pcapi_wake_at_commit();
	}
	pcapi_become_caller(&saved);

	if (emptied > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld event has no payload and cannot be replayed",
							   "%lld events have no payload and cannot be replayed",
							   emptied, (long long) emptied), pcapi_hide()));
	if (offline > 0)
		ereport(WARNING,
				(errmsg_plural("%lld offline event is among them", "%lld offline events are among them",
							   offline, (long long) offline),
				 errhint("Pinterest cannot deduplicate offline events: what it has processed before counts twice."),
				 pcapi_hide()));
	PG_RETURN_INT64(n);
}
