/*
 * table_columns.c
 *	  The columns and keys of the extension's tables, as the install script made them.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/table_columns.h"
#include "fmgr.h"

/* as in tables.sql, and as numbered in table_columns.h */
static const PcapiColumn event_columns[] = {
	{"id", INT8OID, true}, {"created_at", TIMESTAMPTZOID, true}, {"event_time", TIMESTAMPTZOID, true},
	{"dest", INT4OID, true}, {"visitor", BYTEAOID, false}, {"event_id", TEXTOID, true},
	{"event_name", TEXTOID, true}, {"sent_as", TEXTOID, false}, {"warnings", TEXTARRAYOID, false},
	{"payload", TEXTOID, false}, {"origin", TEXTOID, false}, {"destination", TEXTOID, false}
};
static const PcapiColumn queue_columns[] = {
	{"id", INT8OID, true}, {"dest", INT4OID, true}, {"attempts", INT4OID, true}, {"http_status", INT4OID, false},
	{"due_at", TIMESTAMPTZOID, false}, {"first_attempt_at", TIMESTAMPTZOID, false},
	{"last_attempt_at", TIMESTAMPTZOID, false}, {"error", TEXTOID, false}, {"warnings", TEXTARRAYOID, false}
};
static const PcapiColumn outcome_columns[] = {
	{"id", INT8OID, true}, {"finished_at", TIMESTAMPTZOID, true}, {"last_attempt_at", TIMESTAMPTZOID, false},
	{"dest", INT4OID, true}, {"attempts", INT4OID, true}, {"http_status", INT4OID, false},
	{"status", TEXTOID, true}, {"reason", TEXTOID, false}, {"error", TEXTOID, false}, {"warnings", TEXTARRAYOID, false},
	{"test_mode", BOOLOID, false}
};

/* read, and deleted from */
static const PcapiColumn visitor_columns[] = {
	{"visitor", BYTEAOID, true}, {"user_data", JSONBOID, true}, {"consent", JSONBOID, false},
	{"click_id", TEXTOID, false}, {"click_id_at", TIMESTAMPTZOID, false}, {"updated_at", TIMESTAMPTZOID, true}
};

/* whether it has rows is all that is read directly */
static const PcapiColumn erasure_columns[] = {{"erasure", INT8OID, true}};

StaticAssertDecl(lengthof(event_columns) == PCAPI_EVENT_COLUMNS, "columns of _event");
StaticAssertDecl(lengthof(queue_columns) == PCAPI_QUEUE_COLUMNS, "columns of _queue");
StaticAssertDecl(lengthof(outcome_columns) == PCAPI_OUTCOME_COLUMNS, "columns of _outcome");

const PcapiColumn *
pcapi_columns(PcapiTable table, int *n)
{
	switch (table)
	{
		case PCAPI_TABLE_EVENT:
			*n = lengthof(event_columns);
			return event_columns;
		case PCAPI_TABLE_QUEUE:
			*n = lengthof(queue_columns);
			return queue_columns;
		case PCAPI_TABLE_OUTCOME:
			*n = lengthof(outcome_columns);
			return outcome_columns;
		case PCAPI_TABLE_VISITOR:
			*n = lengthof(visitor_columns);
			return visitor_columns;
		case PCAPI_TABLE_ERASURE:
			*n = lengthof(erasure_columns);
			return erasure_columns;
		default:
			elog(ERROR, "table %d has no list of columns", (int) table);
	}
	pg_unreachable();
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

const PcapiKey pcapi_event_key = {1, {PCAPI_EVENT_ID}};
const PcapiKey pcapi_event_dedup_key = {3, {PCAPI_EVENT_EVENT_ID, PCAPI_EVENT_EVENT_NAME, PCAPI_EVENT_DEST}};
const PcapiKey pcapi_outcome_key = {1, {PCAPI_OUTCOME_ID}};
const PcapiKey pcapi_queue_key = {2, {PCAPI_QUEUE_DEST, PCAPI_QUEUE_ID}};
const PcapiKey pcapi_visitor_key = {1, {PCAPI_VISITOR_VISITOR}};
