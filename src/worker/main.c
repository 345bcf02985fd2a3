/*
 * main.c
 *	  The worker's process: one per database.  Connection, transactions, the
 *	  loop, leaving when it should.
 *
 * What is sent when is dispatch.c's matter.  The process exits with 0 where
 * there is nothing for a worker to do (no extension, another worker, no
 * database any more), which ends its registration; with 1 to be started again,
 * maybe for another database: where slots are short they change hands
 * (src/queue/worker_slots.c).
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "common/extension.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue/detached_subscription.h"
#include "queue/hold.h"
#include "queue/published.h"
#include "queue/sequence.h"
#include "queue/worker_lock.h"
#include "queue/worker_start.h"
#include "queue/worker_state.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "worker/batch_settle.h"
#include "worker/dispatch.h"
#include "worker/erasure_schedule.h"
#include "worker/handover_schedule.h"
#include "worker/http.h"
#include "worker/retention_schedule.h"
#include "worker/sender.h"
#include "worker/slots.h"
#include "worker/transfer.h"
#include "worker/xact.h"

#define HOUSEKEEPING_INTERVAL_MS			1000	/* ms, as the next ones */
#define IDLE_CLOSE		30000
#define DETACH_EVERY	60000
#define LOCK_TIMEOUT	"200ms"

PGDLLEXPORT void pcapi_worker_main(Datum main_arg);

static bool database_gone = false;
static emit_log_hook_type next_log_hook;
static bool others_send;		/* as of the last check_database_and_extension() */

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
on_exit_database_gone(int code, Datum arg)
{
	if (database_gone)
		pcapi_exit_unneeded(false, "the database is dropped or accepts no connections");
}

static void
connect_to(Oid database)
{
	on_proc_exit(on_exit_database_gone, 0);
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

/*
 * Wait for the transaction that had this worker started, become the one
 * worker of the database, find the extension.  Each "no" leaves for good.
 */
static void
acquire_worker_lock(void)
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
		pcapi_exit_unneeded(true, "another worker serves the database");

	StartTransactionCommand();
	needed = OidIsValid(pcapi_extension_owner(true));
	CommitTransactionCommand();
	if (!needed)
		pcapi_exit_unneeded(false, "the database does not have the extension");
}

static void
begin_work(void *arg)
{
	int			n = 0;

	pcapi_replicates = pcapi_replicating_subscription() != NULL;
	if (!pcapi_replicates)
	{
		pcapi_senders_load();
		n = pcapi_batch_adopt();
		pcapi_sequences_advance();
	}
	if (n > 0)
		ereport(LOG,
				(errmsg_plural("%d event was in a request when the last worker ended; it is sent again under the same event_id",
							   "%d events were in a request when the last worker ended; they are sent again under the same event_id",
							   n, n)));
	pcapi_worker_state_publish();
}

/*
 * DROP DATABASE holds an exclusive lock on the database and waits for others to
 * leave without telling them: being refused is how to learn of it.  DROP
 * EXTENSION has to wait for no more than a transaction, but nobody else would
 * tell an idle worker of it.
 */
static void
check_database_and_extension(void)
{
	LOCKTAG		tag;
	bool		database_wanted;
	bool		dropped;
	bool		replicates;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	StartTransactionCommand();
	database_wanted = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	dropped = !database_wanted && get_extension_oid("pinterest_capi", true) != pcapi_served_extension;
	others_send = !database_wanted && !dropped && pcapi_published();
	replicates = !database_wanted && !dropped && pcapi_replicating_subscription() != NULL;
	CommitTransactionCommand();

	/* the connection attempt of the next one waits for the lock, and ends if the database is gone */
	if (database_wanted)
		pcapi_exit_worker(1, "the database is locked by a session that drops or copies it");
	if (dropped)
		pcapi_exit_dropped();
	if (replicates)
		pcapi_replicates = true;
	else if (pcapi_replicates && pcapi_dispatch_in_flight() == 0)
	{
		ereport(LOG,
				(errmsg("no subscription writes the queue any more: the worker of this database begins to send")));
		pcapi_exit_worker(1, "no subscription writes the queue any more");
	}
}

/* Exit, to be started again, where look-ups that never end have piled up, and nothing is under way. */
static void
renew_worn(void)
{
	TimestampTz due;

	if (!pcapi_http_worn() || !pcapi_dispatch_is_idle(&due))
		return;
	ereport(LOG,
			(errmsg("pinterest_capi worker exits to be started again, since many name look-ups got no answer")));
	pcapi_exit_worker(1, "many name look-ups got no answer");
}

static void
detach_subscriptions(void *arg)
{
	pcapi_detach_subscriptions();
}

/* At the start, and once a minute for what somebody restores meanwhile. */
static void
check_subscriptions(int64 now)
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
	pcapi_slot_database = DatumGetObjectId(main_arg);
	pcapi_served_database = pcapi_choose_database();
	connect_to(pcapi_served_database);
	pin_settings();
	acquire_worker_lock();

	/* an open transaction that has cancelled, paused or purged something must not stop all the rest */
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);

	pcapi_worker_state = pcapi_worker_state_create();
	if (!pcapi_transaction(begin_work, NULL))
		pcapi_exit_worker(1, "its first transaction failed");
	elog(DEBUG1, "pinterest_capi worker of database %u started", pcapi_served_database);
	pgstat_report_activity(STATE_IDLE, NULL);
	pcapi_serving_since = pcapi_clock_ms();
	pcapi_retention_reloaded();

	for (;;)
	{
		PcapiRequest *request;
		int64		now;
		long		wait;
		bool		spurious_wakeup;

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
		wait = pcapi_dispatch_cycle(woken, &spurious_wakeup);

		now = pcapi_clock_ms();
		if (!pcapi_replicates)
			pcapi_apply_retention(now);
		close_idle(now);
		if (now >= tick_at)
		{
			check_database_and_extension();
			if (others_send && !pcapi_replicates)
				pcapi_handover();
			if (!pcapi_replicates)
				pcapi_continue_erasures(now);
			check_subscriptions(now);
			pcapi_share_slot(GetCurrentTimestamp());
			renew_worn();
			tick_at = now + HOUSEKEEPING_INTERVAL_MS;
			pgstat_report_stat(false);
		}
		wait = Min(wait, (long) (tick_at - now));
		woken = pcapi_http_wait(wait, spurious_wakeup);
	}
}
