/*
 * batch_fill.c
 *	  Fill a batch: which events of a destination are sent next.
 *
 * Parts of refused batches come first, then retries that are due, then new
 * events in the order of their ids.  After an error in that, events are read
 * one by one.  An event that is too old, or has no payload that can be sent, is
 * settled here and joins no request.  What joins the batch gets a lease, in the
 * same transaction.
 *
 * Left to others: the statements (src/queue/dequeue.c, dequeue_new.c), events
 * that are committed behind the cursor (rescan.c), when a batch is wanted
 * (dispatch.c).
 */
#include "pinterest_capi.h"

#include <limits.h>

#include "common/encoding.h"
#include "core/rate_limiter.h"
#include "queue/dequeue.h"
#include "queue/dequeue_new.h"
#include "queue/dequeue_singly.h"
#include "queue/erase.h"
#include "queue/lease.h"
#include "queue/outcome.h"
#include "queue/payload.h"
#include "queue/settle.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/batch.h"
#include "worker/batch_fill.h"
#include "worker/sender.h"

/* Pinterest accepts no more events in a request with ?test=true. */
#define TEST_MODE_BATCH		20

/* Delays of an event whose payload cannot be read. */
#define PUT_OFF_MIN_MS		1000
#define PUT_OFF_MAX_MS		(15 * 60 * 1000)

/* Interval of reads of the whole queue. */
#define FULL_RESCAN_INTERVAL	(60 * USECS_PER_SEC)

typedef struct BatchFill
{
	PcapiSender *sender;
	PcapiBatch *batch;
	PcapiBatch *part;			/* of a refused batch, to be sent now; or NULL */
	int			n_held;			/* events in other batches: a read may return so many of them */
	int			max_events;
	bool		full;			/* it has reached max_events or PCAPI_MAX_BODY */
	TimestampTz now;
	PcapiPayloadBudget budget;

	PcapiEventOutcome *dropped; /* events that join no request, or not now */
	int			n_dropped;
	int			dropped_room;

	int			n_put_off;		/* events that are put off for the first time */
	PcapiEventOutcome first_put_off;
} BatchFill;

static PcapiBatch *find_split(PcapiSender *sender);
static void fill_from_split(BatchFill *fill);
static void fill_due(BatchFill *fill);
static int	walk(BatchFill *fill, PcapiWalk *w, int64 after, int64 upto, PcapiQueuedEvent **events);
static void fill_late(BatchFill *fill);
static void fill_new(BatchFill *fill);
static void fill_singly(BatchFill *fill);
static int	max_batch_for_attempts(const PcapiSender *sender, int attempts);
static bool add_event(BatchFill *fill, PcapiQueuedEvent *event);
static PcapiEventOutcome *drop_event(BatchFill *fill, const PcapiQueuedEvent *event, PcapiOutcome outcome,
									 const char *reason);
static void put_off_event(BatchFill *fill, const PcapiQueuedEvent *event);
static void log_put_off(const BatchFill *fill);
static void settle_dropped(BatchFill *fill);
static void claim(BatchFill *fill);

