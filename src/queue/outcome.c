/*
 * outcome.c
 *	  The final status of an event, and the statement that writes it.
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_columns.h"
#include "common/table_layout.h"
#include "queue/outcome.h"

#define REPLACING_OUTCOME \
	" ON CONFLICT (id) DO UPDATE SET finished_at = excluded.finished_at," \
	" last_attempt_at = excluded.last_attempt_at, dest = excluded.dest, attempts = excluded.attempts," \
	" http_status = excluded.http_status, status = excluded.status, reason = excluded.reason," \
	" error = excluded.error, warnings = excluded.warnings, test_mode = excluded.test_mode"

SPIPlanPtr
pcapi_outcome_plan(SPIPlanPtr plans[2], const char *sql, int nargs, Oid *argtypes)
{
	Relation	rel = table_open(pcapi_table(PCAPI_TABLE_OUTCOME), RowExclusiveLock);
	bool		replacing = rel->rd_rules == NULL && pcapi_uniqueness(rel, &pcapi_outcome_key).valid;

	table_close(rel, NoLock);
	return pcapi_plan(&plans[replacing], psprintf(sql, replacing ? REPLACING_OUTCOME : ""), nargs, argtypes);
}

const char *
pcapi_outcome_name(PcapiOutcome outcome)
{
	switch (outcome)
	{
		case PCAPI_SENT:
			return "sent";
		case PCAPI_FAILED:
			return "failed";
		case PCAPI_EXPIRED:
			return "expired";
		default:
			return "";
	}
}
