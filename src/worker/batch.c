/*
 * batch.c
 *	  The events of one request: its body, its start, what its answer means
 *	  for each of them and for the destination.
 *
 * Which events go together is sender.c's matter; transactions and the order of
 * things are dispatch.c's.  What is to be written is worked out once, when the
 * answer is there, so that settling can be repeated as often as it fails.
 */
#include "pinterest_capi.h"

#include "queue/payload.h"
#include "utils/memutils.h"
#include "worker/batch.h"
#include "worker/http.h"
#include "worker/sending.h"

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
	batch->events = palloc(sizeof(PcapiBatchEvent) * Max(room, 1));
	initStringInfo(&batch->body);
	appendStringInfoString(&batch->body, "{\"data\":[");
	dlist_push_tail(&sender->batches, &batch->node);
	MemoryContextSwitchTo(old);
	return batch;
}

/* False when the request would become too large; one event always fits. */
bool
pcapi_batch_add(PcapiBatch *batch, const PcapiQueuedEvent *event, const char *payload, int len)
{
	PcapiBatchEvent *s;

	if (batch->n > 0 && batch->body.len + len + 3 > PCAPI_MAX_BODY)
		return false;
	s = &batch->events[batch->n];
	s->id = event->id;
	s->tid = event->tid;
	s->xmin = event->xmin;
	s->created_at = event->created_at;
	s->attempts = event->attempts;
	s->waits_since = event->waits_since;
	s->event_time = event->event_time;
	s->first_attempt_at = event->first_attempt_at;
	s->offline = strstr(payload, "\"action_source\":\"offline\"") != NULL;
	if (batch->n > 0)
		appendStringInfoChar(&batch->body, ',');
	appendBinaryStringInfo(&batch->body, payload, len);
	batch->n++;
	return true;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Sort the ids, which pcapi_batch_holds() searches. */
void
pcapi_batch_sort_ids(PcapiBatch *batch)
{
	qsort(batch->ids, batch->n, sizeof(int64), compare_ids);
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

/* ---- what an answer means ---- */
