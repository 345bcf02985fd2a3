/*
 * cancel.c
 *	  cancel() and purge(): make queued events final, delete final ones.
 */
#include "pinterest_capi.h"

#include "admin/destination_admin.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "fmgr.h"
#include "queue/event_id.h"
#include "queue/finalize.h"
#include "queue/statistics.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pcapi_sql_cancel);
Datum
pcapi_sql_cancel(PG_FUNCTION_ARGS)
{
	char	   *event_id = pcapi_text_arg(fcinfo, 0);
	char	   *destination = pcapi_text_arg(fcinfo, 1);
	Oid			types[2] = {TEXTOID, INT4OID};
	Datum		values[2] = {0};
	char		nulls[2] = {' ', 'n'};
	PcapiUserContext saved;
	const char *why;
	int64		n;

	pcapi_check_writable("cancel()");
	if (event_id == NULL)
		pcapi_error_invalid_parameter(("event_id must not be null"),
									  ("The view pinterest_capi.dispatch_status shows what waits."));
	pcapi_switch_to_owner(&saved, true);
	values[0] = CStringGetTextDatum(pcapi_stored_event_id(event_id, &why));
	if (destination)
	{
		values[1] = Int32GetDatum(pcapi_require_destination(destination));
		nulls[1] = ' ';
	}
	n = pcapi_finalize_waiting("cancelled", "by cancel",
							   "SELECT n.dest, n.id FROM (SELECT e.dest, e.id FROM pinterest_capi._event AS e"
							   " WHERE e.event_id = $1 AND ($2 IS NULL OR e.dest = $2) OFFSET 0) AS n ORDER BY n.id",
							   false, 2, types, values, nulls);
	pcapi_restore_user(&saved);
	PG_RETURN_INT64(n);
}

/*
 * Delete final events.  One that was replayed since it was chosen is queued, or has been
 * final for a shorter time.  A PcapiStep.
 */
static int64
purge_step(Datum dests, Datum ids, void *arg)
{
	static SPIPlanPtr plan = NULL;
	const Datum *age = arg;
	Oid			types[3] = {INT8ARRAYOID, INTERVALOID, TIMESTAMPTZOID};
	Datum		values[3] = {ids, age[0], age[1]};
	int64		n;

	SPI_connect();
	pcapi_execute(SPI_OK_DELETE,
				  pcapi_plan(&plan,
							 "WITH gone AS (DELETE FROM pinterest_capi._outcome"
							 " WHERE id = ANY ($1) AND finished_at < $3 - $2 RETURNING id), " PCAPI_COUNT_DELETED("gone")
							 " DELETE FROM pinterest_capi._event WHERE id = ANY (ARRAY(SELECT id FROM gone))",
							 3, types),
				  values, NULL, false, 0);
	n = (int64) SPI_processed;
	SPI_finish();
	return n;
}

PG_FUNCTION_INFO_V1(pcapi_sql_purge);
Datum
pcapi_sql_purge(PG_FUNCTION_ARGS)
{
	Interval   *older_than = PG_GETARG_INTERVAL_P(0);
	Oid			types[2] = {INTERVALOID, TIMESTAMPTZOID};
	Datum		values[2] = {IntervalPGetDatum(older_than), TimestampTzGetDatum(GetCurrentTimestamp())};
	PcapiUserContext saved;
	int64		n;

	pcapi_check_writable("purge()");
	if (older_than->month < 0 || older_than->day < 0 || older_than->time < 0)
		pcapi_error_invalid_parameter(("older_than must not be negative"),
									  ("Give an interval such as '30 days'."));
	pcapi_switch_to_owner(&saved, true);
	n = pcapi_in_steps("SELECT o.dest, o.id FROM pinterest_capi._outcome AS o WHERE o.finished_at < $2 - $1",
					   2, types, values, NULL, purge_step, values);
	pcapi_restore_user(&saved);
	PG_RETURN_INT64(n);
}
