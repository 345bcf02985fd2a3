/*
 * xact.c
 *	  The worker's transactions, and its exit.
 *
 * All work on tables runs in pcapi_transaction(), as the extension's owner.  An
 * error in it is logged, shown in worker_status and rolled back; the process goes
 * on.  The process exits with 0 where no worker is needed, which ends its
 * registration, and with 1 to be started again.
 *
 * Left to others: what is done in a transaction, and why the process exits.
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

Oid			pcapi_slot_database;
Oid			pcapi_served_database;
Oid			pcapi_served_extension;
int64		pcapi_serving_since;
PcapiWorkerState *pcapi_worker_state;
bool		pcapi_replicates = false;

static bool lock_extension(void);
static void publish_error(const char *message);

/* ---- transactions ---- */

static bool
run_transaction(PcapiWork work, void *arg, bool one_snapshot)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;
	volatile bool dropped = false;

	PG_TRY();
	{
		PcapiUserContext user;

		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();

		/*
		 * Only leases wait for standbys (pcapi_lease).  If a server is lost,
		 * its successor finds out the other changes, or repeats them.
		 */
		(void) set_config_option("synchronous_commit", one_snapshot ? "off" : "local", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
		/* default_transaction_read_only stops sending (dispatch.c), but not bookkeeping. */
		XactReadOnly = false;
		if (one_snapshot)
			XactIsoLevel = XACT_REPEATABLE_READ;
		if (lock_extension())
		{
			PushActiveSnapshot(GetTransactionSnapshot());
			pcapi_switch_to_owner(&user, false);
			work(arg);
			pcapi_restore_user(&user);
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
		publish_error(edata->message ? edata->message : "unknown error");
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

bool
pcapi_transaction(PcapiWork work, void *arg)
{
	return run_transaction(work, arg, false);
}

bool
pcapi_snapshot_transaction(PcapiWork work, void *arg)
{
	return run_transaction(work, arg, true);
}

/*
 * Lock the extension until the transaction's end.  DROP EXTENSION locks it
 * before the tables, so either it waits for this transaction, or this one finds
 * no extension.  Without that, each could hold a table that the other waits for.
 *
 * All that the worker keeps in memory (ids, places in tables, requests, what
 * is chosen for a dispatcher) belongs to one extension, by its OID.  An
 * extension that was created since has events with the same ids and
 * destinations with the same numbers; this process must not touch them.
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

/* Publish an error for worker_status. */
static void
publish_error(const char *message)
{
	if (pcapi_worker_state == NULL)
		return;
	SpinLockAcquire(&pcapi_worker_state->mutex);
	strlcpy(pcapi_worker_state->last_error, message, sizeof(pcapi_worker_state->last_error));
	pcapi_worker_state->last_error_at = GetCurrentTimestamp();
	SpinLockRelease(&pcapi_worker_state->mutex);
}

/* ---- the exit ---- */

bool
pcapi_hand_over_slot(Oid database)
{
	if (!pcapi_slot_reserve(database, pcapi_slot_database))
		return false;
	elog(DEBUG1, "pinterest_capi worker of database %u hands its slot to database %u", pcapi_served_database, database);
	return true;
}

void
pcapi_exit_worker(int code, const char *reason)
{
	elog(DEBUG1, "pinterest_capi worker of database %u exits: %s", pcapi_served_database, reason);
	proc_exit(code);
}

/* Another database may wait for the slot: then the process is started again for it. */
void
pcapi_exit_unneeded(bool served, const char *reason)
{
	Oid			next;

	if (!served)
		pcapi_slot_cancel(pcapi_served_database);
	next = pcapi_slot_next_waiting(pcapi_served_database, GetCurrentTimestamp());
	pcapi_exit_worker(OidIsValid(next) && pcapi_hand_over_slot(next) ? 1 : 0, reason);
}

/* If the extension was created again, the next process begins with its tables. */
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
