/*
 * verify_request.c
 *	  verify_destination: ask the worker to send one test event, and wait for the verdict.
 *
 * Question and answer go through the worker's segment; worker_state.h has the states.  The
 * worker's side is src/worker/verify_send.c.  Nothing is written to tables.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "admin/destination_admin.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/guc.h"
#include "common/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "queue/wakeup.h"
#include "queue/worker_state.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* in ms */
#define START_LIMIT		10000	/* for a worker to start */
#define MARGIN			2000	/* in addition to the time limit of the request */
#define FIRST_WAIT_MS	2
#define LONGEST_WAIT_MS	50

/* a question of this session */
typedef struct Question
{
	PcapiWorkerState *shared;
	uint32		no;
	const char *destination;
	char	   *answer;			/* a sentence, or NULL */
} Question;

/* Wait, twice as long each time up to a limit.  False: the time is over. */
static bool
wait_a_bit(int64 until, long *wait)
{
	static uint32 wait_event = 0;
	int64		now = pcapi_clock_ms();

	if (now >= until)
		return false;
	if (wait_event == 0)
		wait_event = PcapiWaitEvent("PinterestCapiVerify");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) Min(*wait, until - now), wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	*wait = Min(*wait * 2, LONGEST_WAIT_MS);
	return true;
}

/* Return for how long a session waits for an answer. */
static int64
time_limit(void)
{
	return MARGIN + (pcapi_connect_timeout + pcapi_request_timeout) * (int64) 1000;
}

/* Ask, unless another session does. */
static bool
put_question(Question *q)
{
	PcapiWorkerState *shared = q->shared;
	int64		now = pcapi_clock_ms();
	int64		until = now + time_limit() + MARGIN;
	bool		put;

	SpinLockAcquire(&shared->mutex);
	put = (shared->verify_state == PCAPI_VERIFY_IDLE || shared->verify_until < now);
	if (put)
	{
		shared->verify_state = PCAPI_VERIFY_ASKED;
		shared->verify_pid = MyProcPid;
		shared->verify_until = until;
		q->no = ++shared->verify_no;
		strlcpy(shared->verify_destination, q->destination, sizeof(shared->verify_destination));
		shared->verify_answer[0] = '\0';
	}
	SpinLockRelease(&shared->mutex);
	return put;
}

/* Read the answer, if there is one. */
static bool
read_answer(Question *q)
{
	PcapiWorkerState *shared = q->shared;
	char		copy[PCAPI_WORKER_STATE_TEXT];
	bool		answered;

	SpinLockAcquire(&shared->mutex);
	answered = (shared->verify_state == PCAPI_VERIFY_ANSWERED && shared->verify_no == q->no);
	if (answered)
		memcpy(copy, shared->verify_answer, sizeof(copy));
	SpinLockRelease(&shared->mutex);
	if (answered)
	{
		/* it was cut to fit, perhaps in the middle of a character */
		copy[sizeof(copy) - 1] = '\0';
		q->answer = pnstrdup(copy, pg_mbcliplen(copy, strlen(copy), strlen(copy)));
	}
	return answered;
}

/* Withdraw the question.  Also called on an error, and when this session ends. */
static void
withdraw_question(int code, Datum arg)
{
	Question   *q = (Question *) DatumGetPointer(arg);

	SpinLockAcquire(&q->shared->mutex);
	if (q->shared->verify_no == q->no)
		q->shared->verify_state = PCAPI_VERIFY_IDLE;
	SpinLockRelease(&q->shared->mutex);
}

/* Wait for the answer. */
static void
await_answer(Question *q)
{
	int64		until = pcapi_clock_ms() + time_limit();
	long		wait = FIRST_WAIT_MS;

	pcapi_worker_set_latch();
	while (!read_answer(q))
	{
		if (pcapi_worker_pid() != q->shared->pid)
		{
			q->answer = "No verdict: the worker ended in the middle of it. Please try again.";
			return;
		}
		if (!wait_a_bit(until, &wait))
		{
			q->answer = psprintf("No verdict: no answer came within %d seconds.",
								 pcapi_connect_timeout + pcapi_request_timeout);
			return;
		}
	}
}

/* Ask the worker, which is started if none runs.  Return its verdict. */
static const char *
ask(const char *destination)
{
	Question	q = {.destination = destination};
	dsm_segment *segment;
	int64		until = pcapi_clock_ms() + START_LIMIT;
	long		wait = FIRST_WAIT_MS;

	while ((q.shared = pcapi_worker_state_attach(&segment)) == NULL)
	{
		pcapi_wake_now();
		if (!wait_a_bit(until, &wait))
			return "Nothing was sent: no worker is running and none could be started."
				" See max_worker_processes and the server's log.";
	}

	until = pcapi_clock_ms() + time_limit();
	wait = FIRST_WAIT_MS;
	while (!put_question(&q))
	{
		if (!wait_a_bit(until, &wait))
		{
			dsm_detach(segment);
			return "Nothing was sent: another destination is being verified. Please try again.";
		}
	}

	PG_ENSURE_ERROR_CLEANUP(withdraw_question, PointerGetDatum(&q));
	{
		await_answer(&q);
	}
	PG_END_ENSURE_ERROR_CLEANUP(withdraw_question, PointerGetDatum(&q));
	withdraw_question(0, PointerGetDatum(&q));
	dsm_detach(segment);
	return q.answer;
}

/* Return whether this transaction has written the row whose xmin a column of the result holds. */
static bool
is_ours(const char *column)
{
	bool		isnull;
	Datum		xmin = pcapi_result_datum(0, pcapi_result_column(column), &isnull);

	return !isnull && TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Return why asking is of no use, or NULL. */
static const char *
refuse(const char *destination)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	char	   *missing;
	bool		changed;

	if (destination == NULL)
		pcapi_unknown_destination();
	pcapi_check_destination(destination);

	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT d.xmin AS destination_xmin, x.xmin AS secret_xmin,"
					   " CASE WHEN r.status = 'not ready' THEN split_part(r.reason, ': ', 2) END AS missing"
					   " FROM pinterest_capi.destination AS d"
					   " JOIN pinterest_capi._readiness AS r ON r.destination = d.destination"
					   " LEFT JOIN pinterest_capi._secret AS x ON x.destination = d.destination"
					   " WHERE d.destination = $1",
					   1, types, values, NULL, false, 1);
	/* deleted since pcapi_check_destination(), which used another snapshot */
	if (SPI_processed == 0)
		pcapi_unknown_destination();
	changed = is_ours("destination_xmin") || is_ours("secret_xmin");
	missing = pcapi_result_text(0, "missing");
	SPI_finish();

	if (missing)
		return psprintf("Your destination is not ready: %s. Nothing was sent.", missing);
	if (changed)
		return "Nothing was sent: the destination was changed in this transaction,"
			" which the worker does not see before COMMIT.";
	if (RecoveryInProgress())
		return "Nothing was sent: this server is a standby.";
	if (!pcapi_dispatch)
		return "Nothing was sent: pinterest_capi.dispatch is off on this server.";
	return NULL;
}

PG_FUNCTION_INFO_V1(pcapi_sql_verify_destination);
Datum
pcapi_sql_verify_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = pcapi_text_arg(fcinfo, 0);
	PcapiUserContext saved;
	const char *sentence;

	pcapi_switch_to_owner(&saved, true);
	sentence = refuse(destination);
	pcapi_restore_user(&saved);
	if (sentence == NULL)
		sentence = ask(destination);
	PG_RETURN_TEXT_P(cstring_to_text(sentence));
}
