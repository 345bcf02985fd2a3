/*
 * main.c
 *	  The worker's process, one per database: its start, its loop, and the checks
 *	  by which it learns that it must exit.
 *
 *	start	choose a database (slots.c), connect, become its one worker, adopt
 *			the leases of an earlier worker
 *	loop	read answers and run a cycle (dispatch.c); once a second do the
 *			housekeeping; wait for the latch, a socket, or the next due time
 *	exit	0 where no worker is needed: no extension, another worker, no such
 *			database; that ends the registration.  1 to be started again, maybe
 *			for another database (slots.c).
 *
 * Left to others: what is sent when (dispatch.c), transactions and the exit
 * itself (xact.c), the work of the housekeeping (*_schedule.c).
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "common/extension.h"
#include "miscadmin.h"
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
#include "worker/statistics_schedule.h"
#include "worker/transfer.h"
#include "worker/xact.h"

#define HOUSEKEEPING_INTERVAL_MS	1000
#define DETACH_INTERVAL_MS			60000
#define IDLE_CLOSE_MS				30000

/* A lock that a session holds on a row stops the worker's other work no longer than this. */
#define LOCK_TIMEOUT	"200ms"

PGDLLEXPORT void pcapi_worker_main(Datum main_arg);

static bool database_missing = false;	/* the connection failed for that */
static emit_log_hook_type prev_emit_log_hook;
static bool is_published;		/* another server sends what is queued here; as of check_database_and_extension() */

static void close_idle(int64 now);
static void start(Oid slot_database);
static void connect_to(Oid database);
static void detect_missing_database(ErrorData *edata);
static void on_exit_database_missing(int code, Datum arg);
static void pin_settings(void);
static void acquire_worker_lock(void);
static void begin_work(void *arg);
static void do_housekeeping(int64 now);
static void check_database_and_extension(void);
static void check_subscriptions(int64 now);
static void detach_subscriptions(void *arg);
static void restart_if_worn(void);
void
pcapi_worker_main(Datum main_arg)
{
	int64		housekeeping_at = 0;
	bool		woken = true;

	start(DatumGetObjectId(main_arg));
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
		if (now >= housekeeping_at)
		{
			do_housekeeping(now);
			housekeeping_at = now + HOUSEKEEPING_INTERVAL_MS;
		}
		wait = Min(wait, pcapi_count_statistics(now, pcapi_dispatch_in_flight() > 0));
		wait = Min(wait, (long) (housekeeping_at - now));
		woken = pcapi_http_wait(wait, spurious_wakeup);
	}
}

/* Close the connections once no request has been in flight for a while. */
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
	else if (open && now - busy_at > IDLE_CLOSE_MS)
	{
		pcapi_http_close_idle();
		open = false;
	}
}

/* ---- the start ---- */

/* Choose a database, connect, become its one worker, adopt the leases of an earlier worker. */
static void
start(Oid slot_database)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	pcapi_slot_database = slot_database;
	pcapi_served_database = pcapi_choose_database();
	connect_to(pcapi_served_database);
	pin_settings();
	acquire_worker_lock();

	/* A session that has cancelled, paused or purged events and not committed must not stop all other work. */
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);

	pcapi_worker_state = pcapi_worker_state_create();
	if (!pcapi_transaction(begin_work, NULL))
		pcapi_exit_worker(1, "its first transaction failed");
	elog(DEBUG1, "pinterest_capi worker of database %u started", pcapi_served_database);
	pgstat_report_activity(STATE_IDLE, NULL);
	pcapi_serving_since = pcapi_clock_ms();
	pcapi_retention_reloaded();
}

/* Connect to the database, or exit. */
static void
connect_to(Oid database)
{
	on_proc_exit(on_exit_database_missing, 0);
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = detect_missing_database;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	emit_log_hook = prev_emit_log_hook;
}

