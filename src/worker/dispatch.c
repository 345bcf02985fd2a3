/*
 * dispatch.c
 *	  The worker's cycle: settle answered batches, poll the queue, start
 *	  requests, schedule the next cycle.
 *
 *	pcapi_dispatch_cycle()
 *		settle_answered()		a transaction for each batch that is answered
 *		poll_and_start()		where a poll is due:
 *			poll_all()			one transaction: load the destinations, then
 *								claim batches for each one
 *			start_claimed()		after its commit: start their requests
 *
 * No transaction is open while requests are in flight.  If poll_all() fails,
 * each destination is polled in a transaction of its own, until none fails.
 *
 * Left to others: the destinations (sender.c), which events are claimed
 * (batch_fill.c), requests (batch_request.c), outcomes (batch_settle.c), and the
 * process around all this (main.c).
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
#include "worker/rescan.h"
#include "worker/sender.h"
#include "worker/transfer.h"
#include "worker/verify_send.h"
#include "worker/xact.h"

/* Interval of polls without a cause: nothing tells of prepared transactions and of the clock. */
#define SAFETY_POLL				(5 * USECS_PER_SEC)

/* Minimum interval of polls by wake-ups where no request may start. */
#define POLL_GAP				(200 * USECS_PER_SEC / 1000)

/* Maximum delay of a transaction that is repeated: one that failed (a full disk), or met a lock. */
#define XACT_RETRY_MAX_MS		8000

/* The same for rows that cannot be written (a damaged page), which lasts longer. */
#define SETTLE_RETRY_MAX_MS		60000

/* A destination that is done with so many ids more, but not more often than this, writes it down. */
#define DONE_STEP				1000
#define DONE_INTERVAL			(10 * USECS_PER_SEC)

static TimestampTz polled_at;	/* start of the last poll; 0: none yet */
static TimestampTz next_poll_at;
static int	poll_failures;		/* of loads, in a row */
static bool clock_went_back = false;	/* since the last poll that committed */
static bool could_send = true;	/* may_send() in the last cycle */
static bool draining = false;	/* start no request */

/* Whether this server is held (queue/hold.c): NULL where it sends. */
static char *hold_reason = NULL;
static bool hold_known = false; /* hold_reason was read */
static bool hold_stale = false; /* and is to be read again */

static void settle_answered(void);
static PcapiBatch *next_to_settle(void);
static bool needs_settling(const PcapiBatch *batch);
static void postpone_settling(PcapiBatch *failed);
static void keep_unsettled(PcapiBatch *batch);
static int64 retry_delay(int failures, int64 max_ms);
static void poll_and_start(void);
static void poll_all(void *arg);
static bool poll_one_by_one(void);
static void load_senders(void *arg);
static void poll_sender(void *arg);
static void keep_done_below(PcapiSender *sender);
static void reload_and_poll_sender(void *arg);
static void start_claimed(void);
static PcapiBatch *next_claimed(void);
static bool may_send(void);
static void check_hold(void);
static void notify_destinations(const char *status, const char *message);
static TimestampTz next_scheduled_poll(TimestampTz now);
static TimestampTz next_poll_after_wakeup(TimestampTz now);
static TimestampTz next_settling(TimestampTz before);
static void publish_state(TimestampTz now);
static void record_clock_skew(const PcapiBatch *batch);

/* ---- the cycle ---- */

long
pcapi_dispatch_cycle(bool woken, bool *spurious_wakeup)
{
	TimestampTz now;
	TimestampTz next;

	if (may_send() != could_send)
	{
		could_send = may_send();
		next_poll_at = 0;
	}
	settle_answered();
	now = GetCurrentTimestamp();
	if (woken)
		next_poll_at = next_poll_after_wakeup(now);
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
	next = next_settling(next_poll_at);
	publish_state(now);
	return next <= now ? 0 : (long) ((next - now) / 1000) + 1;
}

void
pcapi_dispatch_finish(PcapiRequest *request)
{
	if (request->transport == PCAPI_HTTP_ANSWERED)
		record_clock_skew(request->owner);
	pcapi_batch_finish(request->owner);
}

int
pcapi_dispatch_in_flight(void)
{
	int			n = 0;

	pcapi_foreach_sender(sender)
	{
		pcapi_foreach_batch(sender, batch)
			n += batch->state == PCAPI_BATCH_IN_FLIGHT;
	}
	return n;
}

