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
#define SECOND_REQUEST_DELAY					(100 * USECS_PER_SEC / 1000)

/* so many events may have been sent that can't be settled, before no more are */
#define LEFT_MAX			5000

dlist_head	pcapi_sender_list = DLIST_STATIC_INIT(pcapi_sender_list);

static MemoryContext configs_context;

/*
 * The file of the table _queue, as of this load and of the last one that was
 * committed.  A table that was emptied (TRUNCATE), or written anew, has another
 * one, and what is in it says nothing of how far it has been read.
 */
static Oid	queue_file;
static Oid	read_file;

static PcapiSender *
sender_by_number(int dest)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);

		if (sender->config.dest == dest)
			return sender;
	}
	return NULL;
}

PcapiSender *
pcapi_sender_by_name(const char *destination)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);

		if (sender->known && strcmp(sender->config.name, destination) == 0)
			return sender;
	}
	return NULL;
}

static PcapiSender *
create_sender(void)
{
	PcapiSender *sender = MemoryContextAllocZero(TopMemoryContext, sizeof(PcapiSender));

	dlist_init(&sender->batches);
	dlist_push_tail(&pcapi_sender_list, &sender->node);
	return sender;
}

/* One that is made here is gone with its last batch. */
PcapiSender *
pcapi_sender_for(int dest)
{
	PcapiSender *sender = sender_by_number(dest);

	if (sender == NULL)
	{
		sender = create_sender();
		sender->config.dest = dest;
		sender->config.name = sender->config.api_url = "";
	}
	return sender;
}

static void
update_sender(const PcapiDestinationConfig *config)
{
	PcapiSender *sender = sender_by_number(config->dest);

	if (sender == NULL)
	{
		sender = create_sender();

		/* how often the worker before this one read no success is not known, but that it came to that */
		if (config->failing_since != 0 && config->backoff_reason &&
			strncmp(config->backoff_reason, "HTTP 2", strlen("HTTP 2")) == 0)
			sender->unread = PCAPI_MAX_UNREAD - 1;
	}
	sender->config = *config;
	sender->known = true;
	pcapi_limiter_set(&sender->limiter, config->max_requests_per_minute, pcapi_clock_ms());

	/* somebody resumed it; or a worker before this one left it failing */
	if (config->failing_since == 0)
		sender->refusals = sender->unread = 0;
	else if (sender->refusals == 0)
		sender->refusals = 1;
}

/* A destination that is gone: its rows are settled, what is out comes back to nothing. */
static void
forget_sender(PcapiSender *sender)
{
	dlist_mutable_iter it;

	dlist_foreach_modify(it, &sender->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (batch->state == PCAPI_BATCH_SPLIT)
			pcapi_batch_free(batch);
	}
	if (dlist_is_empty(&sender->batches))
	{
		dlist_delete(&sender->node);
		pfree(sender);
	}
}

/*
 * The strings of a sender that is gone but has requests out are still used, in
 * log lines and statements; they move along.
 */
static void
keep_strings(PcapiSender *sender, MemoryContext context)
{
	PcapiDestinationConfig *t = &sender->config;

	t->name = MemoryContextStrdup(context, t->name);
	t->api_url = MemoryContextStrdup(context, t->api_url);
	t->ad_account_id = NULL;
	t->token = NULL;
	t->backoff_reason = NULL;
	t->ready = t->sendable = false;
}

void
pcapi_senders_load(void)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "pinterest_capi configs",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *configs = pcapi_destination_configs();
	ListCell   *lc;
	dlist_mutable_iter it;

	MemoryContextSwitchTo(old);

	queue_file = pcapi_queue_file();

	/* from here on nothing fails but for lack of memory */
	dlist_foreach_modify(it, &pcapi_sender_list)
		dlist_container(PcapiSender, node, it.cur)->known = false;
	foreach(lc, configs)
		update_sender(lfirst(lc));
	dlist_foreach_modify(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);

		if (!sender->known)
			keep_strings(sender, context);
		if (queue_file != read_file)
			memset(&sender->scan, 0, sizeof(PcapiQueueCursor));
	}
	MemoryContextSetParent(context, TopMemoryContext);
	if (configs_context)
		MemoryContextDelete(configs_context);
	configs_context = context;

	dlist_foreach_modify(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);

		if (!sender->known)
			forget_sender(sender);
	}
}

void
pcapi_senders_commit(void)
{
	dlist_iter	it;

	read_file = queue_file;
	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_mutable_iter b;

		sender->saved = sender->scan;
		dlist_foreach_modify(b, &sender->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == PCAPI_BATCH_TAKEN)
				pcapi_batch_free(batch);
		}
	}
}

/* The transaction that took something failed: nothing was taken. */
void
pcapi_senders_rollback(void)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_mutable_iter b;

		sender->scan = sender->saved;
		dlist_foreach_modify(b, &sender->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == PCAPI_BATCH_TAKEN)
				batch->state = PCAPI_BATCH_SPLIT;
			else if (batch->state == PCAPI_BATCH_CLAIMED)
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
pcapi_senders_clock_back(void)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_iter	b;

		sender->scan.rescan_at = sender->scan.no_rescan_before = sender->scan.full_at = 0;
		sender->saved = sender->scan;
		sender->refused_at = sender->heard_at = sender->wait_until = sender->last_start = sender->next_poll_at = 0;
		dlist_foreach(b, &sender->batches)
			dlist_container(PcapiBatch, node, b.cur)->settle_at = 0;
	}
}

void
pcapi_sender_requeue(PcapiSender *sender, int64 id)
{
	sender->scan.cursor = Min(sender->scan.cursor, id - 1);
	sender->saved.cursor = Min(sender->saved.cursor, id - 1);
}

TimestampTz
pcapi_sender_next_start(PcapiSender *sender, TimestampTz now)
{
	int			out = 0;
	int			left = 0;
	TimestampTz at = Max(Max(sender->config.backoff_until, sender->wait_until), sender->next_poll_at);
	int64		wait;
	dlist_iter	it;

	if (!sender->config.ready)
		return DT_NOEND;
	dlist_foreach(it, &sender->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		/* an answer that can't be written down: don't make it two */
		if (batch->state == PCAPI_BATCH_ANSWERED)
			return DT_NOEND;
		if (batch->state == PCAPI_BATCH_LEFT && (left += batch->n) > LEFT_MAX)
			return DT_NOEND;
		if (!batch->verify && (batch->state == PCAPI_BATCH_IN_FLIGHT || batch->state == PCAPI_BATCH_CLAIMED))
			out++;
	}
	/* while it fails, one request is enough to find out whether it still does */
	if (out >= (sender->refusals > 0 ? 1 : pcapi_max_concurrent_requests))
		return DT_NOEND;
	if (out > 0 && !sender->last_full)
		at = Max(at, sender->last_start + SECOND_REQUEST_DELAY);
	wait = pcapi_limiter_wait(&sender->limiter, pcapi_clock_ms());
	if (wait > 0)
		at = Max(at, now + wait * 1000);
	return at;
}
