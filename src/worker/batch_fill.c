/*
 * batch_fill.c
 *	  Fill a batch: which events of a destination are sent next.
 *
 * Halves of refused batches come first, then retries that are due, then new events
 * in the order of their ids.
 */
#include "pinterest_capi.h"

#include <limits.h>

#include "access/transam.h"
#include "common/encoding.h"
#include "core/rate_limiter.h"
#include "queue/dequeue.h"
#include "queue/dequeue_new.h"
#include "queue/erase.h"
#include "queue/lease.h"
#include "queue/outcome.h"
#include "queue/payload.h"
#include "queue/settle.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/batch.h"
#include "worker/batch_fill.h"
#include "worker/sender.h"
#include "worker/sending.h"

/* Pinterest takes no more of a request in test mode */
#define TEST_MODE_BATCH		20

/* what cannot be read */
#define PUT_OFF_MIN_MS		1000
#define PUT_OFF_MAX_MS		(15 * 60 * 1000)

#define RESCAN_EVERY		(200 * USECS_PER_SEC / 1000)
#define FULL_RESCAN_EVERY	(60 * USECS_PER_SEC)

static bool
is_held(void *arg, int64 id)
{
	PcapiSender *sender = arg;
	dlist_iter	it;

	dlist_foreach(it, &sender->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (!batch->verify && batch->state != PCAPI_BATCH_TAKEN && pcapi_batch_holds(batch, id))
			return true;
	}
	return false;
}

static int
count_held(PcapiSender *sender)
{
	int			n = 0;
	dlist_iter	it;

	dlist_foreach(it, &sender->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (!batch->verify)
			n += batch->n;
	}
	return n;
}

typedef struct BatchFill
{
	PcapiSender *sender;
	PcapiBatch *batch;
	int			want;
	TimestampTz now;
	bool		full;			/* by number or by size */
	PcapiEventOutcome *dropped; /* what is not worth a request, or not now */
	int			n_dropped;
	int			room;
	int			n_put_off;		/* for the first time */
	PcapiEventOutcome first_put_off;
	PcapiPayloadBudget reader;
}			BatchFill;

static PcapiEventOutcome *
drop(BatchFill * t, const PcapiQueuedEvent *event, PcapiOutcome outcome, const char *reason)
{
	PcapiEventOutcome *s;

	if (t->n_dropped == t->room)
	{
		t->room = Max(64, t->room * 2);
		t->dropped = t->dropped ? repalloc(t->dropped, sizeof(PcapiEventOutcome) * t->room) :
			palloc(sizeof(PcapiEventOutcome) * t->room);
	}
	s = &t->dropped[t->n_dropped++];
	memset(s, 0, sizeof(PcapiEventOutcome));
	s->id = event->id;
	s->created_at = event->created_at;
	s->outcome = outcome;
	s->reason = reason;
	return s;
}

/*
 * A payload that cannot be read (a damaged page, a disk's error) may be there
 * again once somebody has acted: the event is put off, twice as long each time,
 * and fails when retry_for is over.  It counts no attempt.
 */
static void
put_off(BatchFill * t, const PcapiQueuedEvent *event)
{
	TimestampTz tried_for = event->first_attempt_at ? Max(t->now - event->first_attempt_at, 0) : 0;
	bool		over = tried_for >= t->sender->config.retry_for;
	PcapiEventOutcome *s = drop(t, event, over ? PCAPI_FAILED : PCAPI_RETRY, over ? PCAPI_UNREADABLE : NULL);

	s->error = psprintf(PCAPI_UNREADABLE ": %s", event->problem);
	s->delay_ms = Min(Max(tried_for / 1000, PUT_OFF_MIN_MS), PUT_OFF_MAX_MS);
	if (event->first_attempt_at == 0 && t->n_put_off++ == 0)
		t->first_put_off = *s;
}

/* One line for all of a damaged page. */
static void
log_put_off(const BatchFill * t)
{
	if (t->n_put_off > 0)
		ereport(LOG,
				(errmsg_plural("%d event for destination \"%s\" is put off: id " INT64_FORMAT ": %s",
							   "%d events for destination \"%s\" are put off, first of them id " INT64_FORMAT ": %s",
							   t->n_put_off, t->n_put_off, t->sender->config.name, t->first_put_off.id, t->first_put_off.error),
				 errdetail("The others are sent. It is tried again, for as long as the destination's retry_for."),
				 errhint("pinterest_capi.doctor() names what waits.")));
}

