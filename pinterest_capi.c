/*
 * pinterest_capi.c
 *	  Load the library: module magic, callbacks, the launcher's registration.
 *
 * SQL functions stand with their subjects: src/track, src/admin and src/fanin
 * run in a caller's session, src/queue holds the statements on the tables, and
 * src/worker the background processes.
 */
#include "pinterest_capi.h"

#include "common/extension.h"
#include "common/guc.h"
#include "postmaster/bgworker.h"
#include "queue/wakeup.h"
#include "queue/worker_state.h"
#include "track/settings_cache.h"
#include "track/track_trigger.h"
#include "utils/inval.h"
#include "utils/syscache.h"

PCAPI_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/*
 * A process has 10 slots for relcache callbacks for all extensions, and ends
 * with FATAL if all are taken.  So this is the only one that the extension
 * registers: each of its caches that depends on a relation has a line here.
 */
static void
relcache_changed(Datum arg, Oid relid)
{
	pcapi_table_relcache_changed(relid);
	pcapi_worker_relcache_changed(relid);
	pcapi_settings_relcache_changed(relid);
	pcapi_trigger_relcache_changed(relid);
}

/* Functions and types, whose names the expressions of triggers use, and the schema of the extension. */
static const int watched_syscaches[] = {PROCOID, TYPEOID, NAMESPACEOID};

/* Tell the caches of ours of a change.  There are 64 slots for these callbacks; the server takes less than half. */
static void
syscache_changed(Datum arg, int cache, uint32 hash)
{
	if (cache != NAMESPACEOID)
		pcapi_trigger_catalog_changed();
	if (cache != TYPEOID)
		pcapi_table_catalog_changed();
}

/* Pass the end of a transaction on. */
static void
xact_event(XactEvent event, void *arg)
{
	pcapi_wake_xact_event(event);
}

/*
 * Register one callback of each kind.  Called when the library is loaded: at the
 * start of the server or the session if it is preloaded, else in the first
 * statement that needs it.
 */
static void
register_callbacks(void)
{
	CacheRegisterRelcacheCallback(relcache_changed, (Datum) 0);
	for (int i = 0; i < lengthof(watched_syscaches); i++)
		CacheRegisterSyscacheCallback(watched_syscaches[i], PcapiSyscacheCallback(syscache_changed), (Datum) 0);
	RegisterXactCallback(xact_event, NULL);
}

void
_PG_init(void)
{
	pcapi_define_settings();
	register_callbacks();
	pcapi_preloaded = process_shared_preload_libraries_in_progress;

	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
	{
		BackgroundWorker launcher = {0};

		launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
		launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
		launcher.bgw_restart_time = 5;
		strlcpy(launcher.bgw_library_name, "pinterest_capi", sizeof(launcher.bgw_library_name));
		strlcpy(launcher.bgw_function_name, "pcapi_launcher_main", sizeof(launcher.bgw_function_name));
		strlcpy(launcher.bgw_name, "pinterest_capi launcher", BGW_MAXLEN);
		strlcpy(launcher.bgw_type, "pinterest_capi launcher", BGW_MAXLEN);
		RegisterBackgroundWorker(&launcher);
	}
}
