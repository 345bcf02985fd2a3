/*
 * wake.c
 *	  At COMMIT, tell the worker that there is something to do, or start one.
 *
 * This and the tables are all that callers' sessions and the worker share.
 * The row in _worker says where the worker's PGPROC is; a session reads it once
 * and keeps it until a worker starts (which invalidates the table's relcache
 * entry).  At COMMIT there is nothing left but to set a latch.
 */
#include "queue/live.h"
#include "queue/queue.h"
#include "queue/turn.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "postmaster/bgworker.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* what the row in _worker said; pid 0: no row, or one that a worker left which is gone */
static struct
{
	bool		valid;
	Oid			relid;
	int			pid;
	int			procno;
	dsm_handle	segment;
	TimestampTz checked_at;		/* of the wall clock, which has been read for each statement */
}			known_worker;

/* a row that was found right is taken for right so long; then a process of the same number may be another one */
#define TRUST_ROW	(1 * SECS_PER_MINUTE * USECS_PER_SEC)

static bool wake_wanted = false;
static bool warned_no_slot = false;

/* the worker that this session had started last, or NULL */
static BackgroundWorkerHandle *started_worker;
static int64 started_worker_at; /* as all times here but EVENT_FIRST, of pcapi_clock_ms() */

#define START_GAP	5000

/* an event comes before databases that only haven't been looked at for a while */
#define EVENT_FIRST	(10 * SECS_PER_MINUTE * USECS_PER_SEC)

/* any 32 bits that others are unlikely to take for an advisory lock */
#define LOCK_CLASS 0x50434150

static void
lock_tag(LOCKTAG *tag, int which)
{
	/* field 4 tells one-key, two-key and, with 3, our advisory locks apart */
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, LOCK_CLASS, which, 3);
}

bool
pcapi_lock(int which, bool session_lock)
{
	LOCKTAG		tag;

	lock_tag(&tag, which);
	return LockAcquire(&tag, ExclusiveLock, session_lock, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Those who look hold it for a moment only. */
void
pcapi_lock_alive(void)
{
	LOCKTAG		tag;

	lock_tag(&tag, PCAPI_LOCK_ALIVE);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

void
pcapi_unlock(int which, bool session_lock)
{
	LOCKTAG		tag;

	lock_tag(&tag, which);
	LockRelease(&tag, ExclusiveLock, session_lock);
}

void
pcapi_worker_relcache_changed(Oid relid)
{
	if (!OidIsValid(relid) || relid == known_worker.relid)
		known_worker.valid = false;
}

void
pcapi_worker_forget(void)
{
	known_worker.valid = false;
}

/*
 * Whether a worker of this database is there, by the lock that each holds until
 * its process ends.  Nothing else tells: the row outlives the worker, also a
 * crash and a restart of the server, and then its pid and PGPROC may be those
 * of any other process of this database.  The lock is asked for in a mode that
 * is of no use to anybody, and a worker that starts waits for it, so nobody is
 * turned away by a look.
 */
static bool
worker_lives(void)
{
	LOCKTAG		tag;

	if (known_worker.pid == MyProcPid)
		return true;			/* a process never stands in its own way */
	lock_tag(&tag, PCAPI_LOCK_ALIVE);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ShareLock, false);
	return false;
}

/*
 * Read the row with the newest snapshot: the worker may have started after the
 * caller's own was taken.  A plain scan, since the caller has no right on the
 * table and the table has one row.  In a parallel query, which the views may
 * become, the query's own snapshot has to do, and what it shows isn't kept.
 */
static void
look_for_worker(void)
{
	Relation	rel;
	Snapshot	snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	TimestampTz now = GetCurrentStatementStartTimestamp();
	Oid			relid;

	if (known_worker.valid && now >= known_worker.checked_at && now - known_worker.checked_at < TRUST_ROW)
		return;
	relid = pcapi_table(PCAPI_T_WORKER);
	known_worker.relid = relid;
	known_worker.pid = 0;
	known_worker.procno = -1;
	if (!OidIsValid(relid) || RecoveryInProgress())
		return;					/* a standby has no unlogged table, and no worker */

	/* before the scan: an invalidation that arrives during it must count */
	known_worker.valid = true;
	known_worker.checked_at = now;
	rel = table_open(relid, AccessShareLock);
	snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = PcapiTableBeginScan(rel, snapshot);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		known_worker.pid = DatumGetInt32(slot_getattr(slot, 1, &isnull));
		known_worker.procno = DatumGetInt32(slot_getattr(slot, 2, &isnull));
		known_worker.segment = (dsm_handle) DatumGetInt64(slot_getattr(slot, 3, &isnull));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	if (known_worker.pid != 0 && !worker_lives())
		known_worker.pid = 0;
	if (known_worker.pid == 0 || IsInParallelMode())
		known_worker.valid = false;
}

/*
 * The PGPROC that the row names, if the process is still there.  Without a
 * lock: a latch set by mistake does no harm, and PGPROCs never move.
 */
static PGPROC *
worker_proc(void)
{
	PGPROC	   *proc;

	if (known_worker.pid == 0 || known_worker.procno < 0 ||
		known_worker.procno >= (int) ProcGlobal->allProcCount)
		return NULL;
	proc = &ProcGlobal->allProcs[known_worker.procno];
	if (proc->pid != known_worker.pid || proc->databaseId != MyDatabaseId)
		return NULL;
	return proc;
}

int
pcapi_worker_pid(void)
{
	look_for_worker();
	return worker_proc() ? known_worker.pid : 0;
}

void
pcapi_worker_set_latch(void)
{
	PGPROC	   *proc = worker_proc();

	if (proc)
		SetLatch(&proc->procLatch);
}

PcapiLive *
pcapi_live_attach(dsm_segment **segment)
{
	PcapiLive  *live;

	if (pcapi_worker_pid() == 0)
		return NULL;
	*segment = dsm_find_mapping(known_worker.segment);
	if (*segment == NULL)
		*segment = dsm_attach(known_worker.segment);
	if (*segment == NULL)
		return NULL;
	live = dsm_segment_address(*segment);
	if (live->magic != PCAPI_LIVE_MAGIC || live->pid != known_worker.pid)
	{
		dsm_detach(*segment);
		return NULL;
	}
	return live;
}

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

	return started_worker != NULL && pcapi_clock_ms() - started_worker_at < START_GAP &&
		GetBackgroundWorkerPid(started_worker, &pid) != BGWH_STOPPED;
}

static bool
have_worker_started(TransactionId wait_for)
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
		pcapi_turn_drop(MyDatabaseId);
	else
		pcapi_turn_ask(MyDatabaseId, GetCurrentTimestamp() - EVENT_FIRST);
	return registered;
}

