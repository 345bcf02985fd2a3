/*
 * dequeue_new.c
 *	  Read queued events that were never tried, in the order of their ids: nearly all that a
 *	  worker reads.
 *
 * Two scans, of _queue and _event by their primary keys, run side by side.  A join in
 * SQL looks up each event from the root of the index, which takes most of its time;
 * it is used where a table or its key isn't as the install script made it
 * (pcapi_dequeue_new_by_sql).
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

/* events of other destinations that a scan steps over before it descends from the root again */
#define STEPS_MAX	16

/* Read a column of the current row. */
static Datum
attribute(PcapiIndexScan *scan, int column, bool *isnull)
{
	return slot_getattr(scan->slot, column, isnull);
}

/*
 * Move the scan of events on to an id, which is higher than those asked for before.
 * False: there is no such event.
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

/* Fill in an event from the current rows of both scans. */
static void
read_event(PcapiQueuedEvent *e, int dest, PcapiIndexScan *queue, PcapiIndexScan *events, PcapiPayloadBudget *budget)
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
	pcapi_counted_read(&e->counted, dest, events->slot);
	d = attribute(events, PCAPI_EVENT_PAYLOAD, &isnull);
	pcapi_read_payload(budget, e, d, isnull);
}

int
pcapi_dequeue_new(int dest, int64 after, int limit, PcapiPayloadBudget *budget, PcapiQueuedEvent **events)
{
	PcapiIndexScan queue_scan;
	PcapiIndexScan event_scan;
	ScanKeyData keys[2];
	bool		isnull;
	int			n = 0;

	/*
	 * The scans use the transaction's first snapshot, and the destinations
	 * are read with a later one.  So an event that was tracked after a change
	 * of their settings is not seen before the change.
	 */
	if (!pcapi_index_scan_open(&queue_scan, PCAPI_TABLE_QUEUE, &pcapi_queue_key, 2))
		return pcapi_dequeue_new_by_sql(dest, after, limit, budget, events);
	if (!pcapi_index_scan_open(&event_scan, PCAPI_TABLE_EVENT, &pcapi_event_key, 1))
	{
		pcapi_index_scan_close(&queue_scan);
		return pcapi_dequeue_new_by_sql(dest, after, limit, budget, events);
	}
	*events = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(PcapiQueuedEvent) * Max(limit, 1));
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(dest));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	index_rescan(queue_scan.scan, keys, 2, NULL, 0);
	while (n < limit && !budget->full && pcapi_index_scan_next(&queue_scan))
	{
		int64		id;

		CHECK_FOR_INTERRUPTS();
		(void) attribute(&queue_scan, PCAPI_QUEUE_DUE_AT, &isnull);
		if (!isnull)
			continue;
		id = DatumGetInt64(attribute(&queue_scan, PCAPI_QUEUE_ID, &isnull));
		if (find_event(&event_scan, id))
			read_event(&(*events)[n++], dest, &queue_scan, &event_scan, budget);
	}
	pcapi_index_scan_close(&event_scan);
	pcapi_index_scan_close(&queue_scan);
	return n;
}
