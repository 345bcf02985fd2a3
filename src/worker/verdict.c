/*
 * verdict.c
 *	  Apply a verdict: what an answer means for the events of a batch and for its
 *  destination.
 *
 * It is worked out once, when the answer is there, so that settling can be
 * repeated as often as it fails.
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
#include "worker/sending.h"
#include "worker/verdict.h"

/* Pinterest counts what comes later as offline */
#define LATE_AFTER		USECS_PER_HOUR

/*
 * The destination as a whole could not take it: wait, longer each time.
 * Requests that went out before the last refusal say nothing new.
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
	if (sender->refusals == 0 || batch->sent_at >= sender->refused_at)
	{
		sender->refusals++;
		sender->refused_at = now;
	}
	batch->backoff_ms = Max(pcapi_backoff_ms(sender->refusals, random), wait_ms);
	batch->backoff_reason = pstrdup(reason);
	sender->config.backoff_until = Max(sender->config.backoff_until, now + batch->backoff_ms * 1000);
}

static PcapiEventOutcome *
settle_event(PcapiBatch *batch, int i, PcapiOutcome outcome, const PcapiAnswer *answer)
{
	PcapiEventOutcome *s = &batch->settled[batch->n_settled++];

	memset(s, 0, sizeof(PcapiEventOutcome));
	s->id = batch->events[i].id;
	s->tid = batch->events[i].tid;
	s->xmin = batch->events[i].xmin;
	s->created_at = batch->events[i].created_at;
	s->outcome = outcome;
	s->attempted = true;
	s->test_mode = batch->test_mode;
	s->http_status = answer->http_status;
	s->error = answer->message;
	return s;
}

static void
read_entries(PcapiBatch *batch, const PcapiAnswer *answer)
{
	for (int i = 0; i < batch->n; i++)
	{
		const PcapiBatchEvent *event = &batch->events[i];
		const PcapiEntry *entry = &answer->entries[i];
		PcapiEventOutcome *s = settle_event(batch, i, entry->failed ? PCAPI_FAILED : PCAPI_SENT, answer);

		s->error = entry->error;
		s->warning = entry->warning;
		if (entry->failed)
		{
			if (s->error == NULL)
				s->error = "refused without a message";
			if (batch->error == NULL)
				batch->error = pstrdup(s->error);
			continue;
		}
		batch->accepted = true;
		if (!event->offline && batch->sent_at - event->event_time > LATE_AFTER)
			s->warning = entry->warning ?
				psprintf("%s\n%s", entry->warning, PCAPI_WARNING_LATE) : PCAPI_WARNING_LATE;
	}
	if (answer->wait_ms > 0)
		batch->sender->wait_until = GetCurrentTimestamp() + answer->wait_ms * 1000;
}

/* An attempt that came to nothing; the last one once retry_for is over. */
static void
retry_events(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random)
{
	for (int i = 0; i < batch->n; i++)
	{
		const PcapiBatchEvent *event = &batch->events[i];
		TimestampTz first = event->first_attempt_at ? event->first_attempt_at : batch->sent_at;
		bool		over = (GetCurrentTimestamp() - first >= batch->sender->config.retry_for);
		PcapiEventOutcome *s = settle_event(batch, i, over ? PCAPI_FAILED : PCAPI_RETRY, answer);

		s->delay_ms = Max(pcapi_backoff_ms(event->attempts + 1, random), answer->wait_ms);
		if (over)
			s->reason = "retries used up";
		if (answer->verdict == PCAPI_VERDICT_UNKNOWN)
			s->warning = PCAPI_WARNING_UNKNOWN;
	}
}

