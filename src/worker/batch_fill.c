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
held(void *arg, int64 id)
{
	PcapiRoute *route = arg;
	dlist_iter	it;

	dlist_foreach(it, &route->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (!batch->verify && batch->state != PCAPI_B_TAKEN && pcapi_batch_holds(batch, id))
			return true;
	}
	return false;
}

static int
count_held(PcapiRoute *route)
{
	int			n = 0;
	dlist_iter	it;

	dlist_foreach(it, &route->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (!batch->verify)
			n += batch->n;
	}
	return n;
}

typedef struct Taking
{
	PcapiRoute *route;
	PcapiBatch *batch;
	int			want;
	TimestampTz now;
	bool		full;			/* by number or by size */
	PcapiSettled *dropped;		/* what is not worth a request, or not now */
	int			n_dropped;
	int			room;
	int			n_put_off;		/* for the first time */
	PcapiSettled first_put_off;
	PcapiReader reader;
} Taking;

static PcapiSettled *
drop(Taking *t, const PcapiClaimed *event, PcapiFate fate, const char *reason)
{
	PcapiSettled *s;

	if (t->n_dropped == t->room)
	{
		t->room = Max(64, t->room * 2);
		t->dropped = t->dropped ? repalloc(t->dropped, sizeof(PcapiSettled) * t->room) :
			palloc(sizeof(PcapiSettled) * t->room);
	}
	s = &t->dropped[t->n_dropped++];
	memset(s, 0, sizeof(PcapiSettled));
	s->id = event->id;
	s->created_at = event->created_at;
	s->fate = fate;
	s->reason = reason;
	return s;
}

/*
 * A payload that cannot be read (a damaged page, a disk's error) may be there
 * again once somebody has acted: the event is put off, twice as long each time,
 * and fails when retry_for is over.  It counts no attempt.
 */
static void
put_off(Taking *t, const PcapiClaimed *event)
{
	TimestampTz tried_for = event->first_attempt_at ? Max(t->now - event->first_attempt_at, 0) : 0;
	bool		over = tried_for >= t->route->target.retry_for;
	PcapiSettled *s = drop(t, event, over ? PCAPI_FAILED : PCAPI_RETRY, over ? PCAPI_UNREADABLE : NULL);

	s->error = psprintf(PCAPI_UNREADABLE ": %s", event->problem);
	s->delay_ms = Min(Max(tried_for / 1000, PUT_OFF_MIN_MS), PUT_OFF_MAX_MS);
	if (event->first_attempt_at == 0 && t->n_put_off++ == 0)
		t->first_put_off = *s;
}

/* One line for all of a damaged page. */
static void
log_put_off(const Taking *t)
{
	if (t->n_put_off > 0)
		ereport(LOG,
				(errmsg_plural("%d event for destination \"%s\" is put off: id " INT64_FORMAT ": %s",
							   "%d events for destination \"%s\" are put off, first of them id " INT64_FORMAT ": %s",
							   t->n_put_off, t->n_put_off, t->route->target.name, t->first_put_off.id, t->first_put_off.error),
				 errdetail("The others are sent. It is tried again, for as long as the destination's retry_for."),
				 errhint("pinterest_capi.doctor() names what waits.")));
}