void
pcapi_dispatch_drain(bool drain)
{
	draining = drain;
}

void
pcapi_dispatch_reloaded(void)
{
	hold_stale = true;
	next_poll_at = 0;
}

bool
pcapi_dispatch_is_idle(TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();

	*next = DT_NOEND;
	if (polled_at == 0 || poll_failures > 0)
		return false;
	pcapi_foreach_sender(sender)
	{
		TimestampTz start = pcapi_sender_next_start(sender, now);

		pcapi_foreach_batch(sender, batch)
		{
			/*
			 * Rows that are locked do not keep the slot from a database that
			 * waits for it: their events are sent again, with a warning.
			 */
			if (batch->state != PCAPI_BATCH_SPLIT &&
				!(batch->state == PCAPI_BATCH_PARTLY_SETTLED && draining))
				return false;
		}
		if (start == DT_NOEND || !pcapi_dispatch)
			continue;

		/*
		 * Where no request could start, any number of events may wait.  Where
		 * one could, the last poll found none but those that are due later.
		 */
		if (start > polled_at || !dlist_is_empty(&sender->batches) || draining)
			*next = Min(*next, Max(start, now));
		if (sender->next_due != 0)
			*next = Min(*next, Max(sender->next_due, start));
	}
	return true;
}

/* ---- settle ---- */

/*
 * Settle each batch whose request has ended.  If that fails (a full disk), it is
 * repeated, later each time: the outcomes are kept in memory, so nothing is sent
 * again for it.
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
			postpone_settling(batch);
			continue;
		}
		if (first && batch->paused)
			ereport(LOG,
					(errmsg("destination \"%s\" is paused: %s",
							batch->sender->config.name, batch->pause_reason),
					 errhint("Its events wait for pinterest_capi.configure_destination or pinterest_capi.resume_destination; pinterest_capi.doctor() tells which.")));
		if (pcapi_batch_settle_committed(batch))
			pcapi_batch_free(batch);
		else
			keep_unsettled(batch);
		next_poll_at = 0;
	}
}

static PcapiBatch *
next_to_settle(void)
{
	TimestampTz now = GetCurrentTimestamp();

	pcapi_foreach_sender(sender)
	{
		pcapi_foreach_batch(sender, batch)
		{
			if (needs_settling(batch) && batch->next_settle_at <= now)
				return batch;
		}
	}
	return NULL;
}

/* Return whether the outcomes of the batch's events are known, and not all of them are written. */
static bool
needs_settling(const PcapiBatch *batch)
{
	return batch->state == PCAPI_BATCH_ANSWERED || batch->state == PCAPI_BATCH_PARTLY_SETTLED;
}

/*
 * Postpone the settling of a batch whose transaction failed, and of its
 * destination's other batches.  The cause, such as a lock, is likely to stop
 * these too, and other destinations shall not wait for each of them.
 */
static void
postpone_settling(PcapiBatch *failed)
{
	failed->next_settle_at = GetCurrentTimestamp() + retry_delay(++failed->settle_failures, XACT_RETRY_MAX_MS);
	pcapi_foreach_batch(failed->sender, batch)
	{
		if (needs_settling(batch))
			batch->next_settle_at = Max(batch->next_settle_at, failed->next_settle_at);
	}
}

/*
 * Keep a batch some of whose events could not be settled, until they can be.
 * That costs other events nothing.  The second failure is logged; a lock that
 * is released a moment later is not.
 */
static void
keep_unsettled(PcapiBatch *batch)
{
	batch->next_settle_at = GetCurrentTimestamp() +
		retry_delay(++batch->settle_failures, batch->settle_problem ? SETTLE_RETRY_MAX_MS : XACT_RETRY_MAX_MS);
	if (batch->settle_failures == 2)
		ereport(LOG,
				(errmsg_plural("what became of %d event for destination \"%s\" cannot be written down for now: %s",
							   "what became of %d events for destination \"%s\" cannot be written down for now: %s",
							   batch->n, batch->n, batch->sender->config.name,
							   batch->settle_problem ? batch->settle_problem : PCAPI_LOCKED),
				 errdetail("The worker remembers it and tries again; other events are sent meanwhile."),
				 errhint("pinterest_capi.doctor() names them as long as it lasts.")));
}

/* Return the delay in microseconds after this many failures in a row: doubled each time. */
static int64
retry_delay(int failures, int64 max_ms)
{
	return Min((int64) PCAPI_BACKOFF_MIN_MS << Min(failures - 1, 16), max_ms) * 1000;
}

