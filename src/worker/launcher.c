/*
 * launcher.c
 *	  With shared_preload_libraries: start a worker for each database when the
 *	  server starts, without a list of databases to maintain.
 *
 * The launcher polls pg_database and has a worker started for each database
 * that accepts connections.  A worker in a database without the extension exits
 * at once (main.c).  After that CREATE EXTENSION and events start workers where
 * none runs (src/queue/wakeup.c), and the postmaster restarts one that failed.
 * Where no slot is free, the database requests one (src/queue/worker_slots.c),
 * and the other workers hand over theirs too (slots.c).
 */
#include "pinterest_capi.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/worker_slots.h"
#include "queue/worker_start.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define DATABASE_POLL_MS	10000L	/* for new databases */
#define SLOT_POLL_MS		1000L	/* while a database waits for a slot */

PGDLLEXPORT void pcapi_launcher_main(Datum main_arg);

static bool start_waiting(void);
static bool start_new(const List *databases, const List *started, bool slot_free);
static bool start_worker(Oid database);
static List *connectable_databases(void);

void
pcapi_launcher_main(Datum main_arg)
{
	MemoryContext poll_context;
	MemoryContext started_context;
	List	   *started = NIL;	/* the databases of the last poll, in started_context */

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	elog(DEBUG1, "pinterest_capi launcher started");

	started_context = AllocSetContextCreate(TopMemoryContext, "pinterest_capi launcher", ALLOCSET_SMALL_SIZES);
	poll_context = AllocSetContextCreate(TopMemoryContext, "pinterest_capi launcher poll", ALLOCSET_SMALL_SIZES);
	for (;;)
	{
		List	   *databases;
		bool		slot_free;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(poll_context);
		slot_free = start_waiting();
		databases = connectable_databases();
		slot_free = start_new(databases, started, slot_free);

		MemoryContextSwitchTo(started_context);
		list_free(started);
		started = list_copy(databases);
		MemoryContextReset(poll_context);
		pgstat_report_activity(STATE_IDLE, NULL);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 slot_free ? DATABASE_POLL_MS : SLOT_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* Start workers for the databases on the list of those that wait.  Return false where no slot is free. */
static bool
start_waiting(void)
{
	Oid			database;

	while (OidIsValid(database = pcapi_slot_next_waiting(InvalidOid, GetCurrentTimestamp())))
	{
		if (!start_worker(database))
			return false;
		pcapi_slot_cancel(database);
	}
	return true;
}

/*
 * Start workers for the databases that were not started before; request slots
 * where none is free.  Return false where none is.
 */
static bool
start_new(const List *databases, const List *started, bool slot_free)
{
	ListCell   *lc;
	bool		warn = false;

	foreach(lc, databases)
	{
		Oid			database = lfirst_oid(lc);

		if (list_member_oid(started, database))
			continue;
		slot_free = slot_free && start_worker(database);
		if (!slot_free)
		{
			pcapi_slot_request(database, GetCurrentTimestamp());
			warn = true;
		}
	}
	if (warn)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pinterest_capi could not start a worker for every database: no background worker slot is free"),
				 errdetail("Events of the others are queued and will be sent once a worker runs."),
				 errhint("Increase max_worker_processes and restart the server; pinterest_capi.doctor() shows how many are in use.")));
	return slot_free;
}

/*
 * Have a worker started for the database, and wait until it runs, so that one
 * without the extension exits before the next needs a slot.  Return false where
 * no slot is free.
 */
static bool
start_worker(Oid database)
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

/* Return the OIDs of all databases that accept connections, in the current memory context. */
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
