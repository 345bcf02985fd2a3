/*
 * worker_state.c
 *	  Find this database's worker, and read and write its segment in shared memory.
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_columns.h"
#include "funcapi.h"
#include "queue/worker_lock.h"
#include "queue/worker_state.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static dsm_segment *my_segment; /* in the worker */

PcapiWorkerState *
pcapi_worker_state_create(void)
{
	PcapiWorkerState *shared;

	my_segment = dsm_create(sizeof(PcapiWorkerState), 0);
	dsm_pin_mapping(my_segment);	/* until this process ends */
	shared = dsm_segment_address(my_segment);
	memset(shared, 0, sizeof(PcapiWorkerState));
	SpinLockInit(&shared->mutex);
	shared->pid = MyProcPid;
	shared->started_at = shared->last_cycle_at = GetCurrentTimestamp();
	strlcpy(shared->version, PCAPI_VERSION, sizeof(shared->version));
	strlcpy(shared->state, "starting", sizeof(shared->state));
	shared->magic = PCAPI_WORKER_STATE_MAGIC;
	return shared;
}

/* The table has one row: that of the worker that holds PCAPI_LOCK_WORKER. */
void
pcapi_worker_state_publish(void)
{
	Oid			argtypes[3] = {INT4OID, INT4OID, INT8OID};
	Datum		values[3];

	values[0] = Int32GetDatum(MyProcPid);
	values[1] = Int32GetDatum(PcapiMyProcNumber());
	values[2] = Int64GetDatum((int64) dsm_segment_handle(my_segment));
	SPI_connect();
	pcapi_execute_sql(SPI_OK_DELETE, "DELETE FROM pinterest_capi._worker", false);
	pcapi_execute_once(SPI_OK_INSERT,
					   "INSERT INTO pinterest_capi._worker (pid, procno, segment, started_at)"
					   " VALUES ($1, $2, $3, pg_catalog.clock_timestamp())",
					   3, argtypes, values, NULL, false, 0);
	SPI_finish();
	/* sessions read the row again */
	CacheInvalidateRelcacheByRelid(pcapi_table(PCAPI_TABLE_WORKER));
}

PG_FUNCTION_INFO_V1(pcapi_sql_worker_state);

/* _worker_state(): no row unless a worker of this database runs. */
Datum
pcapi_sql_worker_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	dsm_segment *segment;
	PcapiWorkerState *shared;
	PcapiWorkerState copy;
	Interval	ahead = {0};
	Datum		values[10];
	bool		nulls[10] = {false};

	InitMaterializedSRF(fcinfo, 0);
	pcapi_worker_forget();		/* a call is rare, and its answer must be right */
	shared = pcapi_worker_state_attach(&segment);
	if (shared == NULL)
		return (Datum) 0;
	SpinLockAcquire(&shared->mutex);
	memcpy(&copy, shared, sizeof(PcapiWorkerState));
	SpinLockRelease(&shared->mutex);
	dsm_detach(segment);

	values[0] = Int32GetDatum(copy.pid);
	values[1] = CStringGetTextDatum(copy.state);
	values[2] = TimestampTzGetDatum(copy.started_at);
	values[3] = TimestampTzGetDatum(copy.last_cycle_at);
	values[4] = Int32GetDatum(copy.in_flight);
	if (copy.last_error[0] != '\0')
		values[5] = CStringGetTextDatum(copy.last_error);
	else
		nulls[5] = true;
	values[6] = TimestampTzGetDatum(copy.last_error_at);
	nulls[6] = nulls[5];
	values[7] = CStringGetTextDatum(copy.version);
	ahead.time = copy.clock_ahead;
	values[8] = IntervalPGetDatum(&ahead);
	values[9] = TimestampTzGetDatum(copy.clock_seen_at);
	nulls[8] = nulls[9] = (copy.clock_seen_at == 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* the row in _worker as this session read it */
static struct
{
	bool		valid;
	Oid			relid;			/* of _worker */
	int			pid;			/* 0: there is no row, or its worker has ended */
	int			procno;
	dsm_handle	segment;
	TimestampTz checked_at;		/* start of a statement, by the wall clock */
}			known_worker;

/* how long a row that was right is trusted: later, another process may have the same pid */
#define TRUST_ROW	(1 * SECS_PER_MINUTE * USECS_PER_SEC)

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
 * Return whether a worker of this database runs, by the lock that it holds until its
 * process ends.  Nothing else tells: the row outlives the worker, and a crash and a
 * restart of the server, and then another process of this database may have its pid and
 * PGPROC.  The test asks for the lock in a mode that nothing else uses, and a worker
 * that starts waits for the lock, so a test doesn't stop it.
 */
static bool
worker_lives(void)
{
	/* the worker itself: its own lock doesn't conflict */
	return known_worker.pid == MyProcPid || pcapi_alive_lock_is_held();
}

/*
 * Read the row with the newest snapshot, as the worker may have started after the
 * caller's own was taken.  It is a plain scan, since the caller has no right on the
 * table, which has one row.  A parallel query, which the views may use, can take no new
 * snapshot: the query's own is used, and the result isn't kept.
 */
void
pcapi_worker_look_up(void)
{
	Relation	rel;
	Snapshot	snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	TimestampTz now = GetCurrentStatementStartTimestamp();
	Oid			relid;

	if (known_worker.valid && now >= known_worker.checked_at && now - known_worker.checked_at < TRUST_ROW)
		return;
	relid = pcapi_table(PCAPI_TABLE_WORKER);
	known_worker.relid = relid;
	known_worker.pid = 0;
	known_worker.procno = -1;
	if (!OidIsValid(relid) || RecoveryInProgress())
		return;					/* a standby has no unlogged table, and no worker */

	/* set before the scan, during which an invalidation may reset it */
	known_worker.valid = true;
	known_worker.checked_at = now;
	rel = table_open(relid, AccessShareLock);
	snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = PcapiTableBeginScan(rel, snapshot);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		known_worker.pid = DatumGetInt32(slot_getattr(slot, PCAPI_WORKER_PID, &isnull));
		known_worker.procno = DatumGetInt32(slot_getattr(slot, PCAPI_WORKER_PROCNO, &isnull));
		known_worker.segment = (dsm_handle) DatumGetInt64(slot_getattr(slot, PCAPI_WORKER_SEGMENT, &isnull));
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
 * Return the PGPROC that the row names, or NULL if its process has ended.  It is read
 * without a lock: a latch set by mistake does no harm, and PGPROCs never move.
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
	pcapi_worker_look_up();
	return worker_proc() ? known_worker.pid : 0;
}

void
pcapi_worker_set_latch(void)
{
	PGPROC	   *proc = worker_proc();

	if (proc)
		SetLatch(&proc->procLatch);
}

PcapiWorkerState *
pcapi_worker_state_attach(dsm_segment **segment)
{
	PcapiWorkerState *shared;

	if (pcapi_worker_pid() == 0)
		return NULL;
	*segment = dsm_find_mapping(known_worker.segment);
	if (*segment == NULL)
		*segment = dsm_attach(known_worker.segment);
	if (*segment == NULL)
		return NULL;
	shared = dsm_segment_address(*segment);
	if (shared->magic != PCAPI_WORKER_STATE_MAGIC || shared->pid != known_worker.pid)
	{
		dsm_detach(*segment);
		return NULL;
	}
	return shared;
}
