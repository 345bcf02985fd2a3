/*
 * batch_settle.c
 *	  Write down what became of a batch: its events, its destination, its lease.
 */
#include "pinterest_capi.h"

#include "queue/destination_config.h"
#include "queue/destination_state.h"
#include "queue/lease.h"
#include "queue/outcome.h"
#include "queue/settle.h"
#include "worker/batch.h"
#include "worker/batch_request.h"
#include "worker/batch_settle.h"
#include "worker/sender.h"
#include "worker/sending.h"
#include "worker/token.h"

/*
 * A refusal of what was replaced while the request was out says nothing of what
 * is there now.  In the settling transaction.
 */
static bool
credentials_replaced(const PcapiBatch *batch)
{
	ListCell   *lc;

	pcapi_destination_lock(batch->sender->config.dest);
	foreach(lc, pcapi_destination_configs())
	{
		PcapiDestinationConfig *now = lfirst(lc);
		char	   *problem = NULL;
		char	   *token;
		bool		replaced;

		if (now->dest != batch->sender->config.dest || !now->sendable)
			continue;
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
 * In a transaction, again and again until it is committed.  A destination that
 * is gone has a row that waits for its name to come back, to begin anew.
 */
void
pcapi_batch_settle(void *arg)
{
	PcapiBatch *batch = arg;
	const PcapiDestinationConfig *config = &batch->sender->config;
	MemoryContext old;
	char	   *problem;

	batch->n_left = pcapi_settle(config->dest, batch->lease, batch->sent_at, batch->settled, batch->n_settled,
								 batch->written, &problem);
	old = MemoryContextSwitchTo(batch->context);
	batch->problem = batch->n_left > 0 && problem ? pstrdup(problem) : NULL;
	MemoryContextSwitchTo(old);

	/* of the destination all has been said when the batch was settled first */
	if (!batch->sender->known || batch->state == PCAPI_BATCH_LEFT)
		return;
	if (batch->accepted || batch->recovered)
		pcapi_destination_taken(config->dest, batch->life, batch->accepted, batch->recovered);
	if (batch->pause_reason && !credentials_replaced(batch))
		batch->paused = pcapi_destination_pause(config->dest, batch->life, config->name, batch->pause_reason);
	else if (batch->backoff_reason)
		pcapi_destination_backoff(config->dest, batch->life, batch->backoff_ms, batch->backoff_reason);
	else if (batch->error)
		pcapi_destination_error(config->dest, batch->life, batch->error);
}

/*
 * What the settling has written is committed.  Of events that are left, the
 * worker knows what became of them: it holds them, so that they are not sent
 * again, and tries again to write it down.  Under the id of one that is not
 * there any more another event may wait.
 */
bool
pcapi_batch_settled(PcapiBatch *batch)
{
	int			left = 0;

	for (int i = 0; i < batch->n_settled; i++)
	{
		if (batch->written[i] == PCAPI_LEFT)
			batch->settled[left++] = batch->settled[i];
		else if (batch->written[i] == PCAPI_NOT_THERE)
			pcapi_sender_requeue(batch->sender, batch->settled[i].id);
	}
	if (left == 0)
		return true;
	batch->state = PCAPI_BATCH_LEFT;
	batch->n = batch->n_settled = left;
	for (int i = 0; i < left; i++)
		batch->ids[i] = batch->settled[i].id;
	pcapi_batch_sort_ids(batch);
	return false;
}

/*
 * What was in a request when the last worker ended may have been processed.
 * It goes again under the same event_id once that is written down, by the same
 * way as an answer: what somebody has locked waits, and keeps nothing else.
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

		batch->state = PCAPI_BATCH_LEFT;
		batch->lease = lease->lease;
		batch->sent_at = lease->taken_at;
		batch->n = batch->n_settled = lease->n;
		batch->ids = palloc(sizeof(int64) * Max(lease->n, 1));
		batch->settled = palloc0(sizeof(PcapiEventOutcome) * Max(lease->n, 1));
		batch->written = palloc0(sizeof(PcapiWritten) * Max(lease->n, 1));
		for (int i = 0; i < lease->n; i++)
		{
			batch->ids[i] = batch->settled[i].id = lease->ids[i];
			batch->settled[i].outcome = PCAPI_RETRY;
			batch->settled[i].attempted = true;
			batch->settled[i].warning = PCAPI_WARNING_UNKNOWN;
		}
		n += lease->n;
		MemoryContextSwitchTo(old);
	}
	return n;
}
