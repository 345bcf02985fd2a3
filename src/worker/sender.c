/*
 * sender.c
 *	  The destinations as the worker sees them: a sender for each.
 *
 * Each sender has its own cursor, limiter, backoff and requests, so that a
 * destination that hangs costs the others nothing.  This file keeps the list
 * of them in step with the tables and with the worker's transactions, and
 * decides when a destination's next request may start.
 *
 * Left to others: which events a request holds (batch_fill.c), events that are
 * committed behind the cursor (rescan.c), what an answer changes (verdict.c).
 */
#include "pinterest_capi.h"

#include "common/guc.h"
#include "core/rate_limiter.h"
#include "queue/dequeue.h"
#include "queue/destination_config.h"
#include "queue/destination_state.h"
#include "utils/memutils.h"
#include "worker/batch.h"
#include "worker/sender.h"

/* Delay of a request beside one in flight, unless the last batch was full. */
#define SECOND_REQUEST_DELAY	(100 * USECS_PER_SEC / 1000)

/* So many events whose outcome cannot be written stop their destination. */
#define MAX_UNSETTLED_EVENTS	5000

dlist_head	pcapi_sender_list = DLIST_STATIC_INIT(pcapi_sender_list);

/* The strings of all configs, as of the last load. */
static MemoryContext configs_context;

/*
 * The relfilenode of _event, as of this load and of the last load whose
 * transaction committed.  TRUNCATE and rewrites of the table change it; then
 * the rows in it are not those that the cursors have passed.
 */
static Oid	event_file;
static Oid	committed_event_file;

static PcapiSender *sender_by_number(int dest);
static PcapiSender *create_sender(void);
static void set_position(PcapiSender *sender, int64 done_below);
static void update_sender(const PcapiDestinationConfig *config);
static void keep_strings(PcapiSender *sender, MemoryContext context);
static void free_sender(PcapiSender *sender);

/* ---- the list ---- */

PcapiSender *
pcapi_sender_by_name(const char *destination)
{
	pcapi_foreach_sender(sender)
	{
		if (sender->exists && strcmp(sender->config.name, destination) == 0)
			return sender;
	}
	return NULL;
}

/* The next load frees a sender that is created here, once it has no batch. */
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

