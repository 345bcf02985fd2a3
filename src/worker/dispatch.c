/*
 * dispatch.c
 *	  The worker's cycle: settle what is answered, look at the tables, start
 *	  what may start, and say when the next turn is useful.
 *
 * A look is one transaction for all destinations; each answer is settled in a
 * transaction of its own.  While requests are out none is open.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "common/guc.h"
#include "core/backoff.h"
#include "queue/clock_skew.h"
#include "queue/dequeue.h"
#include "queue/destination_state.h"
#include "queue/hold.h"
#include "queue/sending_server.h"
#include "queue/settle.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/batch.h"
#include "worker/batch_fill.h"
#include "worker/batch_request.h"
#include "worker/batch_settle.h"
#include "worker/dispatch.h"
#include "worker/sender.h"
#include "worker/sending.h"
#include "worker/transfer.h"
#include "worker/verify_send.h"
#include "worker/xact.h"

#define MS(us)			((us) / 1000)
#define SAFETY_POLL		(5 * USECS_PER_SEC) /* what nobody told of: prepared transactions, the clock */
#define POLL_GAP		(200 * USECS_PER_SEC / 1000)
#define AGAIN_MAX_MS	8000	/* transactions that fail: a full disk, say */
#define LEFT_MAX_MS		60000	/* rows that can't be written; locks end sooner */

static TimestampTz polled_at;
static TimestampTz next_poll_at;	/* the next one */
static int	poll_failures;
static bool clock_went_back = false;
static bool could_send = true;
static bool held_back = false;
static bool hold_asked = false; /* hold_reason is known */
static bool hold_stale = false; /* and may not be so any more */
static char *hold_reason = NULL;	/* why this server sends nothing; NULL: it sends */

/* A server that is to be left as it is may be a copy: it sends nothing, whatever waits there. */
static bool
may_send(void)
{
	return pcapi_dispatch && !DefaultXactReadOnly && !held_back && hold_asked && hold_reason == NULL && !pcapi_replicates;
}

/* What is known of it is to be written down. */
static bool
to_be_settled(const PcapiBatch *batch)
{
	return batch->state == PCAPI_BATCH_ANSWERED || batch->state == PCAPI_BATCH_LEFT;
}

static PcapiBatch *
next_to_settle(void)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &sender->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (to_be_settled(batch) && batch->settle_at <= now)
				return batch;
		}
	}
	return NULL;
}

static PcapiBatch *
next_claimed(void)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &sender->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (batch->state == PCAPI_BATCH_CLAIMED)
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

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &sender->batches)
			n += dlist_container(PcapiBatch, node, b.cur)->state == PCAPI_BATCH_IN_FLIGHT;
	}
	return n;
}

/*
 * The answer was dated at some moment between the request's start and now, and
 * in whole seconds: only what that leaves no room for is a clock that differs.
 */
static void
record_clock_skew(const PcapiBatch *batch)
{
	const char *date = batch->request.date;
	int64		seconds = pcapi_http_date(date, strlen(date));
	TimestampTz dated;
	TimestampTz now = GetCurrentTimestamp();
	int64		ahead = 0;

	if (seconds < 0)
		return;
	dated = (seconds - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY) * USECS_PER_SEC;
	if (batch->sent_at > dated + USECS_PER_SEC)
		ahead = batch->sent_at - (dated + USECS_PER_SEC);
	else if (now < dated)
		ahead = now - dated;

	SpinLockAcquire(&pcapi_worker_state->mutex);
	pcapi_worker_state->clock_ahead = ahead;
	pcapi_worker_state->clock_seen_at = now;
	SpinLockRelease(&pcapi_worker_state->mutex);
}

void
pcapi_dispatch_finish(PcapiRequest *request)
{
	if (request->transport == PCAPI_HTTP_ANSWERED)
		record_clock_skew(request->owner);
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
pcapi_dispatch_is_idle(TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter	it;

	*next = DT_NOEND;
	if (polled_at == 0 || poll_failures > 0)
		return false;
	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		TimestampTz opens = pcapi_sender_next_start(sender, now);
		dlist_iter	b;

		dlist_foreach(b, &sender->batches)
		{
			PcapiBatchState state = dlist_container(PcapiBatch, node, b.cur)->state;

			/* whoever waits for the slot shall not wait for what somebody has locked: that goes again, with a warning */
			if (state != PCAPI_BATCH_SPLIT && !(state == PCAPI_BATCH_LEFT && held_back))
				return false;
		}
		if (opens == DT_NOEND || !pcapi_dispatch)
			continue;
		/* closed, there may be anything; open, the last look has found nothing but what is due later */
		if (opens > polled_at || !dlist_is_empty(&sender->batches) || held_back)
			*next = Min(*next, Max(opens, now));
		if (sender->next_due != 0)
			*next = Min(*next, Max(sender->next_due, opens));
	}
	return true;
}

/* How long to leave a transaction alone that failed so often in a row. */
static int64
again_after(int failures, int64 max_ms)
{
	return Min((int64) PCAPI_BACKOFF_MIN_MS << Min(failures - 1, 16), max_ms) * 1000;
}

