/*
 * table_columns.c
 *	  The columns and keys of tables that are accessed without statements, as the install script
 *	  makes them.
 *
 * specs/table_columns.spec compares these lists with the catalog.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/table_columns.h"
#include "fmgr.h"

/* ---- columns: name, type, whether each row has it ---- */

static const PcapiColumn event_columns[] = {
	[PCAPI_EVENT_ID - 1] = {"id", INT8OID, true},
	[PCAPI_EVENT_CREATED_AT - 1] = {"created_at", TIMESTAMPTZOID, true},
	[PCAPI_EVENT_EVENT_TIME - 1] = {"event_time", TIMESTAMPTZOID, true},
	[PCAPI_EVENT_DEST - 1] = {"dest", INT4OID, true},
	[PCAPI_EVENT_VISITOR - 1] = {"visitor", BYTEAOID, false},
	[PCAPI_EVENT_EVENT_ID - 1] = {"event_id", TEXTOID, true},
	[PCAPI_EVENT_EVENT_NAME - 1] = {"event_name", TEXTOID, true},
	[PCAPI_EVENT_SENT_AS - 1] = {"sent_as", TEXTOID, false},
	[PCAPI_EVENT_WARNINGS - 1] = {"warnings", TEXTARRAYOID, false},
	[PCAPI_EVENT_PAYLOAD - 1] = {"payload", TEXTOID, false},
	[PCAPI_EVENT_ORIGIN - 1] = {"origin", TEXTOID, false},
	[PCAPI_EVENT_DESTINATION - 1] = {"destination", TEXTOID, false},
	[PCAPI_EVENT_CARRIES - 1] = {"carries", CHAROID, false},
	[PCAPI_EVENT_CURRENCY - 1] = {"currency", TEXTOID, false},
	[PCAPI_EVENT_VALUE - 1] = {"value", TEXTOID, false}
};

static const PcapiColumn retry_columns[] = {
	[PCAPI_RETRY_ID - 1] = {"id", INT8OID, true},
	[PCAPI_RETRY_DEST - 1] = {"dest", INT4OID, true},
	[PCAPI_RETRY_ATTEMPTS - 1] = {"attempts", INT4OID, true},
	[PCAPI_RETRY_HTTP_STATUS - 1] = {"http_status", INT4OID, false},
	[PCAPI_RETRY_DUE_AT - 1] = {"due_at", TIMESTAMPTZOID, true},
	[PCAPI_RETRY_FIRST_ATTEMPT_AT - 1] = {"first_attempt_at", TIMESTAMPTZOID, false},
	[PCAPI_RETRY_LAST_ATTEMPT_AT - 1] = {"last_attempt_at", TIMESTAMPTZOID, false},
	[PCAPI_RETRY_ERROR - 1] = {"error", TEXTOID, false},
	[PCAPI_RETRY_WARNINGS - 1] = {"warnings", TEXTARRAYOID, false}
};

static const PcapiColumn outcome_columns[] = {
	[PCAPI_OUTCOME_ID - 1] = {"id", INT8OID, true},
	[PCAPI_OUTCOME_FINISHED_AT - 1] = {"finished_at", TIMESTAMPTZOID, true},
	[PCAPI_OUTCOME_LAST_ATTEMPT_AT - 1] = {"last_attempt_at", TIMESTAMPTZOID, false},
	[PCAPI_OUTCOME_DEST - 1] = {"dest", INT4OID, true},
	[PCAPI_OUTCOME_ATTEMPTS - 1] = {"attempts", INT4OID, true},
	[PCAPI_OUTCOME_HTTP_STATUS - 1] = {"http_status", INT4OID, false},
	[PCAPI_OUTCOME_STATUS - 1] = {"status", TEXTOID, true},
	[PCAPI_OUTCOME_REASON - 1] = {"reason", TEXTOID, false},
	[PCAPI_OUTCOME_ERROR - 1] = {"error", TEXTOID, false},
	[PCAPI_OUTCOME_WARNINGS - 1] = {"warnings", TEXTARRAYOID, false},
	[PCAPI_OUTCOME_TEST_MODE - 1] = {"test_mode", BOOLOID, false}
};

