/*
 * statistics_days.c
 *	  Sums of whole days, and deleting old statistics, in the worker.
 *
 * Who looks back a year reads a row for each day and kind of event instead of 24.  A day
 * is added up when it is over, and all before it are.  From then on, whatever is added
 * to one of its hours is added to it too (statistics_count.c), in the same transaction.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "queue/statistics.h"
#include "queue/statistics_days.h"
#include "utils/builtins.h"

/* Days without any event have no rows, so the first day is that of the first hour. */
bool
pcapi_statistics_days_step(void)
{
	static SPIPlanPtr plan = NULL;
	bool		any;

	SPI_connect();
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_plan(&plan,
							 "WITH today AS (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day),"
							 " first AS (SELECT" PCAPI_DAY("h.") " AS day FROM pinterest_capi._statistics AS h"
							 " WHERE h.hour >= " PCAPI_FIRST_HOUR_WITHOUT_DAY
							 " AND h.hour < (SELECT t.day::timestamp AT TIME ZONE 'UTC' FROM today AS t) ORDER BY h.hour LIMIT 1)"
							 " INSERT INTO pinterest_capi._statistics_day (day," PCAPI_COUNTED_KIND("") "," PCAPI_COUNTED_NUMBERS("") ")"
							 " SELECT" PCAPI_DAY("h.") "," PCAPI_COUNTED_KIND("h.") "," PCAPI_COUNTED_SUMS("h.")
							 " FROM pinterest_capi._statistics AS h"
							 " WHERE h.hour >= (SELECT f.day::timestamp AT TIME ZONE 'UTC' FROM first AS f)"
							 " AND h.hour < (SELECT least(f.day + 7, t.day)::timestamp AT TIME ZONE 'UTC' FROM first AS f, today AS t)"
							 " GROUP BY" PCAPI_DAY("h.") "," PCAPI_COUNTED_KIND("h."),
							 0, NULL),
				  NULL, NULL, false, 0);
	any = SPI_processed > 0;
	SPI_finish();
	return any;
}

/* What waits is still counted, however old it is. */
bool
pcapi_statistics_retention_step(const char *retention)
{
	static SPIPlanPtr hours_plan = NULL;
	static SPIPlanPtr days_plan = NULL;
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(retention)};
	bool		more;

	SPI_connect();
	pcapi_execute(SPI_OK_DELETE,
				  pcapi_plan(&hours_plan,
							 "DELETE FROM pinterest_capi._statistics WHERE ctid = ANY (ARRAY(SELECT s.ctid"
							 " FROM pinterest_capi._statistics AS s WHERE s.hour < (SELECT clock_timestamp() - $1::interval)"
							 " AND s.status NOT IN ('queued', 'retrying') ORDER BY s.hour LIMIT 2000))",
							 1, types),
				  values, NULL, false, 0);
	more = SPI_processed == 2000;
	pcapi_execute(SPI_OK_DELETE,
				  pcapi_plan(&days_plan,
							 "DELETE FROM pinterest_capi._statistics_day WHERE ctid = ANY (ARRAY(SELECT s.ctid"
							 " FROM pinterest_capi._statistics_day AS s WHERE s.day < (SELECT (clock_timestamp() - $1::interval)::date)"
							 " AND s.status NOT IN ('queued', 'retrying') ORDER BY s.day LIMIT 2000))",
							 1, types),
				  values, NULL, false, 0);
	more = more || SPI_processed == 2000;
	SPI_finish();
	return more;
}
