/*
 * dequeue_new.c
 *	  Read fresh events, which were never tried, in the order of their ids: nearly all that a
 *	  worker reads.
 *
 * A walk over the index of _event, which has the destination beside the id: entries of
 * other destinations are passed over without their rows.  Beside it, two scans of _outcome
 * and _retry by their keys tell which events are fresh no more.  In front of a cursor these
 * are few, so the scans cost next to nothing.  SQL (pcapi_dequeue_new_by_sql) is used where
 * a table or its key isn't as the install script made it.
 *
 * Ids come from one sequence, one by one.  So an id that the walk misses between two others
 * was drawn before the later one, and its event may still come; the same holds for an
 * event of a transaction that is not over.  The walk notes both, for rescan.c.
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "common/extension.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "queue/dequeue.h"
#include "queue/dequeue_new.h"
#include "queue/payload.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* entries that a scan beside the walk steps over before it descends from the root again */
#define STEPS_MAX	16

/* a scan beside the walk */
typedef struct Side
{
	PcapiIndexScan scan;
	int			column;			/* of the index: the id */
	int64		id;				/* of the current entry */
	bool		begun;
	bool		ended;
} Side;

typedef struct Scans
{
	PcapiWalk  *walk;
	PcapiIndexScan events;
	Side		outcomes;
	Side		retries;
	int			dest_column;	/* of the index of _event; 0: it isn't there */
	int64		id;				/* of the current entry */
	bool		passed;			/* the event of this id is read, or isn't fresh */
	bool		invisible;		/* the rows of this id that were looked at are */
} Scans;

/* ---- the scans ---- */

static bool
open_scans(Scans *s, PcapiWalk *walk)
{
	Form_pg_index index;

	memset(s, 0, sizeof(Scans));
	s->walk = walk;

	/*
	 * The scans use the transaction's first snapshot, and the destinations
	 * are read with a later one.  So an event that was tracked after a change
	 * of their settings is not seen before the change.
	 */
	if (!pcapi_index_scan_open(&s->events, PCAPI_TABLE_EVENT, &pcapi_event_key, 2))
		return false;
	if (!pcapi_index_scan_open(&s->outcomes.scan, PCAPI_TABLE_OUTCOME, &pcapi_outcome_key, 1))
	{
		pcapi_index_scan_close(&s->events);
		return false;
	}
	if (!pcapi_index_scan_open(&s->retries.scan, PCAPI_TABLE_RETRY, &pcapi_retry_key, 2))
	{
		pcapi_index_scan_close(&s->outcomes.scan);
		pcapi_index_scan_close(&s->events);
		return false;
	}
	s->events.scan->xs_want_itup = s->outcomes.scan.scan->xs_want_itup = s->retries.scan.scan->xs_want_itup = true;
	s->outcomes.column = 1;
	s->retries.column = 2;
	index = s->events.index->rd_index;
	if (index->indnatts >= 2 && index->indkey.values[1] == PCAPI_EVENT_DEST)
		s->dest_column = 2;
	return true;
}

static void
close_scans(Scans *s)
{
	pcapi_index_scan_close(&s->retries.scan);
	pcapi_index_scan_close(&s->outcomes.scan);
	pcapi_index_scan_close(&s->events);
}

/* Begin the walk. */
static void
begin_range(Scans *s)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(s->walk->after));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(s->walk->upto));
	index_rescan(s->events.scan, keys, 2, NULL, 0);
	s->walk->read_to = s->id = s->walk->after;
	s->walk->ended = false;
	s->passed = true;
	s->invisible = false;
	s->outcomes.begun = s->outcomes.ended = s->retries.begun = s->retries.ended = false;
}

/* Move a scan beside the walk to its next entry. */
static void
step(Side *side)
{
	bool		isnull;

	side->ended = !pcapi_index_scan_next_entry(&side->scan);
	if (!side->ended)
		side->id = DatumGetInt64(pcapi_index_scan_entry(&side->scan, side->column, &isnull));
}

/* Return whether a scan beside the walk has a row of this id, which is no lower than those asked for before. */
static bool
has_row(Side *side, int dest, int64 id)
{
	for (int steps = 0; side->begun && !side->ended && side->id < id && steps < STEPS_MAX; steps++)
		step(side);
	if (!side->begun || (!side->ended && side->id < id))
	{
		ScanKeyData keys[2];
		int			n = 0;

		if (side->column == 2)
			ScanKeyInit(&keys[n++], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(dest));
		ScanKeyInit(&keys[n++], side->column, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(id));
		index_rescan(side->scan.scan, keys, n, NULL, 0);
		side->begun = true;
		step(side);
	}
	for (; !side->ended && side->id == id; step(side))
		if (pcapi_index_scan_fetch(&side->scan))
			return true;
	return false;
}

/* ---- the walk ---- */

/* Note ids that can't be read yet. */
static void
note_unread(const PcapiWalk *walk, int64 low, int64 high)
{
	low = Max(low, walk->unread_above + 1);
	if (walk->unread && low <= high)
		pcapi_ranges_add(walk->unread, low, high);
}