/* ---- poll ---- */

/* Poll all destinations, and start the requests of the batches that this claims. */
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
	if (one_by_one && !pcapi_transaction(load_senders, NULL))
	{
		next_poll_at = polled_at + retry_delay(++poll_failures, XACT_RETRY_MAX_MS);
		return;
	}
	poll_failures = 0;
	clock_went_back = false;
	if (one_by_one)
		one_by_one = !poll_one_by_one();
	else
		start_claimed();
	pcapi_verify_start();
	next_poll_at = next_scheduled_poll(GetCurrentTimestamp());
}

/* In a transaction: load the destinations, then poll each one. */
static void
poll_all(void *arg)
{
	load_senders(NULL);
	pcapi_foreach_sender(sender)
		poll_sender(sender);
}

/*
 * Poll each destination in a transaction of its own, after a poll of all has
 * failed.  So what stops one, such as a lock on a row that expires, does not
 * stop the others.  Return true when none fails any more.
 */
static bool
poll_one_by_one(void)
{
	bool		all_succeeded = true;

	pcapi_foreach_sender(sender)
	{
		if (sender->next_poll_at > polled_at)
			all_succeeded = false;
		else if (pcapi_transaction(reload_and_poll_sender, sender))
		{
			sender->poll_failures = 0;
			sender->next_poll_at = 0;
			start_claimed();
		}
		else
		{
			pcapi_senders_rollback();
			sender->next_poll_at = GetCurrentTimestamp() + retry_delay(++sender->poll_failures, XACT_RETRY_MAX_MS);
			all_succeeded = false;
		}
	}
	return all_succeeded;
}

/* In a transaction: load the destinations, and check whether this server may send. */
static void
load_senders(void *arg)
{
	if (clock_went_back && !pcapi_replicates)
		pcapi_fix_future_times();
	pcapi_senders_load();
	check_hold();
}

/* In a transaction: claim as many batches for one destination as requests may start. */
static void
poll_sender(void *arg)
{
	PcapiSender *sender = arg;

	if (!sender->exists || !sender->config.ready || !may_send())
		return;
	pcapi_sender_rescan(sender);
	while (pcapi_sender_next_start(sender, GetCurrentTimestamp()) <= GetCurrentTimestamp())
		if (!pcapi_sender_fill_batch(sender))
			break;
	sender->next_due = pcapi_next_due(sender->config.dest);
	keep_done_below(sender);
}

/*
 * In a transaction: write how far the log is done with, which each settling does too.  A
 * destination with few events among many of others would start far behind after a
 * restart, and what counts what waits would read far more than that.
 */
static void
keep_done_below(PcapiSender *sender)
{
	int64		done = pcapi_sender_done_below(sender, NULL);
	TimestampTz now = GetCurrentTimestamp();

	if (done - sender->config.done_below < DONE_STEP || (now >= sender->done_at && now - sender->done_at < DONE_INTERVAL))
		return;
	pcapi_destination_done(sender->config.dest, sender->config.life, done);
	sender->done_at = now;
}

/*
 * In a transaction of the sender's own: the settings are read once more, since an
 * event that this transaction sees may have been tracked after a change of them
 * that the transaction before could not see.
 */
static void
reload_and_poll_sender(void *arg)
{
	PcapiSender *sender = arg;

	if (sender->exists && pcapi_sender_reload(sender))
		poll_sender(sender);
}

/* The claiming transaction is committed: start the requests. */
static void
start_claimed(void)
{
	PcapiBatch *batch;

	/* A shutdown interrupts the commit's wait for a standby; then no request may start. */
	CHECK_FOR_INTERRUPTS();
	pcapi_senders_commit();
	while ((batch = next_claimed()) != NULL)
		pcapi_batch_start(batch);
}

static PcapiBatch *
next_claimed(void)
{
	pcapi_foreach_sender(sender)
	{
		pcapi_foreach_batch(sender, batch)
		{
			if (batch->state == PCAPI_BATCH_CLAIMED)
				return batch;
		}
	}
	return NULL;
}

/* ---- whether anything is sent ---- */

/* A server that is read-only by default may be a copy, so it sends nothing of what waits there. */
static bool
may_send(void)
{
	return pcapi_dispatch && !DefaultXactReadOnly && !draining && hold_known && hold_reason == NULL && !pcapi_replicates;
}