/*
 * What stops one answer of a destination, such as somebody's lock, is likely
 * to stop the others: the other destinations shall not wait for each of them.
 */
static void
settle_later(PcapiBatch *failed)
{
	dlist_iter	it;

	failed->settle_at = GetCurrentTimestamp() + again_after(++failed->settle_failures, AGAIN_MAX_MS);
	dlist_foreach(it, &failed->sender->batches)
	{
		PcapiBatch *batch = dlist_container(PcapiBatch, node, it.cur);

		if (to_be_settled(batch))
			batch->settle_at = Max(batch->settle_at, failed->settle_at);
	}
}

/*
 * Some events of a batch could not be written, which costs the others nothing.
 * One line in the log, and none for a lock that is gone a moment later.
 */
static void
keep_left(PcapiBatch *batch)
{
	batch->settle_at = GetCurrentTimestamp() + again_after(++batch->settle_failures, batch->problem ? LEFT_MAX_MS : AGAIN_MAX_MS);
	if (batch->settle_failures == 2)
		ereport(LOG,
				(errmsg_plural("what became of %d event for destination \"%s\" cannot be written down for now: %s",
							   "what became of %d events for destination \"%s\" cannot be written down for now: %s",
							   batch->n, batch->n, batch->sender->config.name, batch->problem ? batch->problem : PCAPI_LOCKED),
				 errdetail("The worker remembers it and tries again; other events are sent meanwhile."),
				 errhint("pinterest_capi.doctor() names them as long as it lasts.")));
}

/*
 * Settling that fails (a full disk, say) is tried again, later each time; the
 * answer is not forgotten and nothing is sent twice for it.
 */
static void
settle_answered(void)
{
	PcapiBatch *batch;

	while ((batch = next_to_settle()) != NULL)
	{
		bool		first = batch->state == PCAPI_BATCH_ANSWERED;

		if (!pcapi_transaction(pcapi_batch_settle, batch))
		{
			settle_later(batch);
			continue;
		}
		if (first && batch->paused)
			ereport(LOG,
					(errmsg("destination \"%s\" is paused: %s",
							batch->sender->config.name, batch->pause_reason),
					 errhint("Its events wait for pinterest_capi.configure_destination or pinterest_capi.resume_destination; pinterest_capi.doctor() tells which.")));
		if (pcapi_batch_settled(batch))
			pcapi_batch_free(batch);
		else
			keep_left(batch);
		next_poll_at = 0;
	}
}

/* In a transaction, as the next ones: take what may leave for one destination. */
static void
poll_sender(void *arg)
{
	PcapiSender *sender = arg;

	if (!sender->known || !sender->config.ready || !may_send())
		return;
	pcapi_sender_rescan(sender);
	while (pcapi_sender_next_start(sender, GetCurrentTimestamp()) <= GetCurrentTimestamp())
		if (!pcapi_sender_fill_batch(sender))
			break;
	sender->next_due = pcapi_next_due(sender->config.dest);
}

static void
notify_all(const char *status, const char *message)
{
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);

		if (sender->known && sender->config.sendable)
			pcapi_notify(sender->config.name, status, message);
	}
}

/*
 * Ask whether this server is held.  A claim or a setting ends that, so a server
 * that is held asks at each look; nothing but a setting or a new subscription
 * can make one held that sends.  Should the look's transaction fail, listeners miss the NOTIFY.
 */
static void
ask_hold(void)
{
	const char *remedy;
	char	   *reason;

	if (pcapi_replicating_subscription() != NULL)
		pcapi_replicates = true;
	if (hold_asked && !hold_stale && hold_reason == NULL && !pcapi_replicates)
		return;
	pcapi_sending_server_recognize();
	reason = pcapi_hold_reason(&remedy);
	if (reason && (hold_reason == NULL || strcmp(reason, hold_reason) != 0))
	{
		ereport(LOG,
				(errmsg("nothing is sent from this server: %s", reason),
				 errhint("%s pinterest_capi.doctor() tells more.", remedy)));
		notify_all("not ready", reason);
	}
	else if (reason == NULL && hold_reason)
	{
		ereport(LOG, (errmsg("this server sends again")));
		notify_all("ready", "what waited is sent");
	}
	if (hold_reason)
		pfree(hold_reason);
	hold_reason = reason ? MemoryContextStrdup(TopMemoryContext, reason) : NULL;
	hold_asked = true;
	hold_stale = false;
}

/* After a reload of the settings. */
void
pcapi_dispatch_reloaded(void)
{
	hold_stale = true;
	next_poll_at = 0;
}

/* Read the destinations, and whether anything may be sent. */
static void
load(void *arg)
{
	if (clock_went_back && !pcapi_replicates)
		pcapi_fix_future_times();
	pcapi_senders_load();
	ask_hold();
}

/* Both, for all of them. */
static void
poll_all(void *arg)
{
	dlist_iter	it;

	load(NULL);
	dlist_foreach(it, &pcapi_sender_list)
		poll_sender(dlist_container(PcapiSender, node, it.cur));
}

