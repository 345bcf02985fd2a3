/*
 * dequeue_new.c
 *	  Events that were never tried, in the order of their ids: most of what the
 *	  worker ever reads.
 *
 * A walk over two primary keys side by side.  A join in SQL looks up each
 * event by itself, from the root of the index, which takes most of its time.
 * Where a table or its key isn't as the install script made it, there is one.
 * What is due again is read in dequeue.c.
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "common/extension.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "executor/tuptable.h"
#include "queue/dequeue.h"
#include "queue/dequeue_new.h"
#include "queue/payload.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

/* so many rows of other destinations are stepped over before it is better to go down again */
#define STEPS_MAX	16

static Datum
attribute(PcapiIndexScan *walk, int column, bool *isnull)
{
	return slot_getattr(walk->slot, column, isnull);
}

/*
 * Move the walk over events on to id, which is higher than all before.  False:
 * it isn't there.
 */
static bool
find_event(PcapiIndexScan *events, int64 id)
{
	bool		isnull;
	ScanKeyData key;
	int64		found;

	for (int steps = 0; steps < STEPS_MAX && !TupIsNull(events->slot); steps++)
	{
		found = DatumGetInt64(attribute(events, PCAPI_EVENT_ID, &isnull));
		if (found >= id)
			return found == id;
		if (!pcapi_index_scan_next(events))
			return false;
	}
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(id));
	index_rescan(events->scan, &key, 1, NULL, 0);
	return pcapi_index_scan_next(events) &&
		DatumGetInt64(attribute(events, PCAPI_EVENT_ID, &isnull)) == id;
}

static void
take(PcapiQueuedEvent *e, PcapiIndexScan *queue, PcapiIndexScan *events, PcapiPayloadBudget *reader)
{
	bool		isnull;
	Datum		d;

	memset(e, 0, sizeof(PcapiQueuedEvent));
	e->id = DatumGetInt64(attribute(queue, PCAPI_QUEUE_ID, &isnull));
	e->tid = queue->slot->tts_tid;
	e->xmin = DatumGetTransactionId(slot_getsysattr(queue->slot, MinTransactionIdAttributeNumber, &isnull));
	e->attempts = DatumGetInt32(attribute(queue, PCAPI_QUEUE_ATTEMPTS, &isnull));
	d = attribute(queue, PCAPI_QUEUE_FIRST_ATTEMPT_AT, &isnull);
	e->first_attempt_at = isnull ? 0 : DatumGetTimestampTz(d);
	e->created_at = e->waits_since = DatumGetTimestampTz(attribute(events, PCAPI_EVENT_CREATED_AT, &isnull));
	e->event_time = DatumGetTimestampTz(attribute(events, PCAPI_EVENT_EVENT_TIME, &isnull));
	d = attribute(events, PCAPI_EVENT_PAYLOAD, &isnull);
	pcapi_read_payload(reader, e, d, isnull);
}

int
pcapi_dequeue_new(int dest, int64 after, int limit, PcapiPayloadBudget *reader, PcapiQueuedEvent **claimed)
{
	PcapiIndexScan queue;
	PcapiIndexScan events;
	ScanKeyData keys[2];
	bool		isnull;
	int			n = 0;

	/*
	 * By the transaction's first snapshot.  The destinations are read by a
	 * later one: so what was tracked after a change of their settings is not
	 * seen before the change.
	 */
	if (!pcapi_index_scan_open(&queue, PCAPI_TABLE_QUEUE, &pcapi_queue_key, 2))
		return pcapi_dequeue_new_by_sql(dest, after, limit, reader, claimed);
	if (!pcapi_index_scan_open(&events, PCAPI_TABLE_EVENT, &pcapi_event_key, 1))
	{
		pcapi_index_scan_close(&queue);
		return pcapi_dequeue_new_by_sql(dest, after, limit, reader, claimed);
	}
	*claimed = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(PcapiQueuedEvent) * Max(limit, 1));
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(dest));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	index_rescan(queue.scan, keys, 2, NULL, 0);
	while (n < limit && !reader->full && pcapi_index_scan_next(&queue))
	{
		int64		id;

		CHECK_FOR_INTERRUPTS();
		(void) attribute(&queue, PCAPI_QUEUE_DUE_AT, &isnull);
		if (!isnull)
			continue;
		id = DatumGetInt64(attribute(&queue, PCAPI_QUEUE_ID, &isnull));
		if (find_event(&events, id))
			take(&(*claimed)[n++], &queue, &events, reader);
	}
	pcapi_index_scan_close(&events);
	pcapi_index_scan_close(&queue);
	return n;
}