/* False when the batch has no room for it. */
static bool
add_event(BatchFill * t, PcapiQueuedEvent *event)
{
	size_t		len = event->payload_len;
	char	   *payload = event->payload;

	if (t->batch->n >= t->want || event->unread)
	{
		t->full = true;
		return false;
	}
	if (t->now - event->event_time > t->sender->config.max_event_age)
		drop(t, event, PCAPI_EXPIRED, "older than max_event_age");
	else if (event->problem)
		put_off(t, event);
	else if (payload == NULL)
		drop(t, event, PCAPI_FAILED, "payload is gone");
	else if (len < 2 || payload[0] != '{' || payload[len - 1] != '}')
		drop(t, event, PCAPI_FAILED, "payload is no JSON object");
	else
	{
		payload = pcapi_to_utf8(payload, len, &len);
		if (payload == NULL)
			drop(t, event, PCAPI_FAILED, "payload has no equivalent in UTF-8");
		else if (!pcapi_batch_add(t->batch, event, payload, (int) len))
		{
			t->full = true;
			return false;
		}
	}
	return true;
}

static void
fill_from_split(BatchFill * t, PcapiBatch *half)
{
	PcapiQueuedEvent *events;
	int			n;

	half->state = PCAPI_BATCH_TAKEN;	/* so that it holds its events no longer */
	t->batch->refused_since = half->refused_since;
	n = pcapi_dequeue_ids(t->sender->config.dest, half->ids, half->n, &t->reader, &events);
	pcapi_erase_claimed(events, &n);

	/* a smaller batch_size since: the rest comes by the ordinary way */
	for (int i = 0; i < n; i++)
		if (!add_event(t, &events[i]))
			pcapi_sender_requeue(t->sender, events[i].id);
}

/*
 * With how many others an event may leave that has failed so often.  Should it
 * be one that the API answers with a 500 each time, its neighbours get rid of it
 * long before retry_for is over, as those of one that is refused do at once.
 */
static int
max_batch_for_attempts(PcapiSender *sender, int attempts)
{
	return Max(1, sender->config.batch_size >> Min(Max(attempts - 2, 0), 10));
}

static void
fill_due(BatchFill * t, int n_held)
{
	PcapiQueuedEvent *events;
	int			n = pcapi_dequeue_due(t->sender->config.dest, t->want + n_held, &t->reader, &events);

	pcapi_erase_claimed(events, &n);
	for (int i = 0; i < n; i++)
	{
		if (is_held(t->sender, events[i].id))
			continue;
		t->want = Min(t->want, max_batch_for_attempts(t->sender, events[i].attempts));
		if (!add_event(t, &events[i]))
			break;
	}
}

static void
fill_new(BatchFill * t, int n_held)
{
	PcapiQueueCursor *scan = &t->sender->scan;
	PcapiQueuedEvent *events;
	int			want = t->want - t->batch->n;
	int			limit;
	int			n;
	bool		all;
	TimestampTz now = GetCurrentTimestamp();

	if (now >= scan->full_at)
	{
		scan->cursor = 0;
		scan->full_at = DT_NOEND;	/* until it is known how long it takes */
	}
	/* in front of the cursor nothing is held, so nothing is read in vain */
	limit = want + (scan->cursor < scan->high_water ? n_held : 0);
	n = pcapi_dequeue_new(t->sender->config.dest, scan->cursor, limit, &t->reader, &events);
	if (scan->full_at == DT_NOEND)
		scan->full_at = now + Max(FULL_RESCAN_EVERY, 100 * (GetCurrentTimestamp() - now));
	all = n < limit;
	pcapi_erase_claimed(events, &n);
	for (int i = 0; i < n; i++)
	{
		if (!is_held(t->sender, events[i].id) && !add_event(t, &events[i]))
			return;
		scan->cursor = events[i].id;
		scan->high_water = Max(scan->high_water, scan->cursor);
	}
	if (all)
		scan->cursor = Max(scan->cursor, scan->high_water);
	else
		t->full = true;
}

