/*
 * dequeue.c
 *	  Read retries and chosen events; dequeue_new.c reads fresh ones.
 *
 * One worker per database holds an advisory lock, so nothing here locks rows.  An
 * event in flight is like any other in the tables.  The worker keeps in memory
 * which these are; a lease (one per request, committed before the request starts)
 * tells the next worker if this one dies.
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "queue/dequeue.h"
#include "queue/payload.h"
#include "queue/waiting.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SELECT_EVENTS \
	"SELECT e.id, coalesce(q.attempts, 0) AS attempts, q.id IS NOT NULL AS retried," \
	" greatest(e.created_at, q.due_at) AS waits_since, e.event_time, q.first_attempt_at, e.payload, e.created_at"

/*
 * The event e, and the row q of _retry if there is one, of c.id.  Each is looked up by its
 * key, for the reason that common/spi.h gives at pcapi_plan().
 */
#define ITS_EVENT \
	" JOIN LATERAL (SELECT v.id, v.dest, v.created_at, v.event_time, v.payload FROM pinterest_capi._event AS v" \
	" WHERE v.id = c.id OFFSET 0) AS e ON e.dest = $1"
#define ITS_RETRY \
	" LEFT JOIN LATERAL (SELECT w.* FROM pinterest_capi._retry AS w WHERE w.dest = $1 AND w.id = c.id OFFSET 0) AS q ON true"

/* fresh events in ($2, $4]; dest + 0, since no index but that of ids is to be read */
#define FRESH(columns) \
	"SELECT " columns " FROM pinterest_capi._event AS e" \
	" WHERE e.id > $2 AND e.id <= $4 AND e.dest + 0 = $1 AND" PCAPI_NOT_FINAL("e.id") \
	" AND NOT (" PCAPI_IS_RETRIED("$1", "e.id") ") ORDER BY e.id LIMIT $3"

/* Read a time; 0 if it is null. */
static TimestampTz
time_column(uint64 row, int column)
{
	bool		isnull;
	Datum		d = pcapi_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(d);
}

/* Read the rows of the last statement, which begins with SELECT_EVENTS.  Return how many. */
static int
read_events(PcapiQueuedEvent **events, PcapiPayloadBudget *budget, MemoryContext context)
{
	int			n = (int) SPI_processed;
	int			id = pcapi_result_column("id");
	int			attempts = pcapi_result_column("attempts");
	int			retried = pcapi_result_column("retried");
	int			waits_since = pcapi_result_column("waits_since");
	int			event_time = pcapi_result_column("event_time");
	int			first_attempt_at = pcapi_result_column("first_attempt_at");
	int			payload_column = pcapi_result_column("payload");
	int			created_at = pcapi_result_column("created_at");
	MemoryContext old = MemoryContextSwitchTo(context);

	*events = palloc_extended(sizeof(PcapiQueuedEvent) * Max(n, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < n; i++)
	{
		PcapiQueuedEvent *e = &(*events)[i];
		bool		isnull;
		Datum		payload;

		e->id = DatumGetInt64(pcapi_result_datum(i, id, &isnull));
		e->attempts = DatumGetInt32(pcapi_result_datum(i, attempts, &isnull));
		e->retried = DatumGetBool(pcapi_result_datum(i, retried, &isnull));
		e->waits_since = time_column(i, waits_since);
		e->event_time = time_column(i, event_time);
		e->first_attempt_at = time_column(i, first_attempt_at);
		e->created_at = time_column(i, created_at);
		payload = pcapi_result_datum(i, payload_column, &isnull);
		pcapi_read_payload(budget, e, payload, isnull);
	}
	MemoryContextSwitchTo(old);
	return n;
}

/*
 * Read-only, so that it sees the active snapshot, as dequeue_new.c does.  Which ids are
 * missing is not known here, so all that was read is to be read again.
 */
int
pcapi_dequeue_new_by_sql(PcapiWalk *walk, int limit, PcapiQueuedEvent **events)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {INT4OID, INT8OID, INT8OID, INT8OID};
	Datum		values[4] = {Int32GetDatum(walk->dest), Int64GetDatum(walk->after), Int64GetDatum(limit + walk->held), Int64GetDatum(walk->upto)};
	MemoryContext context = CurrentMemoryContext;
	int			level = pcapi_plan_by_key();
	int			n;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 SELECT_EVENTS
							 " FROM (" FRESH("e.*") ") AS e"
							 " CROSS JOIN (SELECT NULL::bigint AS id, NULL::integer AS attempts, NULL::timestamptz AS due_at,"
							 " NULL::timestamptz AS first_attempt_at) AS q ORDER BY e.id",
							 4, types),
				  values, NULL, true, 0);
	n = read_events(events, walk->budget, context);
	SPI_finish();
	AtEOXact_GUC(true, level);
	walk->ended = n < limit + walk->held;
	walk->read_to = n > 0 ? (*events)[n - 1].id : walk->after;
	if (walk->unread && Max(walk->after, walk->unread_above) < walk->read_to)
		pcapi_ranges_add(walk->unread, Max(walk->after, walk->unread_above) + 1, walk->read_to);
	return n;
}

