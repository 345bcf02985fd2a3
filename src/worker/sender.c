/*
 * sender.c
 *	  Destinations as the worker sees them: what may be sent when, and what is
 *	  taken next.
 *
 * Each goes its own way: its own cursor, limiter, backoff and requests, so
 * that one that hangs costs the others nothing.  What is taken becomes a batch
 * (batch.c); statements are in src/queue/dequeue.c.
 */
#include "pinterest_capi.h"

#include "common/guc.h"
#include "core/rate_limiter.h"
#include "queue/dequeue.h"
#include "queue/destination_config.h"
#include "utils/memutils.h"
#include "worker/batch.h"
#include "worker/sender.h"
#include "worker/sending.h"

/* a second request beside one that is out: at once after a full batch, else so much later */
#define GAP					(100 * USECS_PER_SEC / 1000)

/* so many events may have been sent that can't be settled, before no more are */
#define LEFT_MAX			5000

dlist_head	pcapi_routes = DLIST_STATIC_INIT(pcapi_routes);

static MemoryContext targets_context;

/*
 * The file of the table _queue, as of this load and of the last one that was
 * committed.  A table that was emptied (TRUNCATE), or written anew, has another
 * one, and what is in it says nothing of how far it has been read.
 */
static Oid	queue_file;
static Oid	read_file;

static PcapiRoute *
route_by_number(int dest)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);

		if (route->target.dest == dest)
			return route;
	}
	return NULL;
}

PcapiRoute *
pcapi_route_by_name(const char *destination)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);

		if (route->known && strcmp(route->target.name, destination) == 0)
			return route;
	}
	return NULL;
}

static PcapiRoute *
create_route(void)
{
	PcapiRoute *route = MemoryContextAllocZero(TopMemoryContext, sizeof(PcapiRoute));

	dlist_init(&route->batches);
	dlist_push_tail(&pcapi_routes, &route->node);
	return route;
}

/* One that is made here is gone with its last batch. */
PcapiRoute *
pcapi_route_for(int dest)
{
	PcapiRoute *route = route_by_number(dest);

	if (route == NULL)
	{
		route = create_route();
		route->target.dest = dest;
		route->target.name = route->target.api_url = "";
	}
	return route;
}

static void
update_route(const PcapiTarget *target)
{
	PcapiRoute *route = route_by_number(target->dest);

	if (route == NULL)
	{
		route = create_route();

		/* how often the worker before this one read no success is not known, but that it came to that */
		if (target->failing_since != 0 && target->backoff_reason &&
			strncmp(target->backoff_reason, "HTTP 2", strlen("HTTP 2")) == 0)
			route->unread = PCAPI_MAX_UNREAD - 1;
	}
	route->target = *target;
	route->known = true;
	pcapi_limiter_set(&route->limiter, target->max_requests_per_minute, pcapi_clock_ms());

	/* somebody resumed it; or a worker before this one left it failing */
	if (target->failing_since == 0)
		route->refusals = route->unread = 0;
	else if (route->refusals == 0)
		route->refusals = 1;
}

/* A destination that is gone: its rows are settled, what is out comes back to nothing. */
static void
forget_route(PcapiRoute *route)
{
	dlist_mutable_iter it;

	dlist_foreach_modify(it, &route->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (batch->state == PCAPI_B_HALF)
			pcapi_batch_free(batch);
	}
	if (dlist_is_empty(&route->batches))
	{
		dlist_delete(&route->node);
		pfree(route);
	}
}

/*
 * The strings of a route that is gone but has requests out are still used, in
 * log lines and statements; they move along.
 */
static void
keep_strings(PcapiRoute *route, MemoryContext context)
{
	PcapiTarget *t = &route->target;

	t->name = MemoryContextStrdup(context, t->name);
	t->api_url = MemoryContextStrdup(context, t->api_url);
	t->ad_account_id = NULL;
	t->token = NULL;
	t->backoff_reason = NULL;
	t->ready = t->sendable = false;
}