/* Move on to the next entry of _event.  False: there is none. */
static bool
next_entry(Scans *s)
{
	bool		isnull;
	int64		before = s->id;

	CHECK_FOR_INTERRUPTS();
	if (!pcapi_index_scan_next_entry(&s->events))
	{
		if (s->invisible)
			note_unread(s->walk, before, before);
		s->invisible = false;
		if (s->walk->upto != PCAPI_LAST_ID)
		{
			note_unread(s->walk, before + 1, s->walk->upto);
			s->walk->read_to = s->walk->upto;
		}
		s->walk->ended = true;
		return false;
	}
	s->id = DatumGetInt64(pcapi_index_scan_entry(&s->events, 1, &isnull));
	if (s->id != before)
	{
		if (s->invisible)
			note_unread(s->walk, before, before);
		note_unread(s->walk, before + 1, s->id - 1);
		s->invisible = s->passed = false;
		s->walk->read_to = s->id;
	}
	return true;
}

/*
 * Move on to the next fresh event of the destination.  look: at its row, which is visible
 * then; else it may not be.  False: there is none.  An id may have several entries: of
 * versions of its row.
 */
static bool
next_event(Scans *s, bool look)
{
	PcapiWalk  *walk = s->walk;
	bool		isnull;

	while (next_entry(s))
	{
		if (s->passed)
			continue;
		if (s->dest_column != 0 &&
			DatumGetInt32(pcapi_index_scan_entry(&s->events, s->dest_column, &isnull)) != walk->dest)
			continue;
		if (walk->budget->skip(walk->budget->arg, s->id) ||
			has_row(&s->outcomes, walk->dest, s->id) ||
			has_row(&s->retries, walk->dest, s->id))
		{
			s->passed = true;
			continue;
		}
		if (look && !pcapi_index_scan_fetch(&s->events))
		{
			s->invisible = true;
			continue;
		}
		s->invisible = false;
		s->passed = true;
		if (!look || s->dest_column != 0 ||
			DatumGetInt32(slot_getattr(s->events.slot, PCAPI_EVENT_DEST, &isnull)) == walk->dest)
			return true;
	}
	return false;
}

/* Fill in an event from its row. */
static void
read_event(PcapiQueuedEvent *e, int dest, TupleTableSlot *slot, PcapiPayloadBudget *budget)
{
	bool		isnull;
	Datum		d;

	memset(e, 0, sizeof(PcapiQueuedEvent));
	e->id = DatumGetInt64(slot_getattr(slot, PCAPI_EVENT_ID, &isnull));
	e->tid = slot->tts_tid;
	e->xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
	e->created_at = e->waits_since = DatumGetTimestampTz(slot_getattr(slot, PCAPI_EVENT_CREATED_AT, &isnull));
	e->event_time = DatumGetTimestampTz(slot_getattr(slot, PCAPI_EVENT_EVENT_TIME, &isnull));
	pcapi_counted_read(&e->counted, dest, slot);
	d = slot_getattr(slot, PCAPI_EVENT_PAYLOAD, &isnull);
	pcapi_read_payload(budget, e, d, isnull);
}

int
pcapi_dequeue_new(PcapiWalk *walk, int limit, PcapiQueuedEvent **events)
{
	Scans		s;
	int			n = 0;

	if (!open_scans(&s, walk))
		return pcapi_dequeue_new_by_sql(walk, limit, events);
	*events = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(PcapiQueuedEvent) * Max(limit, 1));
	begin_range(&s);
	while (n < limit && !walk->budget->full && next_event(&s, true))
		read_event(&(*events)[n++], walk->dest, s.events.slot, walk->budget);
	close_scans(&s);
	return n;
}

/* Return whether a range has an event that skip() doesn't know, by a statement. */
static bool
has_event_by_sql(PcapiWalk *walk)
{
	int64	   *ids = palloc(sizeof(int64) * (walk->held + 1));
	int			n = pcapi_new_ids_by_sql(walk, walk->held + 1, ids);
	bool		found = false;

	for (int i = 0; i < n && !found; i++)
		found = !walk->budget->skip(walk->budget->arg, ids[i]);
	pfree(ids);
	return found;
}

/* Nothing is noted: what is unread in a range is in it already. */
void
pcapi_find_in_ranges(PcapiWalk *walk, PcapiIdRanges *ranges, PcapiIdRanges *found)
{
	Scans		s;
	int			kept = 0;

	bool		by_sql = !open_scans(&s, walk);

	for (int i = 0; i < ranges->n; i++)
	{
		PcapiIdRange range = ranges->ranges[i];

		walk->after = range.low - 1;
		walk->upto = range.high;
		if (!by_sql)
			begin_range(&s);
		if (by_sql ? has_event_by_sql(walk) : next_event(&s, true))
			pcapi_ranges_add(found, range.low, range.high);
		else
			ranges->ranges[kept++] = range;
	}
	ranges->n = kept;
	if (!by_sql)
		close_scans(&s);
}

int
pcapi_new_ids(PcapiWalk *walk, int limit, int64 *ids)
{
	Scans		s;
	int			n = 0;

	if (!open_scans(&s, walk))
		return pcapi_new_ids_by_sql(walk, limit, ids);
	begin_range(&s);
	while (n < limit && next_event(&s, false))
		if (n == 0 || ids[n - 1] != s.id)
			ids[n++] = s.id;
	close_scans(&s);
	return n;
}
