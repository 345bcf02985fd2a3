/*
 * rescan.c
 *	  Find new events that were committed behind the cursor.
 *
 * Transactions draw ids in one order and commit in another, so the cursor can
 * pass an id before its row is visible.  A poll reads the ids between low_water
 * and the cursor again, since the commit of one of them may be what woke the
 * worker.  The marks of PcapiQueueCursor (sender.h) keep that range short.
 *
 * Left to others: reading the events (batch_fill.c), and the read of the whole
 * queue once a minute that relies on no mark (fill_new there).
 */
#include "pinterest_capi.h"

#include "access/transam.h"
#include "queue/dequeue.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/rescan.h"
#include "worker/sender.h"

/* Interval of rescans without a wake-up. */
#define RESCAN_INTERVAL		(200 * USECS_PER_SEC / 1000)

static bool find_behind_cursor(PcapiSender *sender);
static void advance_low_water(PcapiQueueCursor *cursor, TransactionId xmin);
static void set_mark(PcapiQueueCursor *cursor);

/*
 * Each poll rescans, but for no more than one twentieth of the time.  The
 * snapshot's xmin is read before the rows are, so that the rows are at least
 * as new.
 */
void
pcapi_sender_rescan(PcapiSender *sender)
{
	PcapiQueueCursor *cursor = &sender->cursor;
	TimestampTz now = GetCurrentTimestamp();
	TransactionId xmin;

	if (cursor->high_water <= cursor->low_water)
	{
		cursor->rescan_at = now + RESCAN_INTERVAL;
		return;
	}
	if (now < cursor->no_rescan_before)
		return;
	xmin = GetTransactionSnapshot()->xmin;
	if (!find_behind_cursor(sender))
		advance_low_water(cursor, xmin);
	set_mark(cursor);
	cursor->no_rescan_before = now + 20 * (GetCurrentTimestamp() - now);
	cursor->rescan_at = Max(now + RESCAN_INTERVAL, cursor->no_rescan_before);
}

/* Set the cursor back to the first event behind it that no batch holds; return whether there is one. */
static bool
find_behind_cursor(PcapiSender *sender)
{
	PcapiQueueCursor *cursor = &sender->cursor;
	int64	   *ids;
	int			n = pcapi_queued_between(sender->config.dest, cursor->low_water,
										 Min(cursor->high_water, cursor->position), &ids);
	bool		found = false;

	for (int i = 0; i < n && !found; i++)
	{
		if (pcapi_sender_holds(sender, ids[i]))
			continue;
		found = true;
		cursor->position = Min(cursor->position, ids[i] - 1);
	}
	pfree(ids);
	return found;
}

/* All transactions that could commit a row below the mark have ended: the mark becomes low_water. */
static void
advance_low_water(PcapiQueueCursor *cursor, TransactionId xmin)
{
	if (TransactionIdIsValid(cursor->mark_xid) &&
		TransactionIdPrecedesOrEquals(cursor->mark_xid, xmin))
	{
		cursor->low_water = cursor->mark;
		cursor->mark_xid = InvalidTransactionId;
	}
}

/* Where there is no mark, set one at the highest id read, with the next transaction id. */
static void
set_mark(PcapiQueueCursor *cursor)
{
	if (!TransactionIdIsValid(cursor->mark_xid) && cursor->high_water > cursor->low_water)
	{
		cursor->mark = cursor->high_water;
		cursor->mark_xid = XidFromFullTransactionId(ReadNextFullTransactionId());
	}
}