/*
 * No worker, so start one; it waits for the end of a transaction before it
 * looks.  The start lock is for having one worker started by one of many
 * sessions; the worker lock shows that one is on its way already.  Both are
 * tried without waiting.  True: the start lock is taken, by the transaction.
 */
static bool
start_worker_if_none(TransactionId wait_for)
{
	if (pcapi_worker_pid() != 0 || worker_is_coming())
		return false;
	if (!pcapi_lock(PCAPI_LOCK_START, false))
		return false;
	if (!pcapi_lock(PCAPI_LOCK_WORKER, false))
		return true;			/* it starts just now, and will look */
	pcapi_unlock(PCAPI_LOCK_WORKER, false);

	if (have_worker_started(wait_for))
		warned_no_slot = false;
	else if (!warned_no_slot)
	{
		warned_no_slot = true;
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pinterest_capi could not start its worker: no background worker slot is free"),
				 errdetail("Events are queued and will be sent once a worker runs."),
				 errhint("Increase max_worker_processes and restart the server; pinterest_capi.doctor() shows how many are in use."),
				 pcapi_hide()));
	}
	return true;
}

/*
 * A worker that is started here doesn't wait for this transaction, whose end
 * may be far away; nor is the start lock kept until then.
 */
void
pcapi_wake_now(void)
{
	static bool started = false;
	static int64 started_at;
	int64		now = pcapi_clock_ms();

	if (RecoveryInProgress())
		return;
	pcapi_worker_forget();		/* who waits must not trust an old row */
	if (pcapi_worker_pid() != 0)
	{
		pcapi_worker_set_latch();
		return;
	}

	/* one that fails at its start keeps its slot: they must not be used up */
	if (started && now - started_at < START_GAP)
		return;
	started = true;
	started_at = now;
	if (start_worker_if_none(InvalidTransactionId))
		pcapi_unlock(PCAPI_LOCK_START, false);
}

void
pcapi_wake_xact_event(XactEvent event)
{
	if (!wake_wanted)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			/* an error is still allowed here, but there is none to expect */
			if (!RecoveryInProgress())
				(void) start_worker_if_none(GetTopTransactionIdIfAny());
			break;
		case XACT_EVENT_PRE_PREPARE:

			/*
			 * Whoever commits it has no reason to tell a worker, so one must
			 * be there to find it.  It doesn't wait for that, nor is the
			 * start lock left to the prepared transaction.
			 */
			if (!RecoveryInProgress() && start_worker_if_none(InvalidTransactionId))
				pcapi_unlock(PCAPI_LOCK_START, false);
			break;
		case XACT_EVENT_COMMIT:
			wake_wanted = false;
			pcapi_worker_set_latch();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:	/* the worker's own slow look finds it */
			wake_wanted = false;
			break;
		default:
			break;
	}
}

/* Cheap enough to be called for each event of a transaction. */
void
pcapi_wake_at_commit(void)
{
	if (wake_wanted)
		return;
	look_for_worker();
	wake_wanted = true;
}

PG_FUNCTION_INFO_V1(pcapi_sql_wake);

Datum
pcapi_sql_wake(PG_FUNCTION_ARGS)
{
	if (!IsBinaryUpgrade)
		pcapi_wake_at_commit();
	PG_RETURN_VOID();
}
