/*
 * dequeue.c
 *	  Read retries and chosen events from the queue; dequeue_new.c reads events that were never
 *	  tried.
 *
 * One worker per database holds an advisory lock, so nothing here locks rows.  The
 * row of an event in flight stays in the queue as it is.  The worker keeps in memory
 * which these are; a lease (one per request, committed before the request starts)
 * tells the next worker if this one dies.
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/dequeue.h"
#include "queue/payload.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SELECT_EVENTS \
	"SELECT q.id, q.attempts, greatest(e.created_at, q.due_at) AS waits_since, e.event_time, q.first_attempt_at, e.payload, e.created_at"

/* each event looked up by its key, for the reason that common/spi.h gives at pcapi_plan() */
#define THEIR_EVENTS \
	" CROSS JOIN LATERAL (SELECT v.created_at, v.event_time, v.payload FROM pinterest_capi._event AS v" \
	" WHERE v.id = q.id OFFSET 0) AS e"

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

/* Read-only, so that it sees the active snapshot, as dequeue_new.c does. */
int
pcapi_dequeue_new_by_sql(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, INT8OID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(after), Int64GetDatum(limit)};
	MemoryContext context = CurrentMemoryContext;
	int			n;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 SELECT_EVENTS
							 " FROM (SELECT w.id, w.attempts, w.first_attempt_at, w.due_at FROM pinterest_capi._queue AS w"
							 " WHERE w.dest = $1 AND w.id > $2 AND w.due_at IS NULL"
							 " ORDER BY w.dest, w.id LIMIT $3) AS q"
							 THEIR_EVENTS " ORDER BY q.id",
							 3, types),
				  values, NULL, true, 0);
	n = read_events(events, budget, context);
	SPI_finish();
	return n;
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
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, TIMESTAMPTZOID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(limit), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context = CurrentMemoryContext;
	int			n;

	/* as of the transaction's first snapshot, with this transaction's own changes */
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 SELECT_EVENTS
							 " FROM (SELECT w.id, w.attempts, w.first_attempt_at, w.due_at FROM pinterest_capi._queue AS w"
							 " WHERE w.dest = $1 AND w.due_at <= $3"
							 " ORDER BY w.dest, w.due_at LIMIT $2) AS q"
							 THEIR_EVENTS,
							 3, types),
				  values, NULL, true, 0);
	n = read_events(events, budget, context);
	SPI_finish();
	return n;
}

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
							 " FROM unnest($2) WITH ORDINALITY AS i (id, n)"
							 " CROSS JOIN LATERAL (SELECT w.id, w.attempts, w.first_attempt_at, w.due_at"
							 " FROM pinterest_capi._queue AS w WHERE w.dest = $1 AND w.id = i.id OFFSET 0) AS q"
							 THEIR_EVENTS " ORDER BY i.n",
							 2, types),
				  values, NULL, false, 0);
	n = read_events(events, budget, context);
	SPI_finish();
	return n;
}

/* one event, for fetch_single() */
typedef struct Single
{
	int			dest;
	PcapiPayloadBudget *budget;
	PcapiQueuedEvent *event;
	MemoryContext context;
	bool		found;
} Single;

/* Read one event with its payload. */
static void
fetch_single(void *arg)
{
	Single	   *s = arg;
	MemoryContext old = MemoryContextSwitchTo(s->context);
	PcapiQueuedEvent *events;

	s->found = pcapi_dequeue_ids(s->dest, &s->event->id, 1, s->budget, &events) > 0;
	if (s->found)
		*s->event = events[0];
	MemoryContextSwitchTo(old);
}

/*
 * Each event is read in a subtransaction, so that a damaged page of _event, say, is
 * a problem of the events on that page alone.
 */
int
pcapi_dequeue_singly(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events)
{
	Oid			types[4] = {INT4OID, INT8OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[4] = {Int32GetDatum(dest), Int64GetDatum(after), Int32GetDatum(limit), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context = CurrentMemoryContext;
	PcapiQueuedEvent *found;
	int			n;
	int			m = 0;

	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT q.id, q.first_attempt_at FROM pinterest_capi._queue AS q"
					   " WHERE q.dest = $1 AND q.id > $2 AND (q.due_at IS NULL OR q.due_at <= $4)"
					   " ORDER BY q.dest, q.id LIMIT $3",
					   4, types, values, NULL, true, 0);
	n = (int) SPI_processed;
	found = MemoryContextAllocZero(context, sizeof(PcapiQueuedEvent) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		found[i].id = pcapi_result_int64(i, "id");
		found[i].first_attempt_at = pcapi_result_time(i, "first_attempt_at");
		/* an event that can't be read doesn't expire */
		found[i].event_time = GetCurrentTimestamp();
	}
	SPI_finish();

	for (int i = 0; i < n; i++)
	{
		Single		s = {.dest = dest, .budget = budget, .event = &found[i], .context = context};
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		problem = pcapi_subxact_error(fetch_single, &s);
		if (problem)
			found[i].problem = problem;
		if (problem || s.found)
			found[m++] = found[i];
	}
	*events = found;
	return m;
}

Oid
pcapi_queue_file(void)
{
	Relation	rel = table_open(pcapi_table(PCAPI_TABLE_QUEUE), AccessShareLock);
	Oid			file = rel->rd_rel->relfilenode;

	table_close(rel, NoLock);
	return file;
}

int
pcapi_queued_between(int dest, int64 low, int64 high, int64 **ids)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, INT8OID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(low), Int64GetDatum(high)};
	MemoryContext context = CurrentMemoryContext;
	int			column;
	int			n;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT q.id FROM pinterest_capi._queue AS q"
							 " WHERE q.dest = $1 AND q.id > $2 AND q.id <= $3 AND q.due_at IS NULL"
							 " ORDER BY q.dest, q.id LIMIT 100000",
							 3, types),
				  values, NULL, false, 0);
	n = (int) SPI_processed;
	column = pcapi_result_column("id");
	*ids = MemoryContextAlloc(context, sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		(*ids)[i] = DatumGetInt64(pcapi_result_datum(i, column, &isnull));
	}
	SPI_finish();
	return n;
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
							 "SELECT w.due_at FROM pinterest_capi._queue AS w"
							 " WHERE w.dest = $1 AND w.due_at > $2"
							 " ORDER BY w.dest, w.due_at LIMIT 1",
							 2, types),
				  values, NULL, false, 1);
	if (SPI_processed > 0)
		due = pcapi_result_time(0, "due_at");
	SPI_finish();
	return due;
}
