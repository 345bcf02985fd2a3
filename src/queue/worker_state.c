/*
 * worker_state.c
 *	  The worker's segment in shared memory, and worker_status's reading of it.
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

static dsm_segment *my_segment;

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

/* One row, the one of the worker that holds the lock. */
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

/* No row unless a worker of this database runs. */
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
	pcapi_worker_forget();		/* a look is rare and must be right */
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
	/* a process never stands in its own way */
	return known_worker.pid == MyProcPid || pcapi_alive_lock_is_held();
}

/*
 * Read the row with the newest snapshot: the worker may have started after the
 * caller's own was taken.  A plain scan, since the caller has no right on the
 * table and the table has one row.  In a parallel query, which the views may
 * become, the query's own snapshot has to do, and what it shows isn't kept.
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
