/*
 * worker.c
 *	  For t/121_worker_registration.pl: register a worker as another transaction
 *	  would have, and return the number of a process's PGPROC.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(test_procno);
PG_FUNCTION_INFO_V1(test_register);

/* test_procno(pid): -1 if it has none */
Datum
test_procno(PG_FUNCTION_ARGS)
{
	for (int i = 0; i < (int) ProcGlobal->allProcCount; i++)
		if (ProcGlobal->allProcs[i].pid == PG_GETARG_INT32(0))
			PG_RETURN_INT32(i);
	PG_RETURN_INT32(-1);
}

/* test_register(xid, pid, procno): as src/queue/wakeup.c does */
Datum
test_register(PG_FUNCTION_ARGS)
{
	BackgroundWorker worker = {0};
	struct
	{
		TransactionId xid;
		int			pid;
		int			procno;
	}			starter = {(TransactionId) PG_GETARG_INT64(0), PG_GETARG_INT32(1), PG_GETARG_INT32(2)};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strcpy(worker.bgw_library_name, "pinterest_capi");
	strcpy(worker.bgw_function_name, "pcapi_worker_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "pinterest_capi worker for database %u", MyDatabaseId);
	strcpy(worker.bgw_type, "pinterest_capi worker");
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	memcpy(worker.bgw_extra, &starter, sizeof(starter));
	PG_RETURN_BOOL(RegisterDynamicBackgroundWorker(&worker, NULL));
}
