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
 * with FATAL where they are used up.  So this is the only one that is
 * registered: each cache of ours that depends on a relation has a line here.
 */
static void
relcache_changed(Datum arg, Oid relid)
{
	pcapi_table_relcache_changed(relid);
	pcapi_worker_relcache_changed(relid);
	pcapi_settings_relcache_changed(relid);
	pcapi_trigger_relcache_changed(relid);
}

/* Functions and types, whose names expressions of triggers use, and our schema. */
static const int watched_syscaches[] = {PROCOID, TYPEOID, NAMESPACEOID};

/* Of these there are 64 slots, less than half of which the server takes itself. */
static void
syscache_changed(Datum arg, int cache, uint32 hash)
{
	if (cache != NAMESPACEOID)
		pcapi_trigger_catalog_changed();
	if (cache != TYPEOID)
		pcapi_table_catalog_changed();
}

static void
xact_event(XactEvent event, void *arg)
{
	pcapi_wake_xact_event(event);
}

/*
 * As soon as the library is loaded: at the start of the server or session
 * where it is preloaded, else in the first statement that needs it.
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
