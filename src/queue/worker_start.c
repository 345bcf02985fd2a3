/*
 * worker_start.c
 *	  Start a database's worker if none runs.
 *
 * A session that has queued an event registers a dynamic background worker before its
 * COMMIT.  If no slot is free, it requests one for the database (worker_slots.c).
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

static bool warned_no_slot = false; /* once, until a worker could be started */

/* the worker that this session registered last, or NULL */
static BackgroundWorkerHandle *started_worker;
static int64 started_worker_at; /* pcapi_clock_ms() */

/* how much earlier the request of a database with an event is due than of one that only was not polled for a while */
#define EVENT_FIRST	(10 * SECS_PER_MINUTE * USECS_PER_SEC)

/*
 * The registration keeps bgw_extra for as long as it lasts, beyond 2^31 transactions and
 * a crash of the server, and each restart of the worker reads it.  So it holds not only
 * the xid but the process that ran it: while that process runs that xid, it is the same
 * transaction, and not a later one with the same number.
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
	 * The worker exits by itself if another process needs the database for
	 * itself.  BGWORKER_INTERRUPTIBLE (PostgreSQL 19) would end its
	 * registration too, and it would not be started again after CREATE
	 * DATABASE ... TEMPLATE.
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
 * Return whether a worker that this session registered may be starting.  A worker needs
 * a moment before it holds its lock and its row is visible.  Meanwhile a session that
 * commits fast must not start another one at each commit: the slots are few, and for
 * all databases.  After that moment the slot may serve another database.
 */
static bool
worker_is_coming(void)
{
	pid_t		pid;

	return started_worker != NULL && pcapi_clock_ms() - started_worker_at < PCAPI_START_GAP_MS &&
		GetBackgroundWorkerPid(started_worker, &pid) != BGWH_STOPPED;
}

/* Register a worker for this database, or request a slot for it. */
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
 * The start lock lets one of many sessions start a worker; the worker lock shows that
 * one is starting already.  Both are tried without waiting.
 */
bool
pcapi_start_worker_if_none(TransactionId wait_for)
{
	if (pcapi_worker_pid() != 0 || worker_is_coming())
		return false;
	if (!pcapi_lock(PCAPI_LOCK_START, false))
		return false;
	if (!pcapi_lock(PCAPI_LOCK_WORKER, false))
		return true;			/* one is starting, and will poll the queue */
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
