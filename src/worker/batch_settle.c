/*
 * batch_settle.c
 *	  Settle a batch: write the outcomes of its events and the state of its
 *	  destination, and delete its lease.
 *
 * A transaction settles one batch.  It can be repeated as often as it fails,
 * since what is written was decided before (verdict.c).  Rows that are locked,
 * or cannot be written, keep their lease and are settled later.  The leases of an
 * earlier worker are settled the same way.
 *
 * Left to others: the statements (src/queue/settle.c, settle_fast.c,
 * destination_state.c), when a failed settling is repeated (dispatch.c).
 */
#include "pinterest_capi.h"

#include "queue/dequeue_new.h"
#include "queue/destination_config.h"
#include "queue/destination_state.h"
#include "queue/lease.h"
#include "queue/outcome.h"
#include "queue/settle.h"
#include "queue/statistics_count.h"
#include "worker/batch.h"
#include "worker/batch_request.h"
#include "worker/batch_settle.h"
#include "worker/sender.h"
#include "worker/token.h"

static void count_settled(const PcapiBatch *batch);
static void settle_destination(PcapiBatch *batch, bool all_written);
static bool credentials_replaced(const PcapiBatch *batch);

void
pcapi_batch_settle(void *arg)
{
	PcapiBatch *batch = arg;
	MemoryContext old;
	char	   *problem;
	int			unsettled;

	unsettled = pcapi_settle(batch->sender->config.dest, batch->lease, batch->sent_at, batch->outcomes,
							 batch->n_outcomes, batch->written, &problem);
	old = MemoryContextSwitchTo(batch->context);
	batch->settle_problem = unsettled > 0 && problem ? pstrdup(problem) : NULL;
	MemoryContextSwitchTo(old);

	if (batch->sender->exists)
		count_settled(batch);

	/*
	 * The first settling writes the destination's state.  Nothing is written
	 * for a dropped destination: its row is kept for a later one of the same
	 * name, which starts a new life.
	 */
	if (batch->sender->exists && batch->state == PCAPI_BATCH_ANSWERED)
	{
		bool		all_written = batch->n_outcomes == batch->n;

		for (int i = 0; i < batch->n_outcomes; i++)
			all_written &= batch->written[i] == PCAPI_WRITTEN;
		settle_destination(batch, all_written);
	}
}

/* Count the events that were sent, and those that failed. */
static void
count_settled(const PcapiBatch *batch)
{
	int			sent = 0;
	int			failed = 0;

	for (int i = 0; i < batch->n_outcomes; i++)
	{
		if (batch->written[i] != PCAPI_WRITTEN)
			continue;
		sent += batch->outcomes[i].outcome == PCAPI_SENT;
		failed += batch->outcomes[i].outcome == PCAPI_FAILED;
	}
	if (sent > 0 || failed > 0)
		pcapi_destination_count(batch->sender->config.dest, batch->life, sent, failed);
}

/* Write what the batch's answer means for its destination.  all_written: none of its events waits any more, or all are retries. */
static void
settle_destination(PcapiBatch *batch, bool all_written)
{
	const PcapiDestinationConfig *config = &batch->sender->config;

	if (batch->accepted || batch->recovered)
		pcapi_destination_taken(config->dest, batch->life, batch->accepted, batch->recovered,
								pcapi_sender_done_below(batch->sender, all_written ? batch : NULL));
	if (batch->pause_reason && !credentials_replaced(batch))
		batch->paused = pcapi_destination_pause(config->dest, batch->life, config->name, batch->pause_reason);
	else if (batch->backoff_reason)
		pcapi_destination_backoff(config->dest, batch->life, batch->backoff_ms, batch->backoff_reason);
	else if (batch->error)
		pcapi_destination_error(config->dest, batch->life, batch->error);
}

/*
 * Return whether the token or the URL was replaced while the request was in
 * flight.  Then the refusal tells nothing of those that are stored now.  The
 * lock on the destination's state keeps configure_destination from replacing
 * them before this transaction has ended.
 */
static bool
credentials_replaced(const PcapiBatch *batch)
{
	ListCell   *lc;

	pcapi_destination_lock(batch->sender->config.dest);
	foreach(lc, pcapi_destination_configs(batch->sender->config.dest))
	{
		PcapiDestinationConfig *now = lfirst(lc);
		char	   *problem = NULL;
		char	   *token;
		bool		replaced;

		if (!now->sendable)
			return false;
		token = pcapi_read_token(now, &problem);
		if (token == NULL)
			return false;
		replaced = strcmp(token, batch->token) != 0 || strcmp(pcapi_request_url(batch, now), batch->url) != 0;
		explicit_bzero(token, strlen(token));
		return replaced;
	}
	return false;
}

/*
 * The batch keeps the events that could not be settled: the worker knows their
 * outcomes, so it holds them, does not send them again, and retries to write
 * them.  An event that is not there any more is requeued, since another event
 * may wait under its id.
 */
bool
pcapi_batch_settle_committed(PcapiBatch *batch)
{
	int			unsettled = 0;

	pcapi_statistics_remember(batch->outcomes, batch->n_outcomes, batch->written);
	for (int i = 0; i < batch->n_outcomes; i++)
	{
		if (batch->written[i] == PCAPI_LEFT)
			batch->outcomes[unsettled++] = batch->outcomes[i];
		else if (batch->written[i] == PCAPI_NOT_THERE)
			pcapi_sender_requeue(batch->sender, batch->outcomes[i].id);
	}
	if (unsettled == 0)
		return true;
	batch->state = PCAPI_BATCH_PARTLY_SETTLED;
	batch->n = batch->n_outcomes = unsettled;
	for (int i = 0; i < unsettled; i++)
		batch->ids[i] = batch->outcomes[i].id;
	pcapi_batch_sort_ids(batch);
	batch->first_fresh = Max(batch->first_fresh, batch->ids[0]);
	return false;
}

/*
 * The events of a request that was in flight when the earlier worker ended may
 * have been processed.  Settle them as retries with a warning, in the same way
 * as an answer: rows that are locked wait for that, and stop nothing else.
 * Once settled they are sent again under the same event_id.
 */
int
pcapi_batch_adopt(void)
{
	ListCell   *lc;
	int			n = 0;

	foreach(lc, pcapi_leases())
	{
		const PcapiLease *lease = lfirst(lc);
		PcapiBatch *batch = pcapi_batch_create(pcapi_sender_for(lease->dest), 0);
		MemoryContext old = MemoryContextSwitchTo(batch->context);

		batch->state = PCAPI_BATCH_PARTLY_SETTLED;
		batch->lease = lease->lease;
		batch->sent_at = lease->taken_at;
		batch->n = batch->n_outcomes = lease->n;
		batch->first_fresh = lease->n > 0 ? lease->ids[0] : PCAPI_LAST_ID;
		batch->ids = palloc(sizeof(int64) * Max(lease->n, 1));
		batch->outcomes = palloc0(sizeof(PcapiEventOutcome) * Max(lease->n, 1));
		batch->written = palloc0(sizeof(PcapiWritten) * Max(lease->n, 1));
		for (int i = 0; i < lease->n; i++)
		{
			batch->ids[i] = batch->outcomes[i].id = lease->ids[i];
			batch->outcomes[i].outcome = PCAPI_RETRY;
			batch->outcomes[i].attempted = true;
			batch->outcomes[i].warning = PCAPI_WARNING_UNKNOWN;
		}
		n += lease->n;
		MemoryContextSwitchTo(old);
	}
	return n;
}
