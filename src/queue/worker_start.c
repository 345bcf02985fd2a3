/*
 * worker_start.c
 *	  Start a database's worker where none runs.
 *
 * A session that has queued something registers a dynamic background worker
 * before its COMMIT.  Where no slot is free, the database waits for one
 * (worker_slots.c).
 */
#include "pinterest_capi.h"

#include "access/tableam.h"
#include "postmaster/bgworker.h"
#include "queue/worker_lock.h"
#include "queue/worker_slots.h"
#include "queue/worker_start.h"
#include "queue/worker_state.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static bool warned_no_slot = false;

/* the worker that this session had started last, or NULL */
static BackgroundWorkerHandle *started_worker;
static int64 started_worker_at; /* as all times here but EVENT_FIRST, of pcapi_clock_ms() */

/* an event comes before databases that only haven't been looked at for a while */
#define EVENT_FIRST	(10 * SECS_PER_MINUTE * USECS_PER_SEC)

/*
 * The registration keeps bgw_extra for as long as it lasts, beyond 2^31
 * transactions and a crash of the server, and each restart of the worker reads
 * it.  So it has not only the xid but in which process it ran: while that
 * process runs that xid, it is the transaction that is meant, and the xid is
 * one of now.
 */
void
pcapi_await_starter(const char *extra)
{
	PcapiStarter starter;
	PGPROC	   *proc;

	memcpy(&starter, extra, sizeof(starter));
	if (!TransactionIdIsValid(starter.xid) || starter.pid == 0 ||
		starter.procno < 0 || starter.procno >= (int) ProcGlobal->allProcCount)
		return;
	proc = &ProcGlobal->allProcs[starter.procno];
	if (proc->pid == starter.pid && proc->xid == starter.xid)
		XactLockTableWait(starter.xid, NULL, NULL, XLTW_None);
}

bool
pcapi_start_worker(Oid database, TransactionId wait_for, bool tell,
				   BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};
	PcapiStarter starter = {.xid = wait_for, .pid = MyProcPid, .procno = PcapiMyProcNumber()};

	/*
	 * It leaves by itself where its database is wanted.  From 19 on it might
	 * be BGWORKER_INTERRUPTIBLE, which ends its registration too: nobody
	 * would start it again after CREATE DATABASE ... TEMPLATE.
	 */
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pinterest_capi", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pcapi_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "pinterest_capi worker for database %u", database);
	strlcpy(worker.bgw_type, "pinterest_capi worker", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker.bgw_extra, &starter, sizeof(starter));
	worker.bgw_notify_pid = tell ? MyProcPid : 0;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/*
 * A worker needs a moment before it holds its lock and its row can be seen.
 * Meanwhile a session that commits fast must not have one more started at each
 * commit: there are few slots, for all of the server.  After that moment the
 * slot may have gone to another database.
 */
static bool
worker_is_coming(void)
{
	pid_t		pid;

	return started_worker != NULL && pcapi_clock_ms() - started_worker_at < PCAPI_START_GAP_MS &&
		GetBackgroundWorkerPid(started_worker, &pid) != BGWH_STOPPED;
}

static bool
register_worker(TransactionId wait_for)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		registered;

	if (started_worker)
		pfree(started_worker);
	started_worker = NULL;
	registered = pcapi_start_worker(MyDatabaseId, wait_for, false, &started_worker);
	started_worker_at = pcapi_clock_ms();
	MemoryContextSwitchTo(old);
	if (registered)
		pcapi_slot_cancel(MyDatabaseId);
	else
		pcapi_slot_request(MyDatabaseId, GetCurrentTimestamp() - EVENT_FIRST);
	return registered;
}

/*
 * No worker, so start one; it waits for the end of a transaction before it
 * looks.  The start lock is for having one worker started by one of many
 * sessions; the worker lock shows that one is on its way already.  Both are
 * tried without waiting.  True: the start lock is taken, by the transaction.
 */
bool
pcapi_start_worker_if_none(TransactionId wait_for)
{
	if (pcapi_worker_pid() != 0 || worker_is_coming())
		return false;
	if (!pcapi_lock(PCAPI_LOCK_START, false))
		return false;
	if (!pcapi_lock(PCAPI_LOCK_WORKER, false))
		return true;			/* it starts just now, and will look */
	pcapi_unlock(PCAPI_LOCK_WORKER, false);

	if (register_worker(wait_for))
		warned_no_slot = false;
	else if (!warned_no_slot)
	{
		warned_no_slot = true;
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pinterest_capi could not start its worker: no background worker slot is free"),
				 errdetail("Events are queued and will be sent once a worker runs."),
				 errhint("Increase max_worker_processes and restart the server; pinterest_capi.doctor() shows how many are in use."),
				 pcapi_errhide()));
	}
	return true;
}