/*
 * In a transaction: check whether this server is held, and tell the log and
 * listeners of a change.  A claim or a setting ends a hold, so a server that is
 * held checks with each poll.  Only a setting or a new subscription begins one,
 * so a server that sends checks after a reload.  If the poll's transaction
 * fails, listeners miss the NOTIFY.
 */
static void
check_hold(void)
{
	const char *remedy;
	char	   *reason;

	if (pcapi_replicating_subscription() != NULL)
		pcapi_replicates = true;
	if (hold_known && !hold_stale && hold_reason == NULL && !pcapi_replicates)
		return;
	pcapi_sending_server_recognize();
	reason = pcapi_hold_reason(&remedy);
	if (reason && (hold_reason == NULL || strcmp(reason, hold_reason) != 0))
	{
		ereport(LOG,
				(errmsg("nothing is sent from this server: %s", reason),
				 errhint("%s pinterest_capi.doctor() tells more.", remedy)));
		notify_destinations("not ready", reason);
	}
	else if (reason == NULL && hold_reason)
	{
		ereport(LOG, (errmsg("this server sends again")));
		notify_destinations("ready", "what waited is sent");
	}
	if (hold_reason)
		pfree(hold_reason);
	hold_reason = reason ? MemoryContextStrdup(TopMemoryContext, reason) : NULL;
	hold_known = true;
	hold_stale = false;
}

/* Send a NOTIFY for each complete destination. */
static void
notify_destinations(const char *status, const char *message)
{
	pcapi_foreach_sender(sender)
	{
		if (sender->exists && sender->config.sendable)
			pcapi_notify(sender->config.name, status, message);
	}
}

/* ---- the next cycle ---- */

/* Return when a poll will find something to do that sets no latch. */
static TimestampTz
next_scheduled_poll(TimestampTz now)
{
	TimestampTz at = polled_at + SAFETY_POLL;

	if (!may_send())
		return at;
	pcapi_foreach_sender(sender)
	{
		TimestampTz start = pcapi_sender_next_start(sender, now);

		/* An answer or an operator lets it start, and both make a poll due. */
		if (start == DT_NOEND)
			continue;
		if (start > polled_at)
			at = Min(at, start);
		if (sender->next_due != 0)
			at = Min(at, Max(sender->next_due, start));
		if (sender->cursor.high_water > sender->cursor.low_water)
			at = Min(at, sender->cursor.rescan_at);
	}
	return at;
}

/* Return when to poll after a wake-up: at once only where a request may start. */
static TimestampTz
next_poll_after_wakeup(TimestampTz now)
{
	TimestampTz at = polled_at + POLL_GAP;

	if (pcapi_verify_asked())
		return now;
	if (poll_failures > 0)
		return next_poll_at;
	if (!may_send())
		return Min(at, next_poll_at);
	pcapi_foreach_sender(sender)
		at = Min(at, pcapi_sender_next_start(sender, now));
	return Min(at, next_poll_at);
}

/* Return when the next batch is to be settled, if that is earlier. */
static TimestampTz
next_settling(TimestampTz before)
{
	pcapi_foreach_sender(sender)
	{
		pcapi_foreach_batch(sender, batch)
		{
			if (needs_settling(batch))
				before = Min(before, batch->next_settle_at);
		}
	}
	return before;
}

/* ---- what sessions see ---- */

/* Publish the cycle's time, the state and the requests in flight for worker_status. */
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

/*
 * Publish how far this clock is ahead of the API's.  The answer was dated at
 * some moment between the request's start and now, and in whole seconds, so
 * only what lies outside of that is skew.
 */
static void
record_clock_skew(const PcapiBatch *batch)
{
	int64		seconds = batch->request.date;
	TimestampTz dated;
	TimestampTz now = GetCurrentTimestamp();
	int64		ahead = 0;

	if (seconds == 0)
		return;
	dated = time_t_to_timestamptz(seconds);
	if (batch->sent_at > dated + USECS_PER_SEC)
		ahead = batch->sent_at - (dated + USECS_PER_SEC);
	else if (now < dated)
		ahead = now - dated;

	SpinLockAcquire(&pcapi_worker_state->mutex);
	pcapi_worker_state->clock_ahead = ahead;
	pcapi_worker_state->clock_seen_at = now;
	SpinLockRelease(&pcapi_worker_state->mutex);
}
