/*
 * table_columns.h
 *	  The columns and keys of tables that are accessed without statements, as the install script
 *	  makes them.
 */
#ifndef PCAPI_TABLE_COLUMNS_H
#define PCAPI_TABLE_COLUMNS_H

#include "pinterest_capi.h"

#include "common/extension.h"

#define PCAPI_KEYS_MAX	3

/* the key of an index, by the numbers of its columns */
typedef struct PcapiKey
{
	int			n;
	int			columns[PCAPI_KEYS_MAX];
} PcapiKey;

/* the numbers of columns, table by table */
enum
{
	PCAPI_EVENT_ID = 1,
	PCAPI_EVENT_CREATED_AT,
	PCAPI_EVENT_EVENT_TIME,
	PCAPI_EVENT_DEST,
	PCAPI_EVENT_VISITOR,
	PCAPI_EVENT_EVENT_ID,
	PCAPI_EVENT_EVENT_NAME,
	PCAPI_EVENT_SENT_AS,
	PCAPI_EVENT_WARNINGS,
	PCAPI_EVENT_PAYLOAD,
	PCAPI_EVENT_ORIGIN,
	PCAPI_EVENT_DESTINATION,
	PCAPI_EVENT_CARRIES,
	PCAPI_EVENT_CURRENCY,
	PCAPI_EVENT_VALUE,
	PCAPI_EVENT_COLUMNS = PCAPI_EVENT_VALUE
};

enum
{
	PCAPI_RETRY_ID = 1,
	PCAPI_RETRY_DEST,
	PCAPI_RETRY_ATTEMPTS,
	PCAPI_RETRY_HTTP_STATUS,
	PCAPI_RETRY_DUE_AT,
	PCAPI_RETRY_FIRST_ATTEMPT_AT,
	PCAPI_RETRY_LAST_ATTEMPT_AT,
	PCAPI_RETRY_ERROR,
	PCAPI_RETRY_WARNINGS,
	PCAPI_RETRY_COLUMNS = PCAPI_RETRY_WARNINGS
};

enum
{
	PCAPI_OUTCOME_ID = 1,
	PCAPI_OUTCOME_FINISHED_AT,
	PCAPI_OUTCOME_LAST_ATTEMPT_AT,
	PCAPI_OUTCOME_DEST,
	PCAPI_OUTCOME_ATTEMPTS,
	PCAPI_OUTCOME_HTTP_STATUS,
	PCAPI_OUTCOME_STATUS,
	PCAPI_OUTCOME_REASON,
	PCAPI_OUTCOME_ERROR,
	PCAPI_OUTCOME_WARNINGS,
	PCAPI_OUTCOME_TEST_MODE,
	PCAPI_OUTCOME_COLUMNS = PCAPI_OUTCOME_TEST_MODE
};

enum
{
	PCAPI_VISITOR_VISITOR = 1,
	PCAPI_VISITOR_USER_DATA,
	PCAPI_VISITOR_CONSENT,
	PCAPI_VISITOR_CLICK_ID,
	PCAPI_VISITOR_CLICK_ID_AT,
	PCAPI_VISITOR_UPDATED_AT
};

enum
{
	PCAPI_ERASURE_ERASURE = 1
};

enum
{
	PCAPI_WORKER_PID = 1,
	PCAPI_WORKER_PROCNO,
	PCAPI_WORKER_SEGMENT
};

/* a column */
typedef struct PcapiColumn
{
	const char *name;
	Oid			type;
	bool		filled;			/* the extension writes it in every row, so NOT NULL or a default has no effect */
} PcapiColumn;

/* Return the name or the type of a column. */
extern const char *pcapi_column_name(PcapiTable table, int column);
extern Oid	pcapi_column_type(PcapiTable table, int column);

/* keys by which rows are found */
extern const PcapiKey pcapi_event_key;
extern const PcapiKey pcapi_event_dedup_key;
extern const PcapiKey pcapi_outcome_key;
extern const PcapiKey pcapi_retry_key;
extern const PcapiKey pcapi_visitor_key;

/* Return a table's columns, *n of them.  It is an error if the table is accessed by SQL alone. */
extern bool pcapi_has_columns(PcapiTable table);
extern const PcapiColumn *pcapi_columns(PcapiTable table, int *n);

#endif							/* PCAPI_TABLE_COLUMNS_H */
