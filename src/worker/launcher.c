/*
 * launcher.c
 *	  With shared_preload_libraries: a worker for each database from server
 *	  start, with no list to keep.
 *
 * It looks at pg_database and has a worker started for each database that can
 * be connected to; one without the extension leaves at once (main.c).  What
 * happens after that needs no launcher: CREATE EXTENSION and each event start
 * a worker where none is (src/queue/wakeup.c), and the postmaster restarts one
 * that failed.  Where no slot is free the databases wait for their turn, which
 * the other workers see to as well (src/queue/worker_slots.c).
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/worker_slots.h"
#include "queue/worker_start.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define LOOK_AGAIN_MS	10000L	/* new databases */
#define NO_SLOT_MS		1000L	/* somebody's worker may have ended */

PGDLLEXPORT void pcapi_launcher_main(Datum main_arg);

static List *
connectable_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *oids = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database db = (Form_pg_database) GETSTRUCT(tuple);

		if (db->datallowconn && !db->datistemplate && db->datconnlimit != PCAPI_LIMIT_OF_INVALID)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			oids = lappend_oid(oids, db->oid);
			MemoryContextSwitchTo(old);
		}
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return oids;
}

/* One after the other, so that those without the extension are gone before the next needs a slot. */
static bool
start_one(Oid database)
{
	BackgroundWorkerHandle *handle = NULL;
	pid_t		pid;

	if (!pcapi_start_worker(database, InvalidTransactionId, true, &handle))
		return false;
	elog(DEBUG1, "pinterest_capi launcher starts a worker for database %u", database);
	if (WaitForBackgroundWorkerStartup(handle, &pid) == BGWH_POSTMASTER_DIED)
		proc_exit(1);
	pfree(handle);
	return true;
}

/* Slots may have become free, whoever had them. */
static bool
serve_waiting(void)
{
	Oid			database;

	while (OidIsValid(database = pcapi_slot_next_waiting(InvalidOid, GetCurrentTimestamp())))
	{
		if (!start_one(database))
			return false;
		pcapi_slot_cancel(database);
	}
	return true;
}

void
pcapi_launcher_main(Datum main_arg)
{
	MemoryContext looking;
	MemoryContext kept;
	List	   *started = NIL;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	elog(DEBUG1, "pinterest_capi launcher started");

	kept = AllocSetContextCreate(TopMemoryContext, "pinterest_capi launcher", ALLOCSET_SMALL_SIZES);
	looking = AllocSetContextCreate(TopMemoryContext, "pinterest_capi launcher's look", ALLOCSET_SMALL_SIZES);
	for (;;)
	{
		List	   *now;
		List	   *still = NIL;
		ListCell   *lc;
		bool		slots;
		bool		lacking = false;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(looking);
		slots = serve_waiting();
		now = connectable_databases();
		foreach(lc, now)
		{
			Oid			database = lfirst_oid(lc);

			if (!list_member_oid(started, database))
			{
				slots = slots && start_one(database);
				if (!slots)
				{
					pcapi_slot_request(database, GetCurrentTimestamp());
					lacking = true;
				}
			}
			MemoryContextSwitchTo(kept);
			still = lappend_oid(still, database);
			MemoryContextSwitchTo(looking);
		}
		if (lacking)
			ereport(WARNING,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("pinterest_capi could not start a worker for every database: no background worker slot is free"),
					 errdetail("Events of the others are queued and will be sent once a worker runs."),
					 errhint("Increase max_worker_processes and restart the server; pinterest_capi.doctor() shows how many are in use.")));
		list_free(started);
		started = still;
		MemoryContextReset(looking);
		pgstat_report_activity(STATE_IDLE, NULL);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 slots ? LOOK_AGAIN_MS : NO_SLOT_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
