/*
 * rescan.c
 *	  Find fresh events that were committed behind the cursor.
 *
 * Transactions draw ids in one order and commit in another, so the cursor can
 * pass an id before its row is visible.  The walk notes such ids
 * (queue/dequeue_new.c), and a poll looks at those again, since the commit of one of
 * them may be what woke the worker.  So it costs nothing that a transaction which
 * may still commit has been open while many events were sent.  The marks of
 * PcapiQueueCursor (sender.h) tell when nothing more can come.
 *
 * Left to others: reading the events (batch_fill.c), and the read of all that
 * may be fresh once a minute that relies on no note (fill_new there).
 */
#include "pinterest_capi.h"

#include "access/transam.h"
#include "queue/dequeue.h"
#include "queue/dequeue_new.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/rescan.h"
#include "worker/sender.h"

/* Interval of rescans without a wake-up. */
#define RESCAN_INTERVAL		(200 * USECS_PER_SEC / 1000)

static void find_late(PcapiSender *sender);
static void advance_low_water(PcapiSender *sender, TransactionId xmin);
static void set_mark(PcapiQueueCursor *cursor);

/*
 * Each poll rescans, but for no more than one twentieth of the time.  The rows
 * are read by the snapshot whose xmin counts.
 */
void
pcapi_sender_rescan(PcapiSender *sender)
{
	PcapiQueueCursor *cursor = &sender->cursor;
	TimestampTz now = GetCurrentTimestamp();

	if (cursor->high_water <= cursor->low_water)
	{
		cursor->rescan_at = now + RESCAN_INTERVAL;
		return;
	}
	if (now < cursor->no_rescan_before)
		return;
	find_late(sender);
	advance_low_water(sender, GetActiveSnapshot()->xmin);
	set_mark(cursor);
	cursor->no_rescan_before = now + 20 * (GetCurrentTimestamp() - now);
	cursor->rescan_at = Max(now + RESCAN_INTERVAL, cursor->no_rescan_before);
}

/* Move the ranges of unread ids of which some are visible now to those that are read next. */
static void
find_late(PcapiSender *sender)
{
	PcapiPayloadBudget budget = {.skip = pcapi_sender_holds, .arg = sender};
	PcapiWalk	walk = {.dest = sender->config.dest, .budget = &budget};

	if (sender->unread.n > 0)
		pcapi_find_in_ranges(&walk, &sender->unread, &sender->late);
}

/*
 * All transactions that could commit a row below the mark have ended: the mark
 * becomes low_water.  What is late stays above it until a batch holds it.
 */
static void
advance_low_water(PcapiSender *sender, TransactionId xmin)
{
	PcapiQueueCursor *cursor = &sender->cursor;

	if (!TransactionIdIsValid(cursor->mark_xid) ||
		!TransactionIdPrecedesOrEquals(cursor->mark_xid, xmin))
		return;
	pcapi_ranges_remove_upto(&sender->unread, cursor->mark);
	if (sender->late.n > 0 && sender->late.ranges[0].low <= cursor->mark)
	{
		cursor->low_water = Max(cursor->low_water, sender->late.ranges[0].low - 1);
		return;
	}
	cursor->low_water = cursor->mark;
	cursor->mark_xid = InvalidTransactionId;
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
