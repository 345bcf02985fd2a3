/*
 * batch_request.c
 *	  The request of a batch: its start and its end.
 *
 * Both are logged at DEBUG1, with numbers and names of ours alone.
 *
 * Left to others: HTTP (http.c, transfer.c), what the answer says (response.c)
 * and what it means (verdict.c, verify_send.c).
 */
#include "pinterest_capi.h"

#include "queue/destination_config.h"
#include "utils/timestamp.h"
#include "worker/batch.h"
#include "worker/batch_request.h"
#include "worker/http.h"
#include "worker/response.h"
#include "worker/sender.h"
#include "worker/token.h"
#include "worker/transfer.h"
#include "worker/verdict.h"

static const char *result_name(PcapiHttpResult result);

void
pcapi_batch_start(PcapiBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	const PcapiDestinationConfig *config = &batch->sender->config;
	char	   *problem = NULL;

	batch->test_mode = config->test_mode || batch->verify;
	batch->url = pcapi_request_url(batch, config);
	batch->sent_at = GetCurrentTimestamp();
	if (!batch->verify)
		batch->sender->last_start = batch->sent_at;
	batch->state = PCAPI_BATCH_IN_FLIGHT;
	batch->request.owner = batch;
	batch->request.body = batch->body.data;
	batch->request.body_len = batch->body.len;

	batch->token = pcapi_read_token(config, &problem);
	if (batch->token == NULL)
	{
		/* Like a failed connection: nothing is sent, and a later attempt may succeed. */
		batch->request.transport = PCAPI_HTTP_UNREACHABLE;
		strlcpy(batch->request.error, problem, sizeof(batch->request.error));
		pcapi_batch_finish(batch);
		MemoryContextSwitchTo(old);
		return;
	}
	elog(DEBUG1, "request for destination \"%s\" starts: %s, events: %d, bytes: %d",
		 config->name, batch->verify ? "verification" : "batch", batch->n, batch->body.len);
	batch->started_ms = pcapi_clock_ms();
	if (!pcapi_http_start(&batch->request, batch->url, batch->token))
		pcapi_batch_finish(batch);
	MemoryContextSwitchTo(old);
}

char *
pcapi_request_url(const PcapiBatch *batch, const PcapiDestinationConfig *config)
{
	return psprintf("%s/ad_accounts/%s/events%s", config->api_url, config->ad_account_id,
					batch->test_mode ? "?test=true" : "");
}

void
pcapi_batch_finish(PcapiBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	PcapiAnswer *answer = pcapi_read_response(&batch->request, batch->n, batch->token);

	if (batch->started_ms != 0)
		elog(DEBUG1, "request for destination \"%s\" ended: %s, status %d, " INT64_FORMAT " ms",
			 batch->sender->config.name, result_name(batch->request.transport), batch->request.status,
			 pcapi_clock_ms() - batch->started_ms);
	if (batch->on_answer)
		batch->on_answer(batch, answer);
	else
		pcapi_apply_verdict(batch, answer);
	batch->state = PCAPI_BATCH_ANSWERED;
	pcapi_http_free(&batch->request);
	MemoryContextSwitchTo(old);
}

/* Return how a request ended, for the log. */
static const char *
result_name(PcapiHttpResult result)
{
	switch (result)
	{
		case PCAPI_HTTP_ANSWERED:
			return "answered";
		case PCAPI_HTTP_UNREACHABLE:
			return "no connection";
		case PCAPI_HTTP_INTERRUPTED:
			return "interrupted";
		case PCAPI_HTTP_UNTRUSTED:
			return "certificate refused";
		case PCAPI_HTTP_MISCONFIGURED:
			return "refused by libcurl";
	}
	return "unknown";
}
