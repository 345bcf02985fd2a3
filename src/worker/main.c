/*
 * main.c
 *	  The worker's process: one per database.  Connection, transactions, the
 *	  loop, leaving when it should.
 *
 * What is sent when is dispatch.c's matter.  The process exits with 0 where
 * there is nothing for a worker to do (no extension, another worker, no
 * database any more), which ends its registration; with 1 to be started again,
 * maybe for another database: where slots are short they change hands
 * (src/queue/turn.c).
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/detached.h"
#include "queue/hold.h"
#include "queue/operate.h"
#include "queue/sequence.h"
#include "queue/turn.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define TICK			1000	/* ms, as the next ones */
#define IDLE_CLOSE		30000
#define DETACH_EVERY	60000
#define LOCK_TIMEOUT	"200ms"

/* where another database waits for a slot */
#define STAY_IDLE		1000	/* ms, as the next one */
#define STAY_BUSY		30000
#define BACK_WITHIN		(60 * USECS_PER_SEC)
#define MISSED_AFTER	(10 * USECS_PER_SEC)

PGDLLEXPORT void pcapi_worker_main(Datum main_arg);

PcapiLive  *pcapi_live;
bool		pcapi_replicates = false;

static Oid	my_slot;			/* the database for which the process's slot was registered */
static Oid	my_database;		/* the one that it serves */
static int64 in_office_since;	/* of pcapi_clock_ms() */
static bool database_gone = false;
static emit_log_hook_type next_log_hook;
static Oid	my_extension;		/* whose events it knows; set by its first transaction */
static bool others_send;		/* as of the last check_office() */

/* ---- transactions ---- */

static void
remember_error(const char *message)
{
	if (pcapi_live == NULL)
		return;
	SpinLockAcquire(&pcapi_live->mutex);
	strlcpy(pcapi_live->last_error, message, sizeof(pcapi_live->last_error));
	pcapi_live->last_error_at = GetCurrentTimestamp();
	SpinLockRelease(&pcapi_live->mutex);
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
	if (!OidIsValid(my_extension))
		my_extension = extension;
	return extension == my_extension;
}

/* Exit, and say why in the log of somebody who asks for it.  Code 1: the postmaster starts the process again. */
static void
exit_worker(int code, const char *reason)
{
	elog(DEBUG1, "pinterest_capi worker of database %u exits: %s", my_database, reason);
	proc_exit(code);
}

/* Promise the process's slot to a database that waits for one; false: another worker was faster. */
static bool
hand_slot_to(Oid database)
{
	if (!pcapi_turn_promise(database, my_slot))
		return false;
	elog(DEBUG1, "pinterest_capi worker of database %u hands its slot to database %u", my_database, database);
	return true;
}

/* No worker is needed here, or no second one; but the slot may be needed elsewhere. */
static void
leave(bool served, const char *reason)
{
	Oid			next;

	if (!served)
		pcapi_turn_drop(my_database);
	next = pcapi_turn_first(my_database, GetCurrentTimestamp());
	exit_worker(OidIsValid(next) && hand_slot_to(next) ? 1 : 0, reason);
}

/* What the worker knows is of an extension that is gone: the next one, if any, begins anew. */
static void
leave_dropped(void)
{
	bool		again;

	StartTransactionCommand();
	again = OidIsValid(get_extension_oid("pinterest_capi", true));
	CommitTransactionCommand();
	if (!again)
		leave(false, "the extension is dropped");
	exit_worker(1, "the extension is dropped and created again");
}