/*
 * Detect that the database is missing or closed, by the error of the connection.
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE: the database does not accept
 * connections, or an interrupted DROP DATABASE left it invalid.
 */
static void
detect_missing_database(ErrorData *edata)
{
	if (edata->elevel == FATAL && (edata->sqlerrcode == ERRCODE_UNDEFINED_DATABASE ||
								   edata->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE))
		database_missing = true;
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

/* At the exit of the process (on_proc_exit): a database that is missing or closed needs no other worker. */
static void
on_exit_database_missing(int code, Datum arg)
{
	if (database_missing)
		pcapi_exit_unneeded(false, "the database is dropped or accepts no connections");
}

/*
 * Set what a database or its owner may have set otherwise, and what would change
 * the worker's statements.  Their plans use indexes, however old the statistics
 * are.
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
		/* In a deadlock the worker gives way, not a session. */
		{"deadlock_timeout", "100ms"},
		{"idle_in_transaction_session_timeout", "0"},
		/* Only triggers that the tables' owner has enabled for replicas fire; others may have been granted TRIGGER. */
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
		{"log_min_error_statement", "panic"},	/* our statements have long arrays of ids */
		{"application_name", "pinterest_capi"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Wait for the transaction that had this worker started, become the one worker
 * of the database, find the extension.  Exit where another worker serves the
 * database, or it has no extension.
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

/* The first transaction: adopt the leases of an earlier worker, and publish this one. */
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

/* ---- once a second ---- */

/* Once a second: exit where that is due, and do what is due by time alone. */
static void
do_housekeeping(int64 now)
{
	check_database_and_extension();
	if (is_published && !pcapi_replicates)
		pcapi_continue_handover();
	if (!pcapi_replicates)
		pcapi_continue_erasures(now);
	check_subscriptions(now);
	pcapi_yield_slot(GetCurrentTimestamp());
	restart_if_worn();
	pgstat_report_stat(false);
}

/*
 * Exit where a session drops the database or has dropped the extension, or where
 * the last subscription that writes the queue has ended.  Nothing tells an idle
 * worker of these.
 *
 * DROP DATABASE holds an exclusive lock on the database while it waits for other
 * processes to exit, so this asks for a lock on it without waiting: being refused
 * is the sign.  DROP EXTENSION waits for no more than a transaction.
 */
static void
check_database_and_extension(void)
{
	LOCKTAG		tag;
	bool		database_locked;
	bool		dropped;
	bool		replicates;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	StartTransactionCommand();
	database_locked = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	dropped = !database_locked && get_extension_oid("pinterest_capi", true) != pcapi_served_extension;
	is_published = !database_locked && !dropped && pcapi_published();
	replicates = !database_locked && !dropped && pcapi_replicating_subscription() != NULL;
	CommitTransactionCommand();

	/* The next process waits for the lock when it connects, and exits if the database is dropped. */
	if (database_locked)
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

/*
 * Detach the subscriptions that a dump or pg_upgrade has brought without _event,
 * at the start and once a minute, since a restore may bring one at any time.
 */
static void
check_subscriptions(int64 now)
{
	static int64 next_check = 0;

	if (now < next_check || pcapi_replicates || DefaultXactReadOnly)
		return;
	(void) pcapi_transaction(detach_subscriptions, NULL);
	next_check = now + DETACH_INTERVAL_MS;
}

/* In a transaction: call pcapi_detach_subscriptions(). */
static void
detach_subscriptions(void *arg)
{
	pcapi_detach_subscriptions();
}

/* Exit to be started again, once nothing is in progress, where many name look-ups never end: each has a thread. */
static void
restart_if_worn(void)
{
	TimestampTz due;

	if (!pcapi_http_worn() || !pcapi_dispatch_is_idle(&due))
		return;
	ereport(LOG,
			(errmsg("pinterest_capi worker exits to be started again, since many name look-ups got no answer")));
	pcapi_exit_worker(1, "many name look-ups got no answer");
}
