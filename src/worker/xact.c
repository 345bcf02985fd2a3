/*
 * xact.c
 *	  The worker's transactions, and its exit.
 *
 * All work on tables runs in pcapi_transaction(), as the extension's owner.  An
 * error in it is logged, shown in worker_status and rolled back; the process goes
 * on.  The process exits with 0 where no worker is needed, which ends its
 * registration, and with 1 to be started again.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "common/extension.h"
#include "queue/worker_slots.h"
#include "queue/worker_state.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/xact.h"

PcapiWorkerState *pcapi_worker_state;
bool		pcapi_replicates = false;
Oid			pcapi_slot_database;
Oid			pcapi_served_database;
Oid			pcapi_served_extension;
int64		pcapi_serving_since;

static void
remember_error(const char *message)
{
	if (pcapi_worker_state == NULL)
		return;
	SpinLockAcquire(&pcapi_worker_state->mutex);
	strlcpy(pcapi_worker_state->last_error, message, sizeof(pcapi_worker_state->last_error));
	pcapi_worker_state->last_error_at = GetCurrentTimestamp();
	SpinLockRelease(&pcapi_worker_state->mutex);
}

/*
 * Lock the extension until the transaction's end.  DROP EXTENSION locks it
 * before the tables, so either it waits for us or we find nothing; without
 * this, each could hold a table that the other waits for.
 *
 * All that the worker keeps in memory (ids, places in tables, requests, what
 * is chosen for a dispatcher) is of one extension, by its OID.  One that was
 * created since has rows with the same ids and destinations with the same
 * numbers, and is none of this worker's business.
 */
static bool
lock_extension(void)
{
	Oid			extension = get_extension_oid("pinterest_capi", true);

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	if (get_extension_oid("pinterest_capi", true) != extension)
		return false;
	if (!OidIsValid(pcapi_served_extension))
		pcapi_served_extension = extension;
	return extension == pcapi_served_extension;
}

/* Exit, and say why in the log of somebody who asks for it.  Code 1: the postmaster starts the process again. */
void
pcapi_exit_worker(int code, const char *reason)
{
	elog(DEBUG1, "pinterest_capi worker of database %u exits: %s", pcapi_served_database, reason);
	proc_exit(code);
}

/* Promise the process's slot to a database that waits for one; false: another worker was faster. */
bool
pcapi_hand_slot(Oid database)
{
	if (!pcapi_slot_reserve(database, pcapi_slot_database))
		return false;
	elog(DEBUG1, "pinterest_capi worker of database %u hands its slot to database %u", pcapi_served_database, database);
	return true;
}

/* No worker is needed here, or no second one; but the slot may be needed elsewhere. */
void
pcapi_exit_unneeded(bool served, const char *reason)
{
	Oid			next;

	if (!served)
		pcapi_slot_cancel(pcapi_served_database);
	next = pcapi_slot_next_waiting(pcapi_served_database, GetCurrentTimestamp());
	pcapi_exit_worker(OidIsValid(next) && pcapi_hand_slot(next) ? 1 : 0, reason);
}

/* What the worker knows is of an extension that is gone: the next one, if any, begins anew. */
void
pcapi_exit_dropped(void)
{
	bool		again;

	StartTransactionCommand();
	again = OidIsValid(get_extension_oid("pinterest_capi", true));
	CommitTransactionCommand();
	if (!again)
		pcapi_exit_unneeded(false, "the extension is dropped");
	pcapi_exit_worker(1, "the extension is dropped and created again");
}

bool
pcapi_transaction(PcapiWork work, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;
	volatile bool dropped = false;

	PG_TRY();
	{
		PcapiUserContext identity;

		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		/* but for leases (pcapi_lease): what else is lost with a server is found out or done again */
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
		/* default_transaction_read_only ends sending (dispatch.c), not bookkeeping */
		XactReadOnly = false;
		if (lock_extension())
		{
			PushActiveSnapshot(GetTransactionSnapshot());
			pcapi_switch_to_owner(&identity, false);
			work(arg);
			pcapi_restore_user(&identity);
			PopActiveSnapshot();
		}
		else
			dropped = true;
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		edata = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		remember_error(edata->message ? edata->message : "unknown error");
		FreeErrorData(edata);
		RESUME_INTERRUPTS();
		ok = false;
	}
	PG_END_TRY();
	if (dropped)
		pcapi_exit_dropped();
	MemoryContextSwitchTo(context);
	return ok;
}