bool
pcapi_transaction(PcapiWork work, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;
	volatile bool dropped = false;

	PG_TRY();
	{
		PcapiIdentity identity;

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
			pcapi_become_owner(&identity, false);
			work(arg);
			pcapi_become_caller(&identity);
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
		leave_dropped();
	MemoryContextSwitchTo(context);
	return ok;
}

/* ---- arriving ---- */

/* The second code: it takes no connections, or is what a DROP DATABASE left that was cut off. */
static void
note_missing_database(ErrorData *edata)
{
	if (edata->elevel == FATAL && (edata->sqlerrcode == ERRCODE_UNDEFINED_DATABASE ||
								   edata->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE))
		database_gone = true;
	if (next_log_hook)
		next_log_hook(edata);
}

/* Called when the process is about to exit: a database that is gone or closed needs no worker again. */
static void
leave_for_good(int code, Datum arg)
{
	if (database_gone)
		leave(false, "the database is dropped or accepts no connections");
}

static void
connect_to(Oid database)
{
	on_proc_exit(leave_for_good, 0);
	next_log_hook = emit_log_hook;
	emit_log_hook = note_missing_database;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	emit_log_hook = next_log_hook;
}

/*
 * What a database or its owner may have set would change what our statements
 * do.  Plans: everything here goes by index, however old the statistics are.
 */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"row_security", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		/* in a circle of waits it's the worker that gives way, not somebody's session */
		{"deadlock_timeout", "100ms"},
		{"idle_in_transaction_session_timeout", "0"},
		/* no trigger but the tables' owner's own, should others have been let in */
		{"session_replication_role", "replica"},
		{"DateStyle", "ISO"},
		{"IntervalStyle", "postgres"},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_sort", "off"},
		{"jit", "off"},
		{"plan_cache_mode", "auto"},
		{"log_min_error_statement", "panic"},	/* arrays of ids are no help */
		{"application_name", "pinterest_capi"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* Whom to serve: whom the slot was registered for, unless it was given up for others. */
static Oid
whose_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			database = pcapi_turn_take(my_slot, now + MISSED_AFTER);

	if (OidIsValid(database))
	{
		elog(DEBUG1, "pinterest_capi worker of database %u takes over the slot of database %u", database, my_slot);
		return database;
	}
	if (!pcapi_turn_listed(my_slot))
		return my_slot;
	database = pcapi_turn_first(InvalidOid, now);
	if (!OidIsValid(database))
		database = my_slot;
	pcapi_turn_put_off(database, now + MISSED_AFTER);
	return database;
}

/*
 * Wait for the transaction that had this worker started, become the one
 * worker of the database, find the extension.  Each "no" leaves for good.
 */
static void
take_office(void)
{
	bool		needed;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pcapi_await_starter(MyBgworkerEntry->bgw_extra);
	needed = pcapi_lock(PCAPI_LOCK_WORKER, true);
	if (needed)
		pcapi_lock_alive();
	CommitTransactionCommand();
	if (!needed)
		leave(true, "another worker serves the database");

	StartTransactionCommand();
	needed = OidIsValid(pcapi_extension_owner(true));
	CommitTransactionCommand();
	if (!needed)
		leave(false, "the database does not have the extension");
}

static void
begin_work(void *arg)
{
	int			n = 0;

	pcapi_replicates = pcapi_replicating_subscription() != NULL;
	if (!pcapi_replicates)
	{
		pcapi_routes_load();
		n = pcapi_batch_adopt();
		pcapi_sequences_advance();
	}
	if (n > 0)
		ereport(LOG,
				(errmsg_plural("%d event was in a request when the last worker ended; it is sent again under the same event_id",
							   "%d events were in a request when the last worker ended; they are sent again under the same event_id",
							   n, n)));
	pcapi_live_publish();
}

/* ---- now and then ---- */

/*
 * DROP DATABASE holds an exclusive lock on the database and waits for others to
 * leave without telling them: being refused is how to learn of it.  DROP
 * EXTENSION has to wait for no more than a transaction, but nobody else would
 * tell an idle worker of it.
 */
static void
check_office(void)
{
	LOCKTAG		tag;
	bool		database_wanted;
	bool		dropped;
	bool		replicates;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	StartTransactionCommand();
	database_wanted = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	dropped = !database_wanted && get_extension_oid("pinterest_capi", true) != my_extension;
	others_send = !database_wanted && !dropped && pcapi_published();
	replicates = !database_wanted && !dropped && pcapi_replicating_subscription() != NULL;
	CommitTransactionCommand();

	/* the connection attempt of the next one waits for the lock, and ends if the database is gone */
	if (database_wanted)
		exit_worker(1, "the database is locked by a session that drops or copies it");
	if (dropped)
		leave_dropped();
	if (replicates)
		pcapi_replicates = true;
	else if (pcapi_replicates && pcapi_dispatch_in_flight() == 0)
	{
		ereport(LOG,
				(errmsg("no subscription writes the queue any more: the worker of this database begins to send")));
		exit_worker(1, "no subscription writes the queue any more");
	}
}

/*
 * Where another database waits and no slot is free, this one's is given up: at
 * once if nothing is to do, after a while in any case.  What has not been sent
 * is this database's reason to come back, when it is due; the rest is for what
 * nobody tells of, and for who commits while the process leaves.
 */
static void
share_slot(TimestampTz now)
{
	Oid			next;
	TimestampTz due;
	TimestampTz back;
	int64		stayed = pcapi_clock_ms() - in_office_since;
	bool		rests;

	if (pcapi_turn_listed(MyDatabaseId))
		pcapi_turn_put_off(MyDatabaseId, now + MISSED_AFTER);
	next = pcapi_turn_first(MyDatabaseId, now);
	if (OidIsValid(next) && pcapi_start_worker(next, InvalidTransactionId, false, NULL))
	{
		pcapi_turn_drop(next);
		next = InvalidOid;
	}
	if (!OidIsValid(next))
	{
		pcapi_dispatch_hold(false);
		return;
	}
	rests = pcapi_dispatch_rests(&due);
	if (rests && due > now + STAY_IDLE * 1000 && stayed >= STAY_IDLE)
		back = Min(due, now + BACK_WITHIN);
	else if (stayed >= STAY_BUSY)
	{
		pcapi_dispatch_hold(true);
		back = now;
	}
	else
		return;
	if (!rests || !hand_slot_to(next))
		return;
	pcapi_turn_ask(MyDatabaseId, back);
	pcapi_turn_put_off(MyDatabaseId, back);
	exit_worker(1, "another database waits for the slot");
}

/* Exit, to be started again, where look-ups that never end have piled up, and nothing is under way. */
static void
renew_worn(void)
{
	TimestampTz due;

	if (!pcapi_http_worn() || !pcapi_dispatch_rests(&due))
		return;
	ereport(LOG,
			(errmsg("pinterest_capi worker exits to be started again, since many name look-ups got no answer")));
	exit_worker(1, "many name look-ups got no answer");
}

static void
detach_subscriptions(void *arg)
{
	pcapi_detach_subscriptions();
}

/* At the start, and once a minute for what somebody restores meanwhile. */
static void
look_after_subscriptions(int64 now)
{
	static int64 at = 0;

	if (now < at || pcapi_replicates || DefaultXactReadOnly)
		return;
	(void) pcapi_transaction(detach_subscriptions, NULL);
	at = now + DETACH_EVERY;
}

static void
close_idle(int64 now)
{
	static int64 busy_at = 0;
	static bool open = false;

	if (pcapi_dispatch_in_flight() > 0)
	{
		busy_at = now;
		open = true;
	}
	else if (open && now - busy_at > IDLE_CLOSE)
	{
		pcapi_http_close_idle();
		open = false;
	}
}

void
pcapi_worker_main(Datum main_arg)
{
	int64		tick_at = 0;
	bool		woken = true;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	my_slot = DatumGetObjectId(main_arg);
	my_database = whose_turn();
	connect_to(my_database);
	pin_settings();
	take_office();

	/* an open transaction that has cancelled, paused or purged something must not stop all the rest */
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);

	pcapi_live = pcapi_live_create();
	if (!pcapi_transaction(begin_work, NULL))
		exit_worker(1, "its first transaction failed");
	elog(DEBUG1, "pinterest_capi worker of database %u started", my_database);
	pgstat_report_activity(STATE_IDLE, NULL);
	in_office_since = pcapi_clock_ms();
	pcapi_retention_reloaded();

	for (;;)
	{
		PcapiRequest *request;
		int64		now;
		long		wait;
		bool		in_vain;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			pcapi_retention_reloaded();
			pcapi_dispatch_reloaded();
			woken = true;
		}
		while ((request = pcapi_http_finished()) != NULL)
			pcapi_dispatch_finish(request);
		wait = pcapi_dispatch_cycle(woken, &in_vain);

		now = pcapi_clock_ms();
		if (!pcapi_replicates)
			pcapi_keep_retention(now);
		close_idle(now);
		if (now >= tick_at)
		{
			check_office();
			if (others_send && !pcapi_replicates)
				pcapi_handover();
			if (!pcapi_replicates)
				pcapi_finish_erasures(now);
			look_after_subscriptions(now);
			share_slot(GetCurrentTimestamp());
			renew_worn();
			tick_at = now + TICK;
			pgstat_report_stat(false);
		}
		wait = Min(wait, (long) (tick_at - now));
		woken = pcapi_http_wait(wait, in_vain);
	}
}