/* When a look finds something to do that no latch will tell of. */
static TimestampTz
next_poll(TimestampTz now)
{
	TimestampTz at = polled_at + SAFETY_POLL;
	dlist_iter	it;

	if (!may_send())
		return at;
	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		TimestampTz opens = pcapi_sender_next_start(sender, now);

		if (opens == DT_NOEND)
			continue;			/* an answer or a person opens it */
		if (opens > polled_at)
			at = Min(at, opens);
		if (sender->next_due != 0)
			at = Min(at, Max(sender->next_due, opens));
		if (sender->scan.high_water > sender->scan.low_water)
			at = Min(at, sender->scan.rescan_at);
	}
	return at;
}

static void
start_claimed(void)
{
	PcapiBatch *batch;

	/* a shutdown ends the wait for a standby, without which no request may leave */
	CHECK_FOR_INTERRUPTS();
	pcapi_senders_commit();
	while ((batch = next_claimed()) != NULL)
		pcapi_batch_start(batch);
}

/*
 * A look at all destinations has failed: at each in a transaction of its own,
 * so that what stops one, such as somebody's lock on a row that expires, is
 * not in the way of the others.  True when none fails any more.
 */
static bool
poll_one_by_one(void)
{
	bool		all_well = true;
	dlist_iter	it;

	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);

		if (sender->next_poll_at > polled_at)
			all_well = false;
		else if (pcapi_transaction(poll_sender, sender))
		{
			sender->poll_failures = 0;
			sender->next_poll_at = 0;
			start_claimed();
		}
		else
		{
			pcapi_senders_rollback();
			sender->next_poll_at = GetCurrentTimestamp() + again_after(++sender->poll_failures, AGAIN_MAX_MS);
			all_well = false;
		}
	}
	return all_well;
}

static void
poll_and_start(void)
{
	static bool one_by_one = false;

	polled_at = GetCurrentTimestamp();
	if (!one_by_one && !pcapi_transaction(poll_all, NULL))
	{
		pcapi_senders_rollback();
		one_by_one = true;
	}
	if (one_by_one && !pcapi_transaction(load, NULL))
	{
		next_poll_at = polled_at + again_after(++poll_failures, AGAIN_MAX_MS);
		return;
	}
	poll_failures = 0;
	clock_went_back = false;
	if (one_by_one)
		one_by_one = !poll_one_by_one();
	else
		start_claimed();
	pcapi_verify_take();
	next_poll_at = next_poll(GetCurrentTimestamp());
}

/* A wake-up is worth a look at once only where something may start. */
static TimestampTz
poll_after_wakeup(TimestampTz now)
{
	dlist_iter	it;
	TimestampTz at = polled_at + POLL_GAP;

	if (pcapi_verify_asked())
		return now;
	if (poll_failures > 0)
		return next_poll_at;
	if (!may_send())
		return Min(at, next_poll_at);
	dlist_foreach(it, &pcapi_sender_list)
		at = Min(at, pcapi_sender_next_start(dlist_container(PcapiSender, node, it.cur), now));
	return Min(at, next_poll_at);
}

static void
publish_state(TimestampTz now)
{
	int			in_flight = pcapi_dispatch_in_flight();
	const char *state = in_flight > 0 ? "sending" : !pcapi_dispatch ? "dispatch off" :
		DefaultXactReadOnly ? "read-only" : hold_reason ? "held" : "idle";

	SpinLockAcquire(&pcapi_worker_state->mutex);
	pcapi_worker_state->last_cycle_at = now;
	pcapi_worker_state->in_flight = in_flight;
	strlcpy(pcapi_worker_state->state, state, sizeof(pcapi_worker_state->state));
	SpinLockRelease(&pcapi_worker_state->mutex);
}

long
pcapi_dispatch_cycle(bool woken, bool *spurious_wakeup)
{
	TimestampTz now;
	TimestampTz next;
	dlist_iter	it;

	if (may_send() != could_send)
	{
		could_send = may_send();
		next_poll_at = 0;
	}
	settle_answered();
	now = GetCurrentTimestamp();
	if (woken)
		next_poll_at = poll_after_wakeup(now);
	if (polled_at > now)
	{
		clock_went_back = true;
		pcapi_senders_clock_back();
		next_poll_at = 0;
	}
	*spurious_wakeup = woken && now < next_poll_at;
	if (now >= next_poll_at)
		poll_and_start();

	now = GetCurrentTimestamp();
	next = next_poll_at;
	dlist_foreach(it, &pcapi_sender_list)
	{
		PcapiSender *sender = dlist_container(PcapiSender, node, it.cur);
		dlist_iter	b;

		dlist_foreach(b, &sender->batches)
		{
			PcapiBatch *batch = dlist_container(PcapiBatch, node, b.cur);

			if (to_be_settled(batch))
				next = Min(next, batch->settle_at);
		}
	}
	publish_state(now);
	return next <= now ? 0 : (long) MS(next - now) + 1;
}
