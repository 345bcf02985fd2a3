/*
 * dispatch.c
 *	  The worker's cycle: settle what is answered, look at the tables, start
 *	  what may start, and say when the next turn is useful.
 *
 * A look is one transaction for all destinations; each answer is settled in a
 * transaction of its own.  While requests are out none is open.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#define MS(us)			((us) / 1000)
#define SAFETY_POLL		(5 * USECS_PER_SEC) /* what nobody told of: prepared transactions, the clock */
#define LOOK_GAP		(200 * USECS_PER_SEC / 1000)
#define AGAIN_MAX_MS	8000	/* transactions that fail: a full disk, say */

static TimestampTz looked_at;
static TimestampTz look_at;		/* the next one */
static int	look_failures;
static bool could_send = true;
static bool held_back = false;

/* A server that is to be left as it is may be a copy: it sends nothing, whatever waits there. */
static bool
may_send(void)
{
	return pcapi_dispatch && !DefaultXactReadOnly && !held_back;
}

static PcapiBatch *
next_in_state(PcapiBatchState state)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &route->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == state && (state != PCAPI_B_ANSWERED ||
										  batch->settle_at <= GetCurrentTimestamp()))
				return batch;
		}
	}
	return NULL;
}

int
pcapi_dispatch_in_flight(void)
{
	int			n = 0;
	dlist_iter	it;

	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &route->batches)
			n += dlist_container(PcapiBatch, node, b.cur)->state == PCAPI_B_OUT;
	}
	return n;
}

void
pcapi_dispatch_finish(PcapiRequest *request)
{
	pcapi_batch_answered(request->owner);
}

/* Start no more requests, or do again. */
void
pcapi_dispatch_hold(bool hold)
{
	held_back = hold;
}

/*
 * Nothing is under way that only this process knows of.  *next is when there
 * may be something to do, as far as that is known; DT_NOEND: not by time alone.
 */
bool
pcapi_dispatch_rests(TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter	it;

	*next = DT_NOEND;
	if (looked_at == 0 || look_failures > 0)
		return false;
	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		TimestampTz opens = pcapi_route_opens(route, now);
		dlist_iter	b;

		dlist_foreach(b, &route->batches)
			if (dlist_container(PcapiBatch, node, b.cur)->state != PCAPI_B_HALF)
				return false;
		if (opens == DT_NOEND || !pcapi_dispatch)
			continue;
		/* closed, there may be anything; open, the last look has found nothing but what is due later */
		if (opens > looked_at || !dlist_is_empty(&route->batches) || held_back)
			*next = Min(*next, Max(opens, now));
		if (route->next_due != 0)
			*next = Min(*next, Max(route->next_due, opens));
	}
	return true;
}

/* How long to leave a transaction alone that failed so often in a row. */
static int64
again_after(int failures)
{
	return Min((int64) PCAPI_BACKOFF_MIN_MS << Min(failures - 1, 16), AGAIN_MAX_MS) * 1000;
}

/*
 * Settling that fails (a full disk, say) is tried again, later each time; the
 * answer is not forgotten and nothing is sent twice for it.
 */
static void
settle_answered(void)
{
	PcapiBatch *batch;

	while ((batch = next_in_state(PCAPI_B_ANSWERED)) != NULL)
	{
		if (!pcapi_transaction(pcapi_batch_settle, batch))
		{
			batch->settle_at = GetCurrentTimestamp() + again_after(++batch->settle_failures);
			continue;
		}
		if (batch->paused)
			ereport(LOG,
					(errmsg("destination \"%s\" is paused: %s",
							batch->route->target.name, batch->pause_reason),
					 errhint("Its events wait for pinterest_capi.configure_destination or pinterest_capi.resume_destination.")));
		pcapi_batch_free(batch);
		look_at = 0;
	}
}

/* In a transaction: read the destinations, and take what may leave. */
static void
look(void *arg)
{
	dlist_iter	it;

	pcapi_routes_load();
	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);

		if (!route->known || !route->target.ready || !may_send())
			continue;
		pcapi_route_rescan(route);
		while (pcapi_route_opens(route, GetCurrentTimestamp()) <= GetCurrentTimestamp())
			if (!pcapi_route_take(route))
				break;
		route->next_due = pcapi_next_due(route->target.dest);
	}
}

/* When a look finds something to do that no latch will tell of. */
static TimestampTz
next_look(TimestampTz now)
{
	TimestampTz at = looked_at + SAFETY_POLL;
	dlist_iter	it;

	if (!may_send())
		return at;
	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		TimestampTz opens = pcapi_route_opens(route, now);

		if (opens == DT_NOEND)
			continue;			/* an answer or a person opens it */
		if (opens > looked_at)
			at = Min(at, opens);
		if (route->next_due != 0)
			at = Min(at, Max(route->next_due, opens));
		if (route->scan.high > route->scan.low)
			at = Min(at, route->scan.rescan_at);
	}
	return at;
}

static void
look_and_start(void)
{
	PcapiBatch *batch;

	looked_at = GetCurrentTimestamp();
	if (!pcapi_transaction(look, NULL))
	{
		pcapi_routes_rollback();
		look_at = looked_at + again_after(++look_failures);
		return;
	}
	look_failures = 0;
	pcapi_routes_commit();
	while ((batch = next_in_state(PCAPI_B_CLAIMED)) != NULL)
		pcapi_batch_start(batch);
	pcapi_verify_take();
	look_at = next_look(GetCurrentTimestamp());
}

/* A wake-up is worth a look at once only where something may start. */
static TimestampTz
look_after_wake(TimestampTz now)
{
	dlist_iter	it;
	TimestampTz at = looked_at + LOOK_GAP;

	if (pcapi_verify_asked())
		return now;
	if (look_failures > 0)
		return look_at;
	if (!may_send())
		return Min(at, look_at);
	dlist_foreach(it, &pcapi_routes)
		at = Min(at, pcapi_route_opens(dlist_container(PcapiRoute, node, it.cur), now));
	return Min(at, look_at);
}

static void
show(TimestampTz now)
{
	int			in_flight = pcapi_dispatch_in_flight();
	const char *state = in_flight > 0 ? "sending" : !pcapi_dispatch ? "dispatch off" :
		DefaultXactReadOnly ? "read-only" : "idle";

	SpinLockAcquire(&pcapi_live->mutex);
	pcapi_live->last_cycle_at = now;
	pcapi_live->in_flight = in_flight;
	strlcpy(pcapi_live->state, state, sizeof(pcapi_live->state));
	SpinLockRelease(&pcapi_live->mutex);
}

long
pcapi_dispatch_cycle(bool woken)
{
	TimestampTz now;
	TimestampTz next;
	dlist_iter	it;

	if (may_send() != could_send)
	{
		could_send = may_send();
		look_at = 0;
	}
	settle_answered();
	now = GetCurrentTimestamp();
	if (woken)
		look_at = look_after_wake(now);
	/* a clock that was set back */
	if (looked_at > now)
		look_at = 0;
	if (now >= look_at)
		look_and_start();

	now = GetCurrentTimestamp();
	next = look_at;
	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &route->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == PCAPI_B_ANSWERED)
				next = Min(next, batch->settle_at);
		}
	}
	show(now);
	return next <= now ? 0 : (long) MS(next - now) + 1;
}
