/*
 * verdict.c
 *	  Apply a verdict: what an answer means for a batch's events and for its
 *	  destination.
 *
 * This is decided once, when the request ends, and kept in the batch and its
 * sender.  So settling can be repeated as often as it fails.  No transaction is
 * open here.
 *
 * Left to others: what the answer says (response.c), writing the outcomes
 * (batch_settle.c).
 */
#include "pinterest_capi.h"

#include "common/pg_prng.h"
#include "core/backoff.h"
#include "queue/destination_config.h"
#include "queue/outcome.h"
#include "utils/timestamp.h"
#include "worker/batch.h"
#include "worker/response.h"
#include "worker/sender.h"
#include "worker/verdict.h"

/* Pinterest counts an event as offline that it receives later than this after the event's time. */
#define LATE_AFTER		USECS_PER_HOUR

static void apply_blocked_verdict(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random);
static void apply_entries(PcapiBatch *batch, const PcapiAnswer *answer);
static void fail_events(PcapiBatch *batch, const PcapiAnswer *answer);
static void retry_events(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random);
static void release_events(PcapiBatch *batch, const PcapiAnswer *answer, bool give_up);
static PcapiEventOutcome *add_outcome(PcapiBatch *batch, int i, PcapiOutcome outcome, const PcapiAnswer *answer);
static bool others_accepted(const PcapiBatch *batch);
static void split(PcapiBatch *batch);
static void release_splits(PcapiSender *sender);
static bool is_news(const PcapiBatch *batch);
static bool unreadable_too_often(PcapiBatch *batch);
static void back_off(PcapiBatch *batch, uint64 random, int64 wait_ms, const char *reason);
static void pause_sender(PcapiBatch *batch, const char *reason);
static void end_backoff(PcapiBatch *batch);

void
pcapi_apply_verdict(PcapiBatch *batch, const PcapiAnswer *answer)
{
	PcapiSender *sender = batch->sender;
	uint64		random = pg_prng_uint64(&pg_global_prng_state);

	batch->outcomes = palloc(sizeof(PcapiEventOutcome) * Max(batch->n, 1));
	batch->written = palloc(sizeof(PcapiWritten) * Max(batch->n, 1));
	batch->n_outcomes = 0;
	if (answer->message)
		batch->error = pstrdup(answer->message);

	switch (answer->verdict)
	{
		case PCAPI_VERDICT_ENTRIES:
			apply_entries(batch, answer);
			sender->unreadable = sender->blocked = 0;
			sender->last_verdicts_start = Max(sender->last_verdicts_start, batch->sent_at);
			break;
		case PCAPI_VERDICT_REFUSED:
			sender->blocked = 0;
			if (batch->n > 1)
				split(batch);
			else
				fail_events(batch, answer);
			break;
		case PCAPI_VERDICT_BLOCKED:
			apply_blocked_verdict(batch, answer, random);
			break;
		case PCAPI_VERDICT_RETRY:
		case PCAPI_VERDICT_UNKNOWN:
			retry_events(batch, answer, random);
			if (answer->unread && unreadable_too_often(batch))
				pause_sender(batch, psprintf("%s, %d times in a row; the events may have been processed", answer->message, PCAPI_MAX_UNREAD));
			else
				back_off(batch, random, answer->wait_ms, answer->message);
			break;
		case PCAPI_VERDICT_THROTTLED:
		case PCAPI_VERDICT_UNREACHABLE:
			release_events(batch, answer, true);
			back_off(batch, random, answer->wait_ms, answer->message);
			break;
		case PCAPI_VERDICT_PAUSE:
			release_events(batch, answer, false);
			pause_sender(batch, answer->message);
			break;
	}

	/* The API's answer about events ends a backoff, whatever it says of them. */
	batch->recovered = (answer->verdict == PCAPI_VERDICT_ENTRIES || answer->verdict == PCAPI_VERDICT_REFUSED) &&
		is_news(batch);
	if (batch->recovered && sender->refusals > 0)
		end_backoff(batch);
}

/*
 * Something on the way refuses the batch, as the API refuses one with a bad
 * event.  If it objects to an event (a firewall to a search term), splitting
 * finds that event as usual.  If it objects to all of them, none fails for it.
 */