/* After an error: one by one, and from the first, since it may have been any. */
static void
fill_singly(BatchFill * t, int n_held)
{
	PcapiQueuedEvent *events;
	int			limit = t->want + n_held;
	int			n = pcapi_dequeue_singly(t->sender->config.dest, 0, limit, &t->reader, &events);

	for (int i = 0; i < n; i++)
		if (!is_held(t->sender, events[i].id) && !add_event(t, &events[i]))
			return;
	t->full = (n == limit);
	/* whatever was passed by is read again */
	t->sender->scan.full_at = 0;
}

bool
pcapi_sender_fill_batch(PcapiSender *sender)
{
	MemoryContext scratch = AllocSetContextCreate(CurTransactionContext, "pinterest_capi take",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	int			n_held = count_held(sender);
	BatchFill	t = {.sender = sender, .now = GetCurrentTimestamp(), .reader = {.skip = is_held, .arg = sender, .room = PCAPI_MAX_BODY}};
	PcapiBatch *half = NULL;
	dlist_iter	it;
	bool		took;

	dlist_foreach(it, &sender->batches)
	{
		half = dlist_container(PcapiBatch, node, it.cur);
		if (half->state == PCAPI_BATCH_SPLIT)
			break;
		half = NULL;
	}
	t.want = Min(sender->config.batch_size, sender->config.test_mode ? TEST_MODE_BATCH : INT_MAX);
	t.batch = pcapi_batch_create(sender, t.want);
	if (sender->poll_failures > 0)
	{
		if (half)
			half->state = PCAPI_BATCH_TAKEN;	/* so that its events are among them */
		fill_singly(&t, n_held);
	}
	else if (half)
		fill_from_split(&t, half);
	else
	{
		fill_due(&t, n_held);
		if (!t.full)
			fill_new(&t, n_held);
	}
	pcapi_batch_seal(t.batch);

	log_put_off(&t);

	/* what is left of these is found again by a later look */
	if (t.n_dropped > 0)
	{
		char	   *problem;

		t.n_dropped -= pcapi_settle(sender->config.dest, 0, t.now, t.dropped, t.n_dropped,
									palloc(sizeof(PcapiWritten) * t.n_dropped), &problem);
	}
	took = t.batch->n > 0 || t.n_dropped > 0 || half != NULL;
	if (t.batch->n > 0)
	{
		t.batch->lease = pcapi_lease(sender->config.dest, t.batch->ids, t.batch->n);
		pcapi_limiter_take(&sender->limiter, pcapi_clock_ms());
		sender->last_full = t.full || half != NULL;
		sender->last_start = GetCurrentTimestamp();
	}
	else
		pcapi_batch_free(t.batch);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return took;
}

/*
 * Ids that were committed behind the cursor: looked for at each look, whose
 * cause may be the commit of one of them, but for no more than one twentieth
 * of the time.  The snapshot's xmin is read before the rows are, so that they
 * are at least as new.
 */
void
pcapi_sender_rescan(PcapiSender *sender)
{
	PcapiQueueCursor *scan = &sender->scan;
	TimestampTz now = GetCurrentTimestamp();
	TransactionId xmin;
	int64	   *ids;
	int			n;
	bool		late = false;

	if (scan->high_water <= scan->low_water)
		scan->rescan_at = now + RESCAN_EVERY;
	if (scan->high_water <= scan->low_water || now < scan->no_rescan_before)
		return;
	xmin = GetTransactionSnapshot()->xmin;
	n = pcapi_queued_between(sender->config.dest, scan->low_water, Min(scan->high_water, scan->cursor), &ids);
	for (int i = 0; i < n && !late; i++)
	{
		if (is_held(sender, ids[i]))
			continue;
		late = true;
		scan->cursor = Min(scan->cursor, ids[i] - 1);
	}
	pfree(ids);
	if (!late && TransactionIdIsValid(scan->mark_xid) &&
		TransactionIdPrecedesOrEquals(scan->mark_xid, xmin))
	{
		scan->low_water = scan->mark;
		scan->mark_xid = InvalidTransactionId;
	}
	if (!TransactionIdIsValid(scan->mark_xid) && scan->high_water > scan->low_water)
	{
		scan->mark = scan->high_water;
		scan->mark_xid = XidFromFullTransactionId(ReadNextFullTransactionId());
	}
	scan->no_rescan_before = now + 20 * (GetCurrentTimestamp() - now);
	scan->rescan_at = Max(now + RESCAN_EVERY, scan->no_rescan_before);
}
