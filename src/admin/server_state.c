/*
 * server_state.c
 *	  _server_state(): what doctor.sql can't see in SQL of this library and this server, whatever
 *	  rights the caller has.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "common/guc.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"

/*
 * Return how many background workers run, of all extensions.  Workers that wait for their
 * restart take slots too, but only the postmaster knows of those.
 */
static int
running_workers(void)
{
	int			n = 0;

	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
		n += PcapiBackendStatus(i)->st_backendType == B_BG_WORKER;
	return n;
}

PG_FUNCTION_INFO_V1(pcapi_sql_server_state);

Datum
pcapi_sql_server_state(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(PCAPI_VERSION);
	values[1] = BoolGetDatum(pcapi_preloaded);
	values[2] = BoolGetDatum(pcapi_dispatch);
	values[3] = BoolGetDatum(pcapi_log_suppressed);
	values[4] = CStringGetTextDatum(pcapi_retention);
	values[5] = Int32GetDatum(max_worker_processes);
	values[6] = Int32GetDatum(running_workers());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
