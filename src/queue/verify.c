/*
 * verify.c
 *	  The session's side of verify_destination: a question in the worker's
 *	  segment, and its answer.  The other side is src/worker/verify.c.
 *
 * The slot holds one question.  A session may take it when it is idle or when
 * the one that asked is gone, and from then on it alone may make it idle
 * again; the worker moves it from asked to taken, and from there to answered.
 */
#include "queue/live.h"
#include "queue/operate.h"

#include "fmgr.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define WAIT_MS			20L
#define START_SECONDS	5		/* for a worker that has to be started first */

typedef struct Question
{
	PcapiLive  *live;
	uint32		no;				/* 0: not asked */
} Question;

/* Also runs when the session ends or is cancelled. */
static void
give_up(int code, Datum arg)
{
	Question   *q = (Question *) DatumGetPointer(arg);

	if (q->no == 0)
		return;
	SpinLockAcquire(&q->live->mutex);
	if (q->live->verify_no == q->no)
	{
		q->live->verify_state = PCAPI_VERIFY_IDLE;
		q->live->verify_pid = 0;
	}
	SpinLockRelease(&q->live->mutex);
	q->no = 0;
}

static bool
ask(Question *q, const char *destination)
{
	PcapiLive  *live = q->live;
	int			asker;
	bool		free;

	SpinLockAcquire(&live->mutex);
	asker = live->verify_state == PCAPI_VERIFY_IDLE ? 0 : live->verify_pid;
	SpinLockRelease(&live->mutex);
	/* not under a spinlock: a look at who else is there */
	free = asker == 0 || BackendPidGetProc(asker) == NULL;
	if (!free)
		return false;

	SpinLockAcquire(&live->mutex);
	free = live->verify_state == PCAPI_VERIFY_IDLE || live->verify_pid == asker;
	if (free)
	{
		live->verify_state = PCAPI_VERIFY_ASKED;
		live->verify_pid = MyProcPid;
		if (++live->verify_no == 0)
			live->verify_no = 1;
		q->no = live->verify_no;
		strlcpy(live->verify_destination, destination, sizeof(live->verify_destination));
	}
	SpinLockRelease(&live->mutex);
	return free;
}

/* palloc'd; NULL: not yet */
static char *
answer_of(Question *q)
{
	char		text[PCAPI_LIVE_TEXT];
	bool		answered;

	SpinLockAcquire(&q->live->mutex);
	answered = q->live->verify_no == q->no && q->live->verify_state == PCAPI_VERIFY_ANSWERED;
	memcpy(text, q->live->verify_answer, sizeof(text));
	SpinLockRelease(&q->live->mutex);
	text[sizeof(text) - 1] = '\0';
	return answered ? pstrdup(text) : NULL;
}

static void
wait_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 WAIT_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static char *
ask_and_wait(Question *q, const char *destination, TimestampTz until)
{
	char	   *answer = NULL;

	while (answer == NULL)
	{
		if (q->no == 0 && ask(q, destination))
			pcapi_worker_set_latch();
		if (q->no != 0)
			answer = answer_of(q);
		if (answer)
			break;
		if (GetCurrentTimestamp() >= until)
			return pstrdup(q->no == 0 ? "Another verification is under way: nothing was sent." :
						   "No answer came within the time limits for connection and request.");
		pcapi_worker_forget();
		if (pcapi_worker_pid() != q->live->pid)
			return pstrdup("The worker ended before an answer came; see the server's log.");
		wait_a_moment();
	}
	return answer;
}

/* The worker's segment, once there is a worker; NULL when none can be started. */
static PcapiLive *
wait_for_worker(dsm_segment **segment)
{
	TimestampTz until = GetCurrentTimestamp() + START_SECONDS * USECS_PER_SEC;
	PcapiLive  *live;

	pcapi_worker_forget();
	while ((live = pcapi_live_attach(segment)) == NULL && GetCurrentTimestamp() < until)
	{
		pcapi_worker_start_if_none(InvalidTransactionId);
		wait_a_moment();
		pcapi_worker_forget();
	}
	return live;
}

PG_FUNCTION_INFO_V1(pcapi_sql_verify_destination);
Datum
pcapi_sql_verify_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *answer;
	dsm_segment *segment;
	Question	q = {0};
	PcapiIdentity saved;

	pcapi_become_owner(&saved, true);
	pcapi_require_destination(destination);
	pcapi_become_caller(&saved);
	if (RecoveryInProgress())
		PG_RETURN_TEXT_P(cstring_to_text("This server is a standby: nothing is sent from here."));
	q.live = wait_for_worker(&segment);
	if (q.live == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("No worker is running, and none could be started: nothing was sent. "
										 "See the server's log, or increase max_worker_processes."));

	PG_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(&q));
	{
		answer = ask_and_wait(&q, destination,
							  GetCurrentTimestamp() +
							  (int64) (pcapi_connect_timeout + pcapi_request_timeout + 1) * USECS_PER_SEC);
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(&q));
	give_up(0, PointerGetDatum(&q));
	dsm_detach(segment);
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}