/* False when the batch has no room for it. */
static bool
take_event(Taking *t, PcapiClaimed *event)
{
	size_t		len = event->payload_len;
	char	   *payload = event->payload;

	if (t->batch->n >= t->want || event->unread)
	{
		t->full = true;
		return false;
	}
	if (t->now - event->event_time > t->route->target.max_event_age)
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
take_half(Taking *t, PcapiBatch *half)
{
	PcapiClaimed *events;
	int			n;

	half->state = PCAPI_B_TAKEN;	/* so that it holds its events no longer */
	t->batch->refused_since = half->refused_since;
	n = pcapi_fetch_ids(t->route->target.dest, half->ids, half->n, &t->reader, &events);
	pcapi_erase_claimed(events, &n);

	/* a smaller batch_size since: the rest comes by the ordinary way */
	for (int i = 0; i < n; i++)
		if (!take_event(t, &events[i]))
			pcapi_route_release(t->route, events[i].id);
}

/*
 * With how many others an event may leave that has failed so often.  Should it
 * be one that the API answers with a 500 each time, its neighbours get rid of it
 * long before retry_for is over, as those of one that is refused do at once.
 */
static int
company(PcapiRoute *route, int attempts)
{
	return Max(1, route->target.batch_size >> Min(Max(attempts - 2, 0), 10));
}

static void
take_due(Taking *t, int n_held)
{
	PcapiClaimed *events;
	int			n = pcapi_fetch_due(t->route->target.dest, t->want + n_held, &t->reader, &events);

	pcapi_erase_claimed(events, &n);
	for (int i = 0; i < n; i++)
	{
		if (held(t->route, events[i].id))
			continue;
		t->want = Min(t->want, company(t->route, events[i].attempts));
		if (!take_event(t, &events[i]))
			break;
	}
}

static void
take_fresh(Taking *t, int n_held)
{
	PcapiScan  *scan = &t->route->scan;
	PcapiClaimed *events;
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
	limit = want + (scan->cursor < scan->high ? n_held : 0);
	n = pcapi_fetch_fresh(t->route->target.dest, scan->cursor, limit, &t->reader, &events);
	if (scan->full_at == DT_NOEND)
		scan->full_at = now + Max(FULL_RESCAN_EVERY, 100 * (GetCurrentTimestamp() - now));
	all = n < limit;
	pcapi_erase_claimed(events, &n);
	for (int i = 0; i < n; i++)
	{
		if (!held(t->route, events[i].id) && !take_event(t, &events[i]))
			return;
		scan->cursor = events[i].id;
		scan->high = Max(scan->high, scan->cursor);
	}
	if (all)
		scan->cursor = Max(scan->cursor, scan->high);
	else
		t->full = true;
}

/* After an error: one by one, and from the first, since it may have been any. */
static void
take_singly(Taking *t, int n_held)
{
	PcapiClaimed *events;
	int			limit = t->want + n_held;
	int			n = pcapi_fetch_singly(t->route->target.dest, 0, limit, &t->reader, &events);

	for (int i = 0; i < n; i++)
		if (!held(t->route, events[i].id) && !take_event(t, &events[i]))
			return;
	t->full = (n == limit);
	/* whatever was passed by is read again */
	t->route->scan.full_at = 0;
}

bool
pcapi_route_take(PcapiRoute *route)
{
	MemoryContext scratch = AllocSetContextCreate(CurTransactionContext, "pinterest_capi take",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	int			n_held = count_held(route);
	Taking		t = {.route = route, .now = GetCurrentTimestamp(), .reader = {.skip = held, .arg = route, .room = PCAPI_MAX_BODY}};
	PcapiBatch *half = NULL;
	dlist_iter	it;
	bool		took;

	dlist_foreach(it, &route->batches)
	{
		half = dlist_container(PcapiBatch, node, it.cur);
		if (half->state == PCAPI_B_HALF)
			break;
		half = NULL;
	}
	t.want = Min(route->target.batch_size, route->target.test_mode ? TEST_MODE_BATCH : INT_MAX);
	t.batch = pcapi_batch_create(route, t.want);
	if (route->look_failures > 0)
	{
		if (half)
			half->state = PCAPI_B_TAKEN;	/* so that its events are among them */
		take_singly(&t, n_held);
	}
	else if (half)
		take_half(&t, half);
	else
	{
		take_due(&t, n_held);
		if (!t.full)
			take_fresh(&t, n_held);
	}
	pcapi_batch_seal(t.batch);

	log_put_off(&t);

	/* what is left of these is found again by a later look */
	if (t.n_dropped > 0)
	{
		char	   *problem;

		t.n_dropped -= pcapi_settle(route->target.dest, 0, t.now, t.dropped, t.n_dropped,
									palloc(sizeof(PcapiWritten) * t.n_dropped), &problem);
	}
	took = t.batch->n > 0 || t.n_dropped > 0 || half != NULL;
	if (t.batch->n > 0)
	{
		t.batch->lease = pcapi_lease(route->target.dest, t.batch->ids, t.batch->n);
		pcapi_limiter_take(&route->limiter, pcapi_clock_ms());
		route->last_full = t.full || half != NULL;
		route->last_start = GetCurrentTimestamp();
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
pcapi_route_rescan(PcapiRoute *route)
{
	PcapiScan  *scan = &route->scan;
	TimestampTz now = GetCurrentTimestamp();
	TransactionId xmin;
	int64	   *ids;
	int			n;
	bool		late = false;

	if (scan->high <= scan->low)
		scan->rescan_at = now + RESCAN_EVERY;
	if (scan->high <= scan->low || now < scan->no_rescan_before)
		return;
	xmin = GetTransactionSnapshot()->xmin;
	n = pcapi_queued_between(route->target.dest, scan->low, Min(scan->high, scan->cursor), &ids);
	for (int i = 0; i < n && !late; i++)
	{
		if (held(route, ids[i]))
			continue;
		late = true;
		scan->cursor = Min(scan->cursor, ids[i] - 1);
	}
	pfree(ids);
	if (!late && TransactionIdIsValid(scan->mark_xid) &&
		TransactionIdPrecedesOrEquals(scan->mark_xid, xmin))
	{
		scan->low = scan->mark;
		scan->mark_xid = InvalidTransactionId;
	}
	if (!TransactionIdIsValid(scan->mark_xid) && scan->high > scan->low)
	{
		scan->mark = scan->high;
		scan->mark_xid = XidFromFullTransactionId(ReadNextFullTransactionId());
	}
	scan->no_rescan_before = now + 20 * (GetCurrentTimestamp() - now);
	scan->rescan_at = Max(now + RESCAN_EVERY, scan->no_rescan_before);
}
