/*
 * verify_send.c
 *	  The worker's side of verify_destination: send one test event, and answer
 *	  with the API's verdict as a sentence.
 *
 * Question and answer are in the worker's segment of shared memory, whose
 * states are in queue/worker_state.h.  No row is written.  Limits, pauses and
 * backoff don't stop the request: the session that asks waits for it, and often
 * asks because of them.
 *
 * Left to others: the session's side (src/admin/verify_request.c), the request
 * (batch_request.c).
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
#include "worker/verify_send.h"
#include "worker/xact.h"

/* The API wants an identifier.  RFC 2606 keeps the domain "invalid" from ever existing. */
#define TEST_EMAIL		"nobody@pinterest-capi.invalid"

static bool take_question(uint32 *no, char *destination, Size size);
static void answer_question(uint32 no, const char *sentence);
static bool append_test_event(StringInfo body, uint32 no);
static void report_verdict(PcapiBatch *batch, const PcapiAnswer *answer);
static const char *verdict_sentence(const PcapiAnswer *answer);

bool
pcapi_verify_asked(void)
{
	bool		asked;

	SpinLockAcquire(&pcapi_worker_state->mutex);
	asked = (pcapi_worker_state->verify_state == PCAPI_VERIFY_ASKED);
	SpinLockRelease(&pcapi_worker_state->mutex);
	return asked;
}

void
pcapi_verify_start(void)
{
	char		destination[sizeof(pcapi_worker_state->verify_destination)];
	uint32		no;
	PcapiSender *sender;
	PcapiBatch *batch;

	if (!take_question(&no, destination, sizeof(destination)))
		return;
	if (DefaultXactReadOnly)
	{
		answer_question(no, "This server is read-only (default_transaction_read_only): nothing was sent.");
		return;
	}
	sender = pcapi_sender_by_name(destination);
	if (sender == NULL || !sender->config.sendable)
	{
		answer_question(no, "The destination is not ready: nothing was sent.");
		return;
	}
	batch = pcapi_batch_create(sender, 1);
	batch->verify = true;
	batch->verify_no = no;
	batch->on_answer = report_verdict;
	batch->n = 1;
	if (!append_test_event(&batch->body, no))
	{
		answer_question(no, "The test event could not be made: OpenSSL refuses to compute SHA-256.");
		pcapi_batch_free(batch);
		return;
	}
	pcapi_batch_start(batch);
}

/* Take the question that a session asks, if one does. */
static bool
take_question(uint32 *no, char *destination, Size size)
{
	bool		asked;

	SpinLockAcquire(&pcapi_worker_state->mutex);
	asked = (pcapi_worker_state->verify_state == PCAPI_VERIFY_ASKED);
	if (asked)
		pcapi_worker_state->verify_state = PCAPI_VERIFY_TAKEN;
	*no = pcapi_worker_state->verify_no;
	strlcpy(destination, pcapi_worker_state->verify_destination, size);
	SpinLockRelease(&pcapi_worker_state->mutex);
	return asked;
}

/* Answer a question, unless its session has given up or another one has asked since. */
static void
answer_question(uint32 no, const char *sentence)
{
	SpinLockAcquire(&pcapi_worker_state->mutex);
	if (pcapi_worker_state->verify_state == PCAPI_VERIFY_TAKEN && pcapi_worker_state->verify_no == no)
	{
		strlcpy(pcapi_worker_state->verify_answer, sentence, sizeof(pcapi_worker_state->verify_answer));
		pcapi_worker_state->verify_state = PCAPI_VERIFY_ANSWERED;
	}
	SpinLockRelease(&pcapi_worker_state->mutex);
}

/* Append the test event and the body's end.  Return false where SHA-256 cannot be computed. */
static bool
append_test_event(StringInfo body, uint32 no)
{
	unsigned char digest[32];
	char		hex[PCAPI_HEX_LEN + 1];
	TimestampTz now = GetCurrentTimestamp();
	int64		unix_time = timestamptz_to_time_t(now);

	if (!pcapi_sha256(TEST_EMAIL, strlen(TEST_EMAIL), digest))
		return false;
	pcapi_hex(digest, sizeof(digest), hex);
	appendStringInfo(body,
					 "{\"event_name\":\"custom\",\"action_source\":\"web\",\"event_time\":" INT64_FORMAT
					 ",\"event_id\":\"pinterest_capi-verify-" INT64_FORMAT "-%u\""
					 ",\"user_data\":{\"em\":[\"%s\"]}}]}",
					 unix_time, (int64) now, no, hex);
	return true;
}

/* The test event's answer is here: pass the verdict to the session that asked.  A PcapiAnswerHandler. */
static void
report_verdict(PcapiBatch *batch, const PcapiAnswer *answer)
{
	if (answer->verdict == PCAPI_VERDICT_PAUSE)
	{
		batch->pause_reason = answer->message;
		batch->sender->config.ready = false;
	}
	answer_question(batch->verify_no, verdict_sentence(answer));
}

static const char *
verdict_sentence(const PcapiAnswer *answer)
{
	const char *message = answer->message ? answer->message : "";
	const PcapiEntry *entry = answer->entries;

	switch (answer->verdict)
	{
		case PCAPI_VERDICT_ENTRIES:
			if (entry->failed)
				return psprintf("Pinterest refused the test event: %s",
								entry->error ? entry->error : "without a message");
			if (entry->warning)
				return psprintf("Pinterest accepted the test event, with a warning: %s", entry->warning);
			return "Pinterest accepted the test event.";
		case PCAPI_VERDICT_REFUSED:
		case PCAPI_VERDICT_BLOCKED:
			return psprintf("Pinterest refused the test event: %s", message);
		case PCAPI_VERDICT_RETRY:
		case PCAPI_VERDICT_UNKNOWN:
			return psprintf("Pinterest gave no verdict on the test event: %s", message);
		case PCAPI_VERDICT_THROTTLED:
			return psprintf("Pinterest asks for fewer requests: %s", message);
		case PCAPI_VERDICT_UNREACHABLE:
			return psprintf("The test event could not be sent: %s", message);
		case PCAPI_VERDICT_PAUSE:
			return psprintf("The destination is paused: %s", message);
	}
	return message;
}
