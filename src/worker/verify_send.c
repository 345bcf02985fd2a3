/*
 * verify_send.c
 *	  The worker's side of verify_destination: one event in test mode, and the
 *	  API's verdict on it as a sentence.
 *
 * Question and answer travel through the worker's segment (queue/worker_state.h); no
 * row is written.  Limits, pauses and backoff don't stop it: it is asked for
 * by somebody who waits, and often because of them.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "core/sha256.h"
#include "queue/worker_state.h"
#include "utils/timestamp.h"
#include "worker/batch.h"
#include "worker/batch_request.h"
#include "worker/response.h"
#include "worker/sender.h"
#include "worker/sending.h"
#include "worker/verify_send.h"
#include "worker/xact.h"

/* the event must name somebody: a domain that never exists */
#define NOBODY			"nobody@pinterest-capi.invalid"

bool
pcapi_verify_asked(void)
{
	bool		asked;

	SpinLockAcquire(&pcapi_worker_state->mutex);
	asked = (pcapi_worker_state->verify_state == PCAPI_VERIFY_ASKED);
	SpinLockRelease(&pcapi_worker_state->mutex);
	return asked;
}

/* The question may have been given up meanwhile, or be another one. */
static void
answer(uint32 no, const char *sentence)
{
	SpinLockAcquire(&pcapi_worker_state->mutex);
	if (pcapi_worker_state->verify_state == PCAPI_VERIFY_TAKEN && pcapi_worker_state->verify_no == no)
	{
		strlcpy(pcapi_worker_state->verify_answer, sentence, sizeof(pcapi_worker_state->verify_answer));
		pcapi_worker_state->verify_state = PCAPI_VERIFY_ANSWERED;
	}
	SpinLockRelease(&pcapi_worker_state->mutex);
}

/* An on_answer: the verdict as a sentence, for the session that asked. */
static void
tell_verdict(PcapiBatch *batch, const PcapiAnswer *a)
{
	const char *message = a->message ? a->message : "";
	const char *sentence = NULL;

	if (a->verdict == PCAPI_VERDICT_PAUSE)
	{
		batch->pause_reason = a->message;
		batch->sender->config.ready = false;
	}

	switch (a->verdict)
	{
		case PCAPI_VERDICT_ENTRIES:
			if (a->entries[0].failed)
				sentence = psprintf("Pinterest refused the test event: %s",
									a->entries[0].error ? a->entries[0].error : "without a message");
			else if (a->entries[0].warning)
				sentence = psprintf("Pinterest accepted the test event, with a warning: %s", a->entries[0].warning);
			else
				sentence = "Pinterest accepted the test event.";
			break;
		case PCAPI_VERDICT_REFUSED:
		case PCAPI_VERDICT_BLOCKED:
			sentence = psprintf("Pinterest refused the test event: %s", message);
			break;
		case PCAPI_VERDICT_RETRY:
		case PCAPI_VERDICT_UNKNOWN:
			sentence = psprintf("Pinterest gave no verdict on the test event: %s", message);
			break;
		case PCAPI_VERDICT_THROTTLED:
			sentence = psprintf("Pinterest asks for fewer requests: %s", message);
			break;
		case PCAPI_VERDICT_UNREACHABLE:
			sentence = psprintf("The test event could not be sent: %s", message);
			break;
		case PCAPI_VERDICT_PAUSE:
			sentence = psprintf("The destination is paused: %s", message);
			break;
	}
	answer(batch->verify_no, sentence);
}

void
pcapi_verify_take(void)
{
	char		name[sizeof(pcapi_worker_state->verify_destination)];
	uint32		no;
	bool		asked;
	PcapiSender *sender;
	PcapiBatch *batch;
	unsigned char digest[32];
	char		hex[PCAPI_HEX_LEN + 1];
	TimestampTz now = GetCurrentTimestamp();
	int64		unix_time = now / USECS_PER_SEC +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;

	SpinLockAcquire(&pcapi_worker_state->mutex);
	asked = (pcapi_worker_state->verify_state == PCAPI_VERIFY_ASKED);
	if (asked)
		pcapi_worker_state->verify_state = PCAPI_VERIFY_TAKEN;
	no = pcapi_worker_state->verify_no;
	strlcpy(name, pcapi_worker_state->verify_destination, sizeof(name));
	SpinLockRelease(&pcapi_worker_state->mutex);
	if (!asked)
		return;

	if (DefaultXactReadOnly)
	{
		answer(no, "This server is read-only (default_transaction_read_only): nothing was sent.");
		return;
	}
	sender = pcapi_sender_by_name(name);
	if (sender == NULL || !sender->config.sendable)
	{
		answer(no, "The destination is not ready: nothing was sent.");
		return;
	}
	if (!pcapi_sha256(NOBODY, strlen(NOBODY), digest))
	{
		answer(no, "The test event could not be made: OpenSSL refuses to compute SHA-256.");
		return;
	}
	pcapi_hex(digest, sizeof(digest), hex);
	batch = pcapi_batch_create(sender, 1);
	batch->verify = true;
	batch->verify_no = no;
	batch->on_answer = tell_verdict;
	batch->n = 1;
	appendStringInfo(&batch->body,
					 "{\"event_name\":\"custom\",\"action_source\":\"web\",\"event_time\":" INT64_FORMAT
					 ",\"event_id\":\"pinterest_capi-verify-" INT64_FORMAT "-%u\""
					 ",\"user_data\":{\"em\":[\"%s\"]}}]}",
					 unix_time, (int64) now, no, hex);
	pcapi_batch_start(batch);
}