static void
apply_blocked_verdict(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random)
{
	if (++batch->sender->blocked >= PCAPI_MAX_BLOCKED)
	{
		release_events(batch, answer, false);
		pause_sender(batch, psprintf("%s, %d times in a row", answer->message, PCAPI_MAX_BLOCKED));
	}
	else if (batch->n > 1)
		split(batch);
	else if (others_accepted(batch))
		fail_events(batch, answer);
	else
	{
		retry_events(batch, answer, random);
		back_off(batch, random, answer->wait_ms, answer->message);
	}
}

/* ---- the events ---- */

/* Take each event's outcome from its entry in the answer. */
static void
apply_entries(PcapiBatch *batch, const PcapiAnswer *answer)
{
	for (int i = 0; i < batch->n; i++)
	{
		const PcapiBatchEvent *event = &batch->events[i];
		const PcapiEntry *entry = &answer->entries[i];
		PcapiEventOutcome *outcome = add_outcome(batch, i, entry->failed ? PCAPI_FAILED : PCAPI_SENT, answer);

		outcome->error = entry->error;
		outcome->warning = entry->warning;
		if (entry->failed)
		{
			if (outcome->error == NULL)
				outcome->error = "refused without a message";
			if (batch->error == NULL)
				batch->error = pstrdup(outcome->error);
			continue;
		}
		batch->accepted = true;
		if (!event->offline && batch->sent_at - event->event_time > LATE_AFTER)
			outcome->warning = entry->warning ?
				psprintf("%s\n%s", entry->warning, PCAPI_WARNING_LATE) : PCAPI_WARNING_LATE;
	}
	if (answer->wait_ms > 0)
		batch->sender->retry_after = GetCurrentTimestamp() + answer->wait_ms * 1000;
}

/* Fail all events. */
static void
fail_events(PcapiBatch *batch, const PcapiAnswer *answer)
{
	for (int i = 0; i < batch->n; i++)
		add_outcome(batch, i, PCAPI_FAILED, answer);
}

/* Count an attempt for all events.  Retry those that are within retry_for, and fail the others. */
static void
retry_events(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random)
{
	for (int i = 0; i < batch->n; i++)
	{
		const PcapiBatchEvent *event = &batch->events[i];
		TimestampTz first = event->first_attempt_at ? event->first_attempt_at : batch->sent_at;
		bool		over = (GetCurrentTimestamp() - first >= batch->sender->config.retry_for);
		PcapiEventOutcome *outcome = add_outcome(batch, i, over ? PCAPI_FAILED : PCAPI_RETRY, answer);

		outcome->delay_ms = Max(pcapi_backoff_ms(event->attempts + 1, random), answer->wait_ms);
		if (over)
			outcome->reason = "retries used up";
		if (answer->verdict == PCAPI_VERDICT_UNKNOWN)
			outcome->warning = PCAPI_WARNING_UNKNOWN;
	}
}

/*
 * Requeue the events without counting an attempt, since the API accepted none
 * of them.  With give_up, fail those that have waited for a failing destination
 * for retry_for.
 */
static void
release_events(PcapiBatch *batch, const PcapiAnswer *answer, bool give_up)
{
	const PcapiDestinationConfig *config = &batch->sender->config;

	for (int i = 0; i < batch->n; i++)
	{
		const PcapiBatchEvent *event = &batch->events[i];
		TimestampTz since = Max(event->waits_since, config->failing_since);

		if (give_up && config->failing_since != 0 &&
			GetCurrentTimestamp() - since >= config->retry_for)
		{
			PcapiEventOutcome *outcome = add_outcome(batch, i, PCAPI_FAILED, answer);

			outcome->attempted = false;
			outcome->reason = "retries used up";
		}
		else
			pcapi_sender_requeue(batch->sender, event->id);
	}
}

/* Add an outcome for the batch's event i, as of an attempt. */
static PcapiEventOutcome *
add_outcome(PcapiBatch *batch, int i, PcapiOutcome outcome, const PcapiAnswer *answer)
{
	PcapiEventOutcome *added = &batch->outcomes[batch->n_outcomes++];

	memset(added, 0, sizeof(PcapiEventOutcome));
	added->id = batch->events[i].id;
	added->tid = batch->events[i].tid;
	added->xmin = batch->events[i].xmin;
	added->created_at = batch->events[i].created_at;
	added->counted = batch->events[i].counted;
	added->outcome = outcome;
	added->attempted = true;
	added->test_mode = batch->test_mode;
	added->http_status = answer->http_status;
	added->error = answer->message;
	return added;
}

