/*
 * steps.c
 *	  Run the worker's steps of a transaction, one at a time, in a session that a
 *	  test controls: the same functions (src/queue), called as the same user.
 *	  Scheduling and HTTP are not part of it.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/guc.h"
#include "common/table_columns.h"
#include "fmgr.h"
#include "funcapi.h"
#include "queue/dequeue_new.h"
#include "queue/destination_config.h"
#include "queue/destination_state.h"
#include "queue/lease.h"
#include "queue/outcome.h"
#include "queue/payload.h"
#include "queue/retention.h"
#include "queue/settle.h"
#include "queue/worker_lock.h"
#include "queue/worker_state.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(step_worker_lock);
PG_FUNCTION_INFO_V1(step_claim);
PG_FUNCTION_INFO_V1(step_settle);
PG_FUNCTION_INFO_V1(step_token);
PG_FUNCTION_INFO_V1(step_retention);
PG_FUNCTION_INFO_V1(step_columns);

/* the last claim, as a batch holds it */
static PcapiQueuedEvent *claimed;
static int	n_claimed;

static void
relcache_changed(Datum arg, Oid relid)
{
	pcapi_table_relcache_changed(relid);
	pcapi_worker_relcache_changed(relid);
}

/* Initialise what the extension's _PG_init would: this library has its own copies of caches and settings. */
void
_PG_init(void)
{
	pcapi_senders = pstrdup("");
	CacheRegisterRelcacheCallback(relcache_changed, (Datum) 0);
}

static bool
skip_none(void *arg, int64 id)
{
	return false;
}

static int
number_arg(FunctionCallInfo fcinfo)
{
	int			dest = pcapi_destination_number(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);

	if (dest == 0)
		elog(ERROR, "no such destination");
	return dest;
}

/* step_worker_lock(): make this session the one worker of the database until it ends. */
Datum
step_worker_lock(PG_FUNCTION_ARGS)
{
	/* the worker of a dropped extension exits within a second */
	while (!pcapi_lock(PCAPI_LOCK_WORKER, true))
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10000L);
	}
	PG_RETURN_VOID();
}

/* step_claim(destination, at most): lease events as for a request, and return their ids. */
Datum
step_claim(PG_FUNCTION_ARGS)
{
	PcapiUserContext saved;
	PcapiPayloadBudget reader = {.skip = skip_none, .room = 1024 * 1024};
	PcapiWalk	walk = {.upto = PCAPI_LAST_ID, .budget = &reader};
	MemoryContext old;
	int64	   *ids;
	Datum	   *elems;
	int			dest;
	int			n;

	pcapi_switch_to_owner(&saved, true);
	dest = number_arg(fcinfo);
	old = MemoryContextSwitchTo(TopMemoryContext);
	walk.dest = dest;
	n = n_claimed = pcapi_dequeue_new(&walk, PG_GETARG_INT32(1), &claimed);
	MemoryContextSwitchTo(old);
	ids = palloc(sizeof(int64) * Max(n, 1));
	elems = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		ids[i] = claimed[i].id;
		elems[i] = Int64GetDatum(ids[i]);
	}
	if (n > 0)
		(void) pcapi_lease(dest, ids, n);
	pcapi_restore_user(&saved);
	PG_RETURN_ARRAYTYPE_P(construct_array(elems, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* step_settle(destination, lease, ids in the order of the request, sent | retrying) */
Datum
step_settle(PG_FUNCTION_ARGS)
{
	char	   *status = text_to_cstring(PG_GETARG_TEXT_PP(3));
	PcapiUserContext saved;
	PcapiEventOutcome *settled;
	char	   *problem;
	Datum	   *ids;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &ids, NULL, &n);
	settled = palloc0(sizeof(PcapiEventOutcome) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		settled[i].id = DatumGetInt64(ids[i]);
		for (int c = 0; c < n_claimed; c++)
			if (claimed[c].id == settled[i].id)
			{
				settled[i].tid = claimed[c].tid;
				settled[i].xmin = claimed[c].xmin;
				settled[i].created_at = claimed[c].created_at;
			}
		settled[i].attempted = true;
		settled[i].outcome = strcmp(status, "sent") == 0 ? PCAPI_SENT : PCAPI_RETRY;
		settled[i].http_status = settled[i].outcome == PCAPI_SENT ? 200 : 500;
	}
	pcapi_switch_to_owner(&saved, true);
	(void) pcapi_settle(number_arg(fcinfo), PG_GETARG_INT64(1), GetCurrentTimestamp(), settled, n,
						palloc(sizeof(PcapiWritten) * Max(n, 1)), &problem);
	pcapi_restore_user(&saved);
	PG_RETURN_VOID();
}

/* step_token(destination, for a pause): return the token that a request would carry; for a pause, lock the state first. */
Datum
step_token(PG_FUNCTION_ARGS)
{
	PcapiUserContext saved;
	char	   *token = NULL;
	int			dest;
	ListCell   *lc;

	pcapi_switch_to_owner(&saved, true);
	dest = number_arg(fcinfo);
	if (PG_GETARG_BOOL(1))
		pcapi_destination_lock(dest);
	foreach(lc, pcapi_destination_configs(dest))
		token = ((PcapiDestinationConfig *) lfirst(lc))->token;
	pcapi_restore_user(&saved);
	if (token == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/* step_retention(interval): run one step over all final rows. */
Datum
step_retention(PG_FUNCTION_ARGS)
{
	char	   *retention = text_to_cstring(PG_GETARG_TEXT_PP(0));
	PcapiUserContext saved;
	int64		after = 0;
	int64		changed;

	pcapi_switch_to_owner(&saved, true);
	(void) pcapi_retention_step(retention, retention, &after, &changed);
	pcapi_restore_user(&saved);
	PG_RETURN_VOID();
}

/* step_columns(): the columns of tables that are accessed without statements, as the C code has them */
Datum
step_columns(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int table = 0; table < PCAPI_TABLES; table++)
	{
		const PcapiColumn *columns;
		int			n = 0;

		if (!pcapi_has_columns(table))
			continue;
		columns = pcapi_columns(table, &n);
		for (int i = 0; i < n; i++)
		{
			Datum		values[5];
			bool		nulls[5] = {false};

			values[0] = ObjectIdGetDatum(pcapi_table(table));
			values[1] = Int16GetDatum(i + 1);
			values[2] = CStringGetTextDatum(columns[i].name);
			values[3] = ObjectIdGetDatum(columns[i].type);
			values[4] = BoolGetDatum(columns[i].filled);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