void
pcapi_routes_load(void)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "pinterest_capi targets",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *targets = pcapi_targets();
	ListCell   *lc;
	dlist_mutable_iter it;

	MemoryContextSwitchTo(old);

	queue_file = pcapi_queue_file();

	/* from here on nothing fails but for lack of memory */
	dlist_foreach_modify(it, &pcapi_routes)
		dlist_container(PcapiRoute, node, it.cur)->known = false;
	foreach(lc, targets)
		update_route(lfirst(lc));
	dlist_foreach_modify(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);

		if (!route->known)
			keep_strings(route, context);
		if (queue_file != read_file)
			memset(&route->scan, 0, sizeof(PcapiScan));
	}
	MemoryContextSetParent(context, TopMemoryContext);
	if (targets_context)
		MemoryContextDelete(targets_context);
	targets_context = context;

	dlist_foreach_modify(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);

		if (!route->known)
			forget_route(route);
	}
}

void
pcapi_routes_commit(void)
{
	dlist_iter	it;

	read_file = queue_file;
	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		dlist_mutable_iter b;

		route->saved = route->scan;
		dlist_foreach_modify(b, &route->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == PCAPI_B_TAKEN)
				pcapi_batch_free(batch);
		}
	}
}

/* The transaction that took something failed: nothing was taken. */
void
pcapi_routes_rollback(void)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		dlist_mutable_iter b;

		route->scan = route->saved;
		dlist_foreach_modify(b, &route->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == PCAPI_B_TAKEN)
				batch->state = PCAPI_B_HALF;
			else if (batch->state == PCAPI_B_CLAIMED)
				pcapi_batch_free(batch);
		}
	}
}

/*
 * Somebody has set the clock back.  What was to happen at a time of the old one
 * may happen now: looks, settling, and what the API asked to wait beside a
 * success, which its answers will say again.
 */
void
pcapi_routes_clock_back(void)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_routes)
	{
		PcapiRoute *route = dlist_container(PcapiRoute, node, it.cur);
		dlist_iter	b;

		route->scan.rescan_at = route->scan.no_rescan_before = route->scan.full_at = 0;
		route->saved = route->scan;
		route->refused_at = route->heard_at = route->wait_until = route->last_start = route->look_at = 0;
		dlist_foreach(b, &route->batches)
			dlist_container(PcapiBatch, node, b.cur)->settle_at = 0;
	}
}

void
pcapi_route_release(PcapiRoute *route, int64 id)
{
	route->scan.cursor = Min(route->scan.cursor, id - 1);
	route->saved.cursor = Min(route->saved.cursor, id - 1);
}

TimestampTz
pcapi_route_opens(PcapiRoute *route, TimestampTz now)
{
	int			out = 0;
	int			left = 0;
	TimestampTz at = Max(Max(route->target.backoff_until, route->wait_until), route->look_at);
	int64		wait;
	dlist_iter	it;

	if (!route->target.ready)
		return DT_NOEND;
	dlist_foreach(it, &route->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		/* an answer that can't be written down: don't make it two */
		if (batch->state == PCAPI_B_ANSWERED)
			return DT_NOEND;
		if (batch->state == PCAPI_B_LEFT && (left += batch->n) > LEFT_MAX)
			return DT_NOEND;
		if (!batch->verify && (batch->state == PCAPI_B_OUT || batch->state == PCAPI_B_CLAIMED))
			out++;
	}
	/* while it fails, one request is enough to find out whether it still does */
	if (out >= (route->refusals > 0 ? 1 : pcapi_max_concurrent_requests))
		return DT_NOEND;
	if (out > 0 && !route->last_full)
		at = Max(at, route->last_start + GAP);
	wait = pcapi_limiter_wait(&route->limiter, pcapi_clock_ms());
	if (wait > 0)
		at = Max(at, now + wait * 1000);
	return at;
}