/*
 * Return whether the destination accepted other events since this batch's one
 * event was first refused.  If so, the event is the cause of its refusal.
 */
static bool
others_accepted(const PcapiBatch *batch)
{
	TimestampTz since = batch->events[0].first_attempt_at ? batch->events[0].first_attempt_at : batch->refused_since;

	return since != 0 && batch->sender->last_verdicts_start >= since;
}

/* ---- refused batches ---- */

/* Split a refused batch into two, which are sent next.  The events' outcomes are theirs to decide. */
static void
split(PcapiBatch *batch)
{
	int			middle = batch->n / 2;

	elog(DEBUG1, "batch of %d events for destination \"%s\" is split into %d and %d",
		 batch->n, batch->sender->config.name, middle, batch->n - middle);
	for (int i = 0; i < 2; i++)
	{
		int			n = i == 0 ? middle : batch->n - middle;
		PcapiBatch *part = pcapi_batch_create(batch->sender, 0);

		part->state = PCAPI_BATCH_SPLIT;
		part->refused_since = batch->refused_since ? batch->refused_since : batch->sent_at;
		part->n = n;
		part->first_fresh = batch->first_fresh;
		part->ids = MemoryContextAlloc(part->context, sizeof(int64) * n);
		memcpy(part->ids, batch->ids + (i == 0 ? 0 : middle), sizeof(int64) * n);
	}
}

/* Requeue the events of all parts of refused batches, and free the parts. */
static void
release_splits(PcapiSender *sender)
{
	pcapi_foreach_batch(sender, batch)
	{
		if (batch->state != PCAPI_BATCH_SPLIT)
			continue;
		for (int i = 0; i < batch->n; i++)
			pcapi_sender_requeue(sender, batch->ids[i]);
		pcapi_batch_free(batch);
	}
}

/* ---- the destination ---- */

/*
 * Return whether the answer tells more than the destination's last refusal.  A
 * request that was in flight at that time tells nothing of what the API accepts
 * now.
 */
static bool
is_news(const PcapiBatch *batch)
{
	const PcapiSender *sender = batch->sender;

	return sender->refusals == 0 || batch->sent_at >= sender->refused_at;
}

/*
 * Count a success that cannot be read, and return whether there are too many in
 * a row.  They come from a portal, a proxy or an API that has changed, and each
 * time the events may have been processed.  Requests that were in flight
 * together count once.
 */
static bool
unreadable_too_often(PcapiBatch *batch)
{
	if (is_news(batch))
		batch->sender->unreadable++;
	return batch->sender->unreadable >= PCAPI_MAX_UNREAD;
}

/*
 * Back off from the destination, since it accepts nothing for now: longer each
 * time.  Requests that were in flight together count once.
 */
static void
back_off(PcapiBatch *batch, uint64 random, int64 wait_ms, const char *reason)
{
	PcapiSender *sender = batch->sender;
	TimestampTz now = GetCurrentTimestamp();

	if (sender->refusals == 0)
		ereport(LOG,
				(errmsg("destination \"%s\" takes no events for now: %s", sender->config.name, reason),
				 errdetail("Events wait and are tried again."),
				 errhint("If it lasts, pinterest_capi.doctor() tells what to look at.")));
	if (is_news(batch))
	{
		sender->refusals++;
		sender->refused_at = now;
	}
	batch->backoff_ms = Max(pcapi_backoff_ms(sender->refusals, random), wait_ms);
	batch->backoff_reason = pstrdup(reason);
	sender->config.backoff_until = Max(sender->config.backoff_until, now + batch->backoff_ms * 1000);
}

/* End the backoff of a destination that accepts events again. */
static void
end_backoff(PcapiBatch *batch)
{
	PcapiSender *sender = batch->sender;

	sender->refusals = 0;
	sender->config.backoff_until = 0;
	ereport(LOG,
			(errmsg("destination \"%s\" takes events again", sender->config.name)));
}

/*
 * Pause the destination: it sends nothing until an operator acts.  Its events
 * are requeued, to be read then.
 */
static void
pause_sender(PcapiBatch *batch, const char *reason)
{
	PcapiSender *sender = batch->sender;

	release_splits(sender);
	batch->pause_reason = pstrdup(reason);
	sender->config.ready = false;
	sender->unreadable = sender->blocked = 0;
}
