/*
 * dequeue_singly.c
 *	  Read events one by one, after an error in reading many.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "miscadmin.h"
#include "queue/dequeue.h"
#include "queue/dequeue_new.h"
#include "queue/dequeue_singly.h"
#include "queue/payload.h"
#include "utils/timestamp.h"

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

/* events that were read one by one */
typedef struct Singles
{
	PcapiQueuedEvent *found;
	int			n;
} Singles;

/* Read an event, and keep it if it is there or can't be read. */
static void
try_single(Singles *singles, int dest, PcapiPayloadBudget *budget, int64 id, TimestampTz first_attempt_at, MemoryContext context)
{
	PcapiQueuedEvent *event = &singles->found[singles->n];
	Single		s = {.dest = dest, .budget = budget, .event = event, .context = context};
	char	   *problem;

	CHECK_FOR_INTERRUPTS();
	memset(event, 0, sizeof(PcapiQueuedEvent));
	event->id = id;
	event->first_attempt_at = first_attempt_at;
	/* an event that can't be read doesn't expire */
	event->event_time = GetCurrentTimestamp();
	problem = pcapi_subxact_error(fetch_single, &s);
	if (problem)
		event->problem = problem;
	if (problem || s.found)
		singles->n++;
}

/*
 * Each event is read in a subtransaction, so that a damaged page of _event, say, is
 * a problem of the events on that page alone.
 */
int
pcapi_dequeue_singly(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events)
{
	Oid			types[3] = {INT4OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[3] = {Int32GetDatum(dest), Int32GetDatum(limit), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context = CurrentMemoryContext;
	PcapiWalk	walk = {.dest = dest, .after = after, .upto = PCAPI_LAST_ID, .budget = budget};
	Singles		singles = {0};
	int64	   *ids = palloc(sizeof(int64) * Max(limit, 1));
	TimestampTz *first = palloc(sizeof(TimestampTz) * Max(limit, 1));
	int			n;

	singles.found = palloc(sizeof(PcapiQueuedEvent) * Max(limit, 1));
	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT q.id, q.first_attempt_at FROM pinterest_capi._retry AS q"
					   " WHERE q.dest = $1 AND q.due_at <= $3 ORDER BY q.dest, q.due_at LIMIT $2",
					   3, types, values, NULL, true, 0);
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		ids[i] = pcapi_result_int64(i, "id");
		first[i] = pcapi_result_time(i, "first_attempt_at");
	}
	SPI_finish();
	for (int i = 0; i < n; i++)
		try_single(&singles, dest, budget, ids[i], first[i], context);

	/* some may be invisible: of transactions that are not over, or that have failed */
	do
	{
		n = pcapi_new_ids(&walk, limit, ids);
		for (int i = 0; i < n && singles.n < limit; i++)
			try_single(&singles, dest, budget, ids[i], 0, context);
		if (n > 0)
			walk.after = ids[n - 1];
	} while (n == limit && singles.n < limit);
	*events = singles.found;
	return singles.n;
}