bool
pcapi_sender_fill_batch(PcapiSender *sender)
{
	MemoryContext scratch = AllocSetContextCreate(CurTransactionContext, "pinterest_capi batch fill",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	BatchFill	fill = {.sender = sender, .now = GetCurrentTimestamp()};
	bool		found;

	fill.budget.skip = pcapi_sender_holds;
	fill.budget.arg = sender;
	fill.budget.room = PCAPI_MAX_BODY;
	fill.n_held = pcapi_sender_count_held(sender);
	fill.max_events = Min(sender->config.batch_size, sender->config.test_mode ? TEST_MODE_BATCH : INT_MAX);
	fill.part = find_split(sender);
	fill.batch = pcapi_batch_create(sender, fill.max_events);
	/* TAKEN holds its events no longer, so each way below can read them. */
	if (fill.part)
		fill.part->state = PCAPI_BATCH_TAKEN;

	if (sender->poll_failures > 0)
		fill_singly(&fill);
	else if (fill.part)
		fill_from_split(&fill);
	else
	{
		fill_due(&fill);
		if (!fill.full)
			fill_late(&fill);
		if (!fill.full)
			fill_new(&fill);
	}
	pcapi_batch_seal(fill.batch);

	log_put_off(&fill);
	settle_dropped(&fill);
	/* the snapshot by which singly read events are found doesn't show that they were dropped */
	found = fill.batch->n > 0 || fill.part != NULL || (fill.n_dropped > 0 && sender->poll_failures == 0);
	if (fill.batch->n > 0)
		claim(&fill);
	else
		pcapi_batch_free(fill.batch);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return found;
}

/* ---- which events are read ---- */

/* Return the oldest part of a refused batch, or NULL. */
static PcapiBatch *
find_split(PcapiSender *sender)
{
	pcapi_foreach_batch(sender, batch)
	{
		if (batch->state == PCAPI_BATCH_SPLIT)
			return batch;
	}
	return NULL;
}

/*
 * Read the events of a part of a refused batch.  Where batch_size has become
 * smaller since, those that find no room are requeued.
 */
static void
fill_from_split(BatchFill *fill)
{
	PcapiQueuedEvent *events;
	int			n;

	fill->batch->refused_since = fill->part->refused_since;
	n = pcapi_dequeue_ids(fill->sender->config.dest, fill->part->ids, fill->part->n, &fill->budget, &events);
	pcapi_erase_claimed(events, &n);
	for (int i = 0; i < n; i++)
		if (!add_event(fill, &events[i]))
			pcapi_sender_requeue(fill->sender, events[i].id);
}

/* Read the events whose retry is due. */
static void
fill_due(BatchFill *fill)
{
	PcapiQueuedEvent *events;
	int			n = pcapi_dequeue_due(fill->sender->config.dest, fill->max_events + fill->n_held, &fill->budget, &events);

	pcapi_erase_claimed(events, &n);
	for (int i = 0; i < n; i++)
	{
		if (pcapi_sender_holds(fill->sender, events[i].id))
			continue;
		fill->max_events = Min(fill->max_events, max_batch_for_attempts(fill->sender, events[i].attempts));
		if (!add_event(fill, &events[i]))
			break;
	}
}

/*
 * Return the maximum batch size for an event with this many failed attempts.
 * The API may answer each batch with one particular event with a 500.  Smaller
 * batches part that event from its neighbours long before retry_for is over,
 * as splitting does at once after a 400.
 */
static int
max_batch_for_attempts(const PcapiSender *sender, int attempts)
{
	return Max(1, sender->config.batch_size >> Min(Max(attempts - 2, 0), 10));
}

/* Walk from an id to another, and read at most so many events. */
static int
walk(BatchFill *fill, PcapiWalk *w, int64 after, int64 upto, PcapiQueuedEvent **events)
{
	PcapiSender *sender = fill->sender;
	int			n;

	memset(w, 0, sizeof(PcapiWalk));
	w->dest = sender->config.dest;
	w->after = after;
	w->upto = upto;
	w->budget = &fill->budget;
	w->held = fill->n_held;
	w->unread = &sender->unread;
	w->unread_above = sender->cursor.low_water;
	n = pcapi_dequeue_new(w, fill->max_events - fill->batch->n, events);
	sender->cursor.high_water = Max(sender->cursor.high_water, w->read_to);
	pcapi_erase_claimed(*events, &n);
	return n;
}

/* Read the fresh events that were committed behind the cursor, or that a batch has given up. */
static void
fill_late(BatchFill *fill)
{
	PcapiIdRanges *late = &fill->sender->late;

	while (late->n > 0 && !fill->full)
	{
		PcapiIdRange range = late->ranges[0];
		PcapiQueuedEvent *events;
		PcapiWalk	w;
		int			n = walk(fill, &w, range.low - 1, range.high, &events);

		for (int i = 0; i < n; i++)
		{
			if (!pcapi_sender_holds(fill->sender, events[i].id) && !add_event(fill, &events[i]))
				return;
			pcapi_ranges_remove_upto(late, events[i].id);
		}
		if (w.ended)
			pcapi_ranges_remove_upto(late, range.high);
		else
			fill->full = true;
	}
}

/*
 * Read fresh events from the cursor on.  Once a minute, or less often where that
 * takes more than 1 % of the time, from the first that may be fresh: rows that
 * were put into the log by hand may have any id.
 */
static void
fill_new(BatchFill *fill)
{
	PcapiQueueCursor *cursor = &fill->sender->cursor;
	PcapiQueuedEvent *events;
	PcapiWalk	w;
	int			n;
	TimestampTz now = GetCurrentTimestamp();
	bool		full_rescan = now >= cursor->full_rescan_at;

	if (full_rescan)
		cursor->position = pcapi_sender_done_below(fill->sender, NULL);
	n = walk(fill, &w, cursor->position, PCAPI_LAST_ID, &events);
	if (full_rescan)
		cursor->full_rescan_at = now + Max(FULL_RESCAN_INTERVAL, 100 * (GetCurrentTimestamp() - now));
	for (int i = 0; i < n; i++)
	{
		if (!pcapi_sender_holds(fill->sender, events[i].id) && !add_event(fill, &events[i]))
			return;
		cursor->position = events[i].id;
	}
	if (w.ended)
		cursor->position = Max(cursor->position, w.read_to);
	else
		fill->full = true;
}

/*
 * After an error: read the events one by one, from the first, since any of them
 * may have raised it.  An event that raises one again comes with a problem, and
 * is put off.  The next poll reads new events from the first one too, so that
 * none is passed over.
 */
static void
fill_singly(BatchFill *fill)
{
	PcapiQueuedEvent *events;
	int			limit = fill->max_events + fill->n_held;
	int			n = pcapi_dequeue_singly(fill->sender->config.dest, pcapi_sender_done_below(fill->sender, NULL),
										 limit, &fill->budget, &events);

	for (int i = 0; i < n; i++)
		if (!pcapi_sender_holds(fill->sender, events[i].id) && !add_event(fill, &events[i]))
			return;
	fill->full = (n == limit);
	fill->sender->cursor.full_rescan_at = 0;
}

/* ---- what becomes of an event ---- */

/* Add an event to the batch, or drop it.  Return false where the batch has no room for it. */
static bool
add_event(BatchFill *fill, PcapiQueuedEvent *event)
{
	size_t		len = event->payload_len;
	char	   *payload = event->payload;

	if (fill->batch->n >= fill->max_events || event->unread)
	{
		fill->full = true;
		return false;
	}
	if (fill->now - event->event_time > fill->sender->config.max_event_age)
		drop_event(fill, event, PCAPI_EXPIRED, "older than max_event_age");
	else if (event->problem)
		put_off_event(fill, event);
	else if (payload == NULL)
		drop_event(fill, event, PCAPI_FAILED, "payload is gone");
	else if (len < 2 || payload[0] != '{' || payload[len - 1] != '}')
		drop_event(fill, event, PCAPI_FAILED, "payload is no JSON object");
	else
	{
		payload = pcapi_to_utf8(payload, len, &len);
		if (payload == NULL)
			drop_event(fill, event, PCAPI_FAILED, "payload has no equivalent in UTF-8");
		else if (!pcapi_batch_add(fill->batch, event, payload, (int) len))
		{
			fill->full = true;
			return false;
		}
	}
	return true;
}

/* Note an outcome for an event that joins no request. */
static PcapiEventOutcome *
drop_event(BatchFill *fill, const PcapiQueuedEvent *event, PcapiOutcome outcome, const char *reason)
{
	PcapiEventOutcome *dropped;

	if (fill->n_dropped == fill->dropped_room)
	{
		fill->dropped_room = Max(64, fill->dropped_room * 2);
		fill->dropped = fill->dropped ? repalloc(fill->dropped, sizeof(PcapiEventOutcome) * fill->dropped_room) :
			palloc(sizeof(PcapiEventOutcome) * fill->dropped_room);
	}
	dropped = &fill->dropped[fill->n_dropped++];
	memset(dropped, 0, sizeof(PcapiEventOutcome));
	dropped->id = event->id;
	dropped->created_at = event->created_at;
	dropped->outcome = outcome;
	dropped->reason = reason;
	return dropped;
}

/*
 * Put off an event whose payload cannot be read (a damaged page, a disk's
 * error), twice as long each time.  It may be readable again once somebody has
 * repaired that, so it fails only when retry_for is over.  It counts no attempt.
 */
static void
put_off_event(BatchFill *fill, const PcapiQueuedEvent *event)
{
	TimestampTz tried_for = event->first_attempt_at ? Max(fill->now - event->first_attempt_at, 0) : 0;
	bool		over = tried_for >= fill->sender->config.retry_for;
	PcapiEventOutcome *dropped = drop_event(fill, event, over ? PCAPI_FAILED : PCAPI_RETRY,
											over ? PCAPI_UNREADABLE : NULL);

	dropped->error = psprintf(PCAPI_UNREADABLE ": %s", event->problem);
	dropped->delay_ms = Min(Max(tried_for / 1000, PUT_OFF_MIN_MS), PUT_OFF_MAX_MS);
	if (event->first_attempt_at == 0 && fill->n_put_off++ == 0)
		fill->first_put_off = *dropped;
}

/* Log one line for all events that are put off for the first time: a damaged page has many. */
static void
log_put_off(const BatchFill *fill)
{
	if (fill->n_put_off > 0)
		ereport(LOG,
				(errmsg_plural("%d event for destination \"%s\" is put off: id " INT64_FORMAT ": %s",
							   "%d events for destination \"%s\" are put off, first of them id " INT64_FORMAT ": %s",
							   fill->n_put_off, fill->n_put_off, fill->sender->config.name,
							   fill->first_put_off.id, fill->first_put_off.error),
				 errdetail("The others are sent. It is tried again, for as long as the destination's retry_for."),
				 errhint("pinterest_capi.doctor() names what waits.")));
}

/* ---- the end ---- */

/* Settle the dropped events.  Those that could not be settled are read again. */
static void
settle_dropped(BatchFill *fill)
{
	PcapiWritten *written = palloc(sizeof(PcapiWritten) * Max(fill->n_dropped, 1));
	int			n = fill->n_dropped;
	char	   *problem;

	if (n == 0)
		return;
	fill->n_dropped -= pcapi_settle(fill->sender->config.dest, 0, fill->now, fill->dropped, n, written, &problem);
	for (int i = 0; i < n; i++)
		if (written[i] == PCAPI_LEFT)
			pcapi_sender_requeue(fill->sender, fill->dropped[i].id);
}

/* Write the batch's lease, and count its request. */
static void
claim(BatchFill *fill)
{
	PcapiSender *sender = fill->sender;

	fill->batch->lease = pcapi_lease(sender->config.dest, fill->batch->ids, fill->batch->n);
	pcapi_limiter_take(&sender->limiter, pcapi_clock_ms());
	sender->last_batch_full = fill->full || fill->part != NULL;
	sender->last_start = GetCurrentTimestamp();
}