int
pcapi_new_ids_by_sql(const PcapiWalk *walk, int limit, int64 *ids)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {INT4OID, INT8OID, INT8OID, INT8OID};
	Datum		values[4] = {Int32GetDatum(walk->dest), Int64GetDatum(walk->after), Int64GetDatum(limit), Int64GetDatum(walk->upto)};
	int			level = pcapi_plan_by_key();
	int			n;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT, pcapi_plan(&plan, FRESH("e.id"), 4, types), values, NULL, true, 0);
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
		ids[i] = pcapi_result_int64(i, "id");
	SPI_finish();
	AtEOXact_GUC(true, level);
	return n;
}

/*
 * Delete rows of _retry whose events have an outcome: a session wrote it while the event
 * became a retry, or they were queued again by hand.
 */
static void
delete_final(int dest, const int64 *ids, int n)
{
	Oid			types[2] = {INT4OID, INT8ARRAYOID};
	Datum		values[2] = {Int32GetDatum(dest), pcapi_id_array(ids, n)};

	pcapi_execute_once(SPI_OK_DELETE,
					   "DELETE FROM pinterest_capi._retry WHERE dest = $1 AND id = ANY (ARRAY("
					   "SELECT w.id FROM pinterest_capi._retry AS w WHERE w.dest = $1 AND w.id = ANY ($2) FOR UPDATE SKIP LOCKED))",
					   2, types, values, NULL, false, 0);
}

/*
 * A replayed event is due at once.  So as in pcapi_dequeue_new(), an event that was
 * replayed after a change of the destination's settings is not seen before the change.
 *
 * The time is a parameter here and below: with clock_timestamp(), which is
 * volatile, the index would be read from end to end.
 */
int
pcapi_dequeue_due(int dest, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events)
{
	static SPIPlanPtr choose_plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, TIMESTAMPTZOID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(limit), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context = CurrentMemoryContext;
	int64	   *due;
	int64	   *final;
	int			n_due;
	int			n_final = 0;
	int			n = 0;

	/* as of the transaction's first snapshot, with this transaction's own changes */
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&choose_plan,
							 "SELECT c.id," PCAPI_IS_FINAL("c.id") " AS final"
							 " FROM (SELECT w.id, w.due_at FROM pinterest_capi._retry AS w"
							 " WHERE w.dest = $1 AND w.due_at <= $3"
							 " ORDER BY w.dest, w.due_at LIMIT $2) AS c ORDER BY c.due_at",
							 3, types),
				  values, NULL, true, 0);
	n_due = (int) SPI_processed;
	due = MemoryContextAlloc(context, sizeof(int64) * Max(n_due, 1));
	final = MemoryContextAlloc(context, sizeof(int64) * Max(n_due, 1));
	for (int i = 0; i < n_due; i++)
		if (pcapi_result_bool(i, "final"))
			final[n_final++] = pcapi_result_int64(i, "id");
		else
			due[n++] = pcapi_result_int64(i, "id");
	if (n_final > 0)
		delete_final(dest, final, n_final);
	SPI_finish();
	return n == 0 ? 0 : pcapi_dequeue_ids(dest, due, n, budget, events);
}

/* Read-only, for the same reason. */
int
pcapi_dequeue_ids(int dest, const int64 *ids, int n, PcapiPayloadBudget *budget, PcapiQueuedEvent **events)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, INT8ARRAYOID};
	Datum		values[2];
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = pcapi_id_array(ids, n);
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 SELECT_EVENTS
							 " FROM unnest($2) WITH ORDINALITY AS c (id, n)"
							 ITS_EVENT ITS_RETRY " WHERE" PCAPI_NOT_FINAL("c.id") " ORDER BY c.n",
							 2, types),
				  values, NULL, true, 0);
	n = read_events(events, budget, context);
	SPI_finish();
	return n;
}

Oid
pcapi_event_file(void)
{
	Relation	rel = table_open(pcapi_table(PCAPI_TABLE_EVENT), AccessShareLock);
	Oid			file = rel->rd_rel->relfilenode;

	table_close(rel, NoLock);
	return file;
}

TimestampTz
pcapi_next_due(int dest)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, TIMESTAMPTZOID};
	Datum		values[2] = {Int32GetDatum(dest), TimestampTzGetDatum(GetCurrentTimestamp())};
	TimestampTz due = 0;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT w.due_at FROM pinterest_capi._retry AS w"
							 " WHERE w.dest = $1 AND w.due_at > $2"
							 " ORDER BY w.dest, w.due_at LIMIT 1",
							 2, types),
				  values, NULL, false, 1);
	if (SPI_processed > 0)
		due = pcapi_result_time(0, "due_at");
	SPI_finish();
	return due;
}
