/*
 * live.c
 *	  The worker's segment in shared memory, and worker_status's reading of it.
 */
#include "queue/live.h"
#include "queue/queue.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/timestamp.h"

static dsm_segment *my_segment;

PcapiLive *
pcapi_live_create(void)
{
	PcapiLive  *live;

	my_segment = dsm_create(sizeof(PcapiLive), 0);
	dsm_pin_mapping(my_segment);	/* until this process ends */
	live = dsm_segment_address(my_segment);
	memset(live, 0, sizeof(PcapiLive));
	SpinLockInit(&live->mutex);
	live->pid = MyProcPid;
	live->started_at = live->last_cycle_at = GetCurrentTimestamp();
	strlcpy(live->version, PCAPI_VERSION, sizeof(live->version));
	strlcpy(live->state, "starting", sizeof(live->state));
	live->magic = PCAPI_LIVE_MAGIC;
	return live;
}

/* One row, the one of the worker that holds the lock. */
void
pcapi_live_publish(void)
{
	Oid			argtypes[3] = {INT4OID, INT4OID, INT8OID};
	Datum		values[3];

	values[0] = Int32GetDatum(MyProcPid);
	values[1] = Int32GetDatum(PcapiMyProcNumber());
	values[2] = Int64GetDatum((int64) dsm_segment_handle(my_segment));
	SPI_connect();
	SPI_execute("DELETE FROM pinterest_capi._worker", false, 0);
	SPI_execute_with_args("INSERT INTO pinterest_capi._worker (pid, procno, segment, started_at)"
						  " VALUES ($1, $2, $3, pg_catalog.clock_timestamp())",
						  3, argtypes, values, NULL, false, 0);
	SPI_finish();
	/* sessions read the row again */
	CacheInvalidateRelcacheByRelid(pcapi_table(PCAPI_T_WORKER));
}

PG_FUNCTION_INFO_V1(pcapi_sql_worker_state);

/* No row unless a worker of this database runs. */
Datum
pcapi_sql_worker_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	dsm_segment *segment;
	PcapiLive  *live;
	PcapiLive	copy;
	Interval	ahead = {0};
	Datum		values[10];
	bool		nulls[10] = {false};

	InitMaterializedSRF(fcinfo, 0);
	pcapi_worker_forget();		/* a look is rare and must be right */
	live = pcapi_live_attach(&segment);
	if (live == NULL)
		return (Datum) 0;
	SpinLockAcquire(&live->mutex);
	memcpy(&copy, live, sizeof(PcapiLive));
	SpinLockRelease(&live->mutex);
	dsm_detach(segment);

	values[0] = Int32GetDatum(copy.pid);
	values[1] = CStringGetTextDatum(copy.state);
	values[2] = TimestampTzGetDatum(copy.started_at);
	values[3] = TimestampTzGetDatum(copy.last_cycle_at);
	values[4] = Int32GetDatum(copy.in_flight);
	if (copy.last_error[0] != '\0')
		values[5] = CStringGetTextDatum(copy.last_error);
	else
		nulls[5] = true;
	values[6] = TimestampTzGetDatum(copy.last_error_at);
	nulls[6] = nulls[5];
	values[7] = CStringGetTextDatum(copy.version);
	ahead.time = copy.clock_ahead;
	values[8] = IntervalPGetDatum(&ahead);
	values[9] = TimestampTzGetDatum(copy.clock_seen_at);
	nulls[8] = nulls[9] = (copy.clock_seen_at == 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
