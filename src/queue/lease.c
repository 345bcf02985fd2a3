/*
 * lease.c
 *	  Write leases: which events are in a request, before it starts.
 *
 * A lease is a row per request.  It is committed before the request starts, and
 * deleted when its events are settled.  If the worker ends in between, the lease tells
 * the next one which events may have been processed.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/spi.h"
#include "queue/lease.h"
#include "queue/waiting.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/*
 * After a failover, nothing but the lease tells the promoted server that a request was
 * in flight.  So it must be where the events are: the commit waits for synchronous
 * standbys as an ordinary session's does, and for the disk in any case.
 */
static void
commit_as_sessions_do(void)
{
	const char *setting = GetConfigOptionResetString("synchronous_commit");

	if (strcmp(setting, "off") != 0)
		(void) set_config_option("synchronous_commit", setting, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

int64
pcapi_lease(int dest, const int64 *ids, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, INT8ARRAYOID};
	Datum		values[2];
	int64		lease;

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = pcapi_id_array(ids, n);
	pcapi_execute(SPI_OK_INSERT_RETURNING,
				  pcapi_plan(&plan,
							 "INSERT INTO pinterest_capi._lease (dest, taken_at, ids)"
							 " VALUES ($1, clock_timestamp(), $2) RETURNING lease",
							 2, types),
				  values, NULL, false, 0);
	lease = pcapi_result_int64(0, "lease");
	SPI_finish();
	commit_as_sessions_do();
	return lease;
}

List *
pcapi_leases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *leases = NIL;

	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT l.lease, l.dest, l.taken_at, w.ids FROM pinterest_capi._lease AS l CROSS JOIN LATERAL"
					  " (SELECT coalesce(array_agg(i.id ORDER BY i.id), '{}') AS ids FROM unnest(l.ids) AS i (id)"
					  " WHERE" PCAPI_NOT_FINAL("i.id") ") AS w"
					  " ORDER BY l.lease",
					  true);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiLease *lease;
		ArrayType  *ids = DatumGetArrayTypeP(pcapi_result_array(i, "ids"));
		MemoryContext old = MemoryContextSwitchTo(context);

		lease = palloc0(sizeof(PcapiLease));
		lease->lease = pcapi_result_int64(i, "lease");
		lease->dest = pcapi_result_int32(i, "dest");
		lease->taken_at = pcapi_result_time(i, "taken_at");
		lease->n = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
		lease->ids = palloc(sizeof(int64) * Max(lease->n, 1));
		memcpy(lease->ids, ARR_DATA_PTR(ids), sizeof(int64) * lease->n);
		leases = lappend(leases, lease);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return leases;
}