/* This table is read, and rows are deleted. */
static const PcapiColumn visitor_columns[] = {
	[PCAPI_VISITOR_VISITOR - 1] = {"visitor", BYTEAOID, true},
	[PCAPI_VISITOR_USER_DATA - 1] = {"user_data", JSONBOID, true},
	[PCAPI_VISITOR_CONSENT - 1] = {"consent", JSONBOID, false},
	[PCAPI_VISITOR_CLICK_ID - 1] = {"click_id", TEXTOID, false},
	[PCAPI_VISITOR_CLICK_ID_AT - 1] = {"click_id_at", TIMESTAMPTZOID, false},
	[PCAPI_VISITOR_UPDATED_AT - 1] = {"updated_at", TIMESTAMPTZOID, true}
};

/* Of these two tables the first columns are read. */
static const PcapiColumn erasure_columns[] = {
	[PCAPI_ERASURE_ERASURE - 1] = {"erasure", INT8OID, true}
};

static const PcapiColumn worker_columns[] = {
	[PCAPI_WORKER_PID - 1] = {"pid", INT4OID, true},
	[PCAPI_WORKER_PROCNO - 1] = {"procno", INT4OID, true},
	[PCAPI_WORKER_SEGMENT - 1] = {"segment", INT8OID, true}
};

static const struct
{
	const PcapiColumn *columns;
	int			n;
}			column_lists[PCAPI_TABLES] = {
	[PCAPI_TABLE_EVENT] = {event_columns, lengthof(event_columns)},
	[PCAPI_TABLE_RETRY] = {retry_columns, lengthof(retry_columns)},
	[PCAPI_TABLE_OUTCOME] = {outcome_columns, lengthof(outcome_columns)},
	[PCAPI_TABLE_VISITOR] = {visitor_columns, lengthof(visitor_columns)},
	[PCAPI_TABLE_ERASURE] = {erasure_columns, lengthof(erasure_columns)},
	[PCAPI_TABLE_WORKER] = {worker_columns, lengthof(worker_columns)},
};

StaticAssertDecl(lengthof(event_columns) == PCAPI_EVENT_COLUMNS, "columns of _event");
StaticAssertDecl(lengthof(retry_columns) == PCAPI_RETRY_COLUMNS, "columns of _retry");
StaticAssertDecl(lengthof(outcome_columns) == PCAPI_OUTCOME_COLUMNS, "columns of _outcome");

bool
pcapi_has_columns(PcapiTable table)
{
	return column_lists[table].columns != NULL;
}

const PcapiColumn *
pcapi_columns(PcapiTable table, int *n)
{
	if (!pcapi_has_columns(table))
		elog(ERROR, "table %d has no list of columns", (int) table);
	*n = column_lists[table].n;
	return column_lists[table].columns;
}

const char *
pcapi_column_name(PcapiTable table, int column)
{
	int			n;

	return pcapi_columns(table, &n)[column - 1].name;
}

Oid
pcapi_column_type(PcapiTable table, int column)
{
	int			n;

	return pcapi_columns(table, &n)[column - 1].type;
}

/* ---- keys ---- */

const PcapiKey pcapi_event_key = {1, {PCAPI_EVENT_ID}};
const PcapiKey pcapi_event_dedup_key = {3, {PCAPI_EVENT_EVENT_ID, PCAPI_EVENT_EVENT_NAME, PCAPI_EVENT_DEST}};
const PcapiKey pcapi_outcome_key = {1, {PCAPI_OUTCOME_ID}};
const PcapiKey pcapi_retry_key = {2, {PCAPI_RETRY_DEST, PCAPI_RETRY_ID}};
const PcapiKey pcapi_visitor_key = {1, {PCAPI_VISITOR_VISITOR}};