/*
 * Nothing was taken: the events wait as if nothing had happened, unless the
 * destination has been out of reach for longer than they may be retried.
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
			PcapiEventOutcome *s = settle_event(batch, i, PCAPI_FAILED, answer);

			s->attempted = false;
			s->reason = "retries used up";
		}
		else
			pcapi_sender_requeue(batch->sender, event->id);
	}
}

static void
fail_events(PcapiBatch *batch, const PcapiAnswer *answer)
{
	for (int i = 0; i < batch->n; i++)
		settle_event(batch, i, PCAPI_FAILED, answer);
}

static void
split(PcapiBatch *batch)
{
	int			middle = batch->n / 2;

	elog(DEBUG1, "batch of %d events for destination \"%s\" is split into %d and %d",
		 batch->n, batch->sender->config.name, middle, batch->n - middle);
	for (int part = 0; part < 2; part++)
	{
		int			n = part == 0 ? middle : batch->n - middle;
		PcapiBatch *half = pcapi_batch_create(batch->sender, 0);

		half->state = PCAPI_BATCH_SPLIT;
		half->refused_since = batch->refused_since ? batch->refused_since : batch->sent_at;
		half->n = n;
		half->ids = MemoryContextAlloc(half->context, sizeof(int64) * n);
		memcpy(half->ids, batch->ids + (part == 0 ? 0 : middle), sizeof(int64) * n);
	}
}

/* What waits in halves is read again with the rest once somebody has acted. */
static void
release_halves(PcapiSender *sender)
{
	dlist_mutable_iter it;

	dlist_foreach_modify(it, &sender->batches)
	{
		PcapiBatch *half = dlist_container(PcapiBatch, node, it.cur);

		if (half->state != PCAPI_BATCH_SPLIT)
			continue;
		for (int i = 0; i < half->n; i++)
			pcapi_sender_requeue(sender, half->ids[i]);
		pcapi_batch_free(half);
	}
}

/* Not before somebody has acted: what waits is read again after that. */
static void
pause_sender(PcapiBatch *batch, const char *reason)
{
	PcapiSender *sender = batch->sender;

	release_halves(sender);
	batch->pause_reason = pstrdup(reason);
	sender->config.ready = false;
	sender->unread = sender->blocked = 0;
}

/*
 * A success that can't be read, as often as that comes from a portal, a proxy
 * or an API that has changed: what was sent may have been processed each time.
 * Requests that went out before the last refusal are of the same round.
 */
static bool
unread_too_often(PcapiBatch *batch)
{
	PcapiSender *sender = batch->sender;

	if (sender->refusals == 0 || batch->sent_at >= sender->refused_at)
		sender->unread++;
	return sender->unread >= PCAPI_MAX_UNREAD;
}

/*
 * Whether others were accepted since the event was first refused, so that it is
 * the event.
 */
static bool
others_pass(const PcapiBatch *batch)
{
	TimestampTz since = batch->events[0].first_attempt_at ? batch->events[0].first_attempt_at : batch->refused_since;

	return since != 0 && batch->sender->heard_at >= since;
}

/*
 * Refused like a batch with a bad event in it, but by something on the way.  If
 * it takes offence at an event, that is found as usual; if at all of them, none
 * is failed for it.
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
	else if (others_pass(batch))
		fail_events(batch, answer);
	else
	{
		retry_events(batch, answer, random);
		back_off(batch, random, answer->wait_ms, answer->message);
	}
}

void
pcapi_apply_verdict(PcapiBatch *batch, const PcapiAnswer *answer)
{
	PcapiSender *sender = batch->sender;
	uint64		random = pg_prng_uint64(&pg_global_prng_state);

	batch->settled = palloc(sizeof(PcapiEventOutcome) * Max(batch->n, 1));
	batch->written = palloc(sizeof(PcapiWritten) * Max(batch->n, 1));
	batch->n_settled = 0;
	if (answer->message)
		batch->error = pstrdup(answer->message);

	switch (answer->verdict)
	{
		case PCAPI_VERDICT_ENTRIES:
			read_entries(batch, answer);
			sender->unread = sender->blocked = 0;
			sender->heard_at = Max(sender->heard_at, batch->sent_at);
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
			if (answer->unread && unread_too_often(batch))
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

	/*
	 * The API's answer about events is one, whatever it says of them.  But a
	 * request that was out already when another was refused says nothing of
	 * what the API takes now.
	 */
	batch->recovered = (answer->verdict == PCAPI_VERDICT_ENTRIES || answer->verdict == PCAPI_VERDICT_REFUSED) &&
		(sender->refusals == 0 || batch->sent_at >= sender->refused_at);
	if (batch->recovered && sender->refusals > 0)
	{
		sender->refusals = 0;
		sender->config.backoff_until = 0;
		ereport(LOG,
				(errmsg("destination \"%s\" takes events again", sender->config.name)));
	}
}