static PcapiSender *
sender_by_number(int dest)
{
	pcapi_foreach_sender(sender)
	{
		if (sender->config.dest == dest)
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

/* ---- the load ---- */

void
pcapi_senders_load(void)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "pinterest_capi configs",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *configs;
	ListCell   *lc;

	event_file = pcapi_event_file();
	if (event_file != committed_event_file)
		pcapi_destinations_restart();
	configs = pcapi_destination_configs(0);
	MemoryContextSwitchTo(old);

	/* From here on only lack of memory raises an error. */
	pcapi_foreach_sender(sender)
		sender->exists = false;
	foreach(lc, configs)
		update_sender(lfirst(lc));
	pcapi_foreach_sender(sender)
	{
		if (!sender->exists)
			keep_strings(sender, context);
		if (event_file != committed_event_file && sender->exists)
			set_position(sender, sender->config.done_below);
	}
	MemoryContextSetParent(context, TopMemoryContext);
	if (configs_context)
		MemoryContextDelete(configs_context);
	configs_context = context;

	pcapi_foreach_sender(sender)
	{
		if (!sender->exists)
			free_sender(sender);
	}
}

bool
pcapi_sender_reload(PcapiSender *sender)
{
	/* until the next load of all, which is soon */
	MemoryContext old = MemoryContextSwitchTo(configs_context);
	List	   *configs = pcapi_destination_configs(sender->config.dest);

	MemoryContextSwitchTo(old);
	if (configs == NIL)
		return false;
	update_sender(linitial(configs));
	return true;
}

/* Give a sender its destination's settings and state; create it if it is new. */
static void
update_sender(const PcapiDestinationConfig *config)
{
	PcapiSender *sender = sender_by_number(config->dest);

	if (sender == NULL)
	{
		sender = create_sender();

		/*
		 * An earlier worker backed off from a success that it could not read.
		 * How many it had in a row is not stored, so one more is enough.
		 */
		if (config->failing_since != 0 && config->backoff_reason &&
			strncmp(config->backoff_reason, "HTTP 2", strlen("HTTP 2")) == 0)
			sender->unreadable = PCAPI_MAX_UNREAD - 1;
	}
	sender->config = *config;
	sender->exists = true;
	if (!sender->positioned)
	{
		set_position(sender, config->done_below);
		sender->committed_cursor = sender->cursor;
		sender->done_below = config->done_below;
		sender->positioned = true;
	}
	pcapi_limiter_set(&sender->limiter, config->max_requests_per_minute, pcapi_clock_ms());

	/* A session resumed the destination, or an earlier worker left it failing. */
	if (config->failing_since == 0)
		sender->refusals = sender->unreadable = 0;
	else if (sender->refusals == 0)
		sender->refusals = 1;
}

/* Start to read from an id on. */
static void
set_position(PcapiSender *sender, int64 done_below)
{
	memset(&sender->cursor, 0, sizeof(PcapiQueueCursor));
	sender->cursor.position = sender->cursor.high_water = sender->cursor.low_water = done_below;
	sender->unread.n = sender->late.n = 0;
}

/*
 * Copy the strings of a dropped destination's sender into the context of this
 * load.  Its requests in flight still need them, for log lines and statements.
 */
static void
keep_strings(PcapiSender *sender, MemoryContext context)
{
	PcapiDestinationConfig *config = &sender->config;

	config->name = MemoryContextStrdup(context, config->name);
	config->api_url = MemoryContextStrdup(context, config->api_url);
	config->ad_account_id = NULL;
	config->token = NULL;
	config->backoff_reason = NULL;
	config->ready = config->sendable = false;
}

/*
 * Free the sender of a dropped destination, once its last batch has ended.  The
 * session that dropped the destination has settled its rows, so answers to
 * requests in flight change nothing.
 */
static void
free_sender(PcapiSender *sender)
{
	pcapi_foreach_batch(sender, batch)
	{
		if (batch->state == PCAPI_BATCH_SPLIT)
			pcapi_batch_free(batch);
	}
	if (dlist_is_empty(&sender->batches))
	{
		dlist_delete(&sender->node);
		pcapi_ranges_free(&sender->unread);
		pcapi_ranges_free(&sender->late);
		pfree(sender);
	}
}

/* ---- the end of a transaction ---- */

void
pcapi_senders_commit(void)
{
	committed_event_file = event_file;
	pcapi_foreach_sender(sender)
	{
		sender->committed_cursor = sender->cursor;
		pcapi_foreach_batch(sender, batch)
		{
			if (batch->state == PCAPI_BATCH_TAKEN)
				pcapi_batch_free(batch);
		}
		sender->done_below = pcapi_sender_done_below(sender, NULL);
	}
}

void
pcapi_senders_rollback(void)
{
	pcapi_foreach_sender(sender)
	{
		/* what was late or unread is read again from there */
		sender->cursor = sender->committed_cursor;
		sender->cursor.position = Min(sender->cursor.position, sender->done_below);
		sender->unread.n = sender->late.n = 0;
		pcapi_foreach_batch(sender, batch)
		{
			if (batch->state == PCAPI_BATCH_TAKEN)
				batch->state = PCAPI_BATCH_SPLIT;
			else if (batch->state == PCAPI_BATCH_CLAIMED)
				pcapi_batch_free(batch);
		}
	}
}

/*
 * A poll or a settling that was scheduled by the old clock may happen now.  So
 * may a request that the API asked to delay beside a success: its answers will
 * repeat that.
 */
void
pcapi_senders_clock_back(void)
{
	pcapi_foreach_sender(sender)
	{
		PcapiQueueCursor *cursor = &sender->cursor;

		cursor->rescan_at = cursor->no_rescan_before = cursor->full_rescan_at = 0;
		sender->committed_cursor = *cursor;
		sender->refused_at = sender->last_verdicts_start = sender->last_start = 0;
		sender->retry_after = sender->next_poll_at = 0;
		pcapi_foreach_batch(sender, batch)
			batch->next_settle_at = 0;
	}
}

/* ---- events ---- */

int64
pcapi_sender_done_below(PcapiSender *sender, const PcapiBatch *settled)
{
	int64		done = Min(sender->cursor.position, sender->cursor.low_water);

	if (sender->late.n > 0)
		done = Min(done, sender->late.ranges[0].low - 1);
	pcapi_foreach_batch(sender, batch)
	{
		if (batch != settled && !batch->verify && batch->first_fresh != PCAPI_LAST_ID)
			done = Min(done, batch->first_fresh - 1);
	}
	return done;
}

/* A batch has held it, so done_below is less. */
void
pcapi_sender_requeue(PcapiSender *sender, int64 id)
{
	pcapi_ranges_add(&sender->late, id, id);
}

bool
pcapi_sender_holds(void *arg, int64 id)
{
	PcapiSender *sender = arg;

	pcapi_foreach_batch(sender, batch)
	{
		if (!batch->verify && batch->state != PCAPI_BATCH_TAKEN && pcapi_batch_holds(batch, id))
			return true;
	}
	return false;
}

int
pcapi_sender_count_held(PcapiSender *sender)
{
	int			n = 0;

	pcapi_foreach_batch(sender, batch)
	{
		if (!batch->verify)
			n += batch->n;
	}
	return n;
}

/* ---- the next request ---- */

TimestampTz
pcapi_sender_next_start(PcapiSender *sender, TimestampTz now)
{
	int			in_flight = 0;
	int			unsettled = 0;
	TimestampTz at = Max(Max(sender->config.backoff_until, sender->retry_after), sender->next_poll_at);
	int64		wait;

	if (!sender->config.ready)
		return DT_NOEND;
	pcapi_foreach_batch(sender, batch)
	{
		/* An answer that cannot be written shall not become two. */
		if (batch->state == PCAPI_BATCH_ANSWERED)
			return DT_NOEND;
		if (batch->state == PCAPI_BATCH_PARTLY_SETTLED && (unsettled += batch->n) > MAX_UNSETTLED_EVENTS)
			return DT_NOEND;
		if (!batch->verify && (batch->state == PCAPI_BATCH_IN_FLIGHT || batch->state == PCAPI_BATCH_CLAIMED))
			in_flight++;
	}
	/* While the destination fails, one request is enough to find out whether it still does. */
	if (in_flight >= (sender->refusals > 0 ? 1 : pcapi_max_concurrent_requests))
		return DT_NOEND;
	if (in_flight > 0 && !sender->last_batch_full)
		at = Max(at, sender->last_start + SECOND_REQUEST_DELAY);
	wait = pcapi_limiter_wait(&sender->limiter, pcapi_clock_ms());
	if (wait > 0)
		at = Max(at, now + wait * 1000);
	return at;
}
