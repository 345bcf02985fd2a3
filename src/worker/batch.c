/*
 * batch.c
 *	  The events of one request: its memory, its body and its ids.
 *
 * A batch is one memory context, freed as a whole.  The states that it passes
 * through are in batch.h.
 *
 * Left to others: which events go together (batch_fill.c), the request
 * (batch_request.c), what the answer means (verdict.c), writing that down
 * (batch_settle.c), transactions and the order of all these (dispatch.c).
 */
#include "pinterest_capi.h"

#include "queue/dequeue_new.h"
#include "queue/payload.h"
#include "utils/memutils.h"
#include "worker/batch.h"
#include "worker/http.h"
#include "worker/sender.h"

PcapiBatch *
pcapi_batch_create(PcapiSender *sender, int room)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pinterest_capi batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PcapiBatch *batch = palloc0(sizeof(PcapiBatch));

	batch->context = context;
	batch->sender = sender;
	batch->life = sender->config.life;
	batch->state = PCAPI_BATCH_CLAIMED;
	batch->first_fresh = PCAPI_LAST_ID;
	batch->events = palloc(sizeof(PcapiBatchEvent) * Max(room, 1));
	initStringInfo(&batch->body);
	appendStringInfoString(&batch->body, "{\"data\":[");
	dlist_push_tail(&sender->batches, &batch->node);
	MemoryContextSwitchTo(old);
	return batch;
}

bool
pcapi_batch_add(PcapiBatch *batch, const PcapiQueuedEvent *event, const char *payload, int len)
{
	PcapiBatchEvent *e;

	/* 3: the comma before it, and the end of the body */
	if (batch->n > 0 && batch->body.len + len + 3 > PCAPI_MAX_BODY)
		return false;
	e = &batch->events[batch->n];
	e->id = event->id;
	e->tid = event->tid;
	e->xmin = event->xmin;
	e->created_at = event->created_at;
	e->attempts = event->attempts;
	e->waits_since = event->waits_since;
	e->event_time = event->event_time;
	e->first_attempt_at = event->first_attempt_at;
	e->counted = event->counted;
	if (!event->retried)
		batch->first_fresh = Min(batch->first_fresh, event->id);
	e->offline = strstr(payload, "\"action_source\":\"offline\"") != NULL;
	if (batch->n > 0)
		appendStringInfoChar(&batch->body, ',');
	appendBinaryStringInfo(&batch->body, payload, len);
	batch->n++;
	return true;
}

void
pcapi_batch_seal(PcapiBatch *batch)
{
	appendStringInfoString(&batch->body, "]}");
	batch->ids = MemoryContextAlloc(batch->context, sizeof(int64) * Max(batch->n, 1));
	for (int i = 0; i < batch->n; i++)
		batch->ids[i] = batch->events[i].id;
	pcapi_batch_sort_ids(batch);
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

void
pcapi_batch_sort_ids(PcapiBatch *batch)
{
	qsort(batch->ids, batch->n, sizeof(int64), compare_ids);
}

bool
pcapi_batch_holds(const PcapiBatch *batch, int64 id)
{
	return batch->ids != NULL &&
		bsearch(&id, batch->ids, batch->n, sizeof(int64), compare_ids) != NULL;
}

void
pcapi_batch_free(PcapiBatch *batch)
{
	pcapi_http_free(&batch->request);
	if (batch->token)
		explicit_bzero(batch->token, strlen(batch->token));
	dlist_delete(&batch->node);
	MemoryContextDelete(batch->context);
}
