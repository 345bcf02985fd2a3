/*
 * table_columns.h
 *	  The columns and keys of the extension's tables, as the install script made them.
 */
#ifndef PCAPI_TABLE_COLUMNS_H
#define PCAPI_TABLE_COLUMNS_H

#include "pinterest_capi.h"

#include "common/extension.h"

/* The keys of our indexes, by the numbers of their columns. */
#define PCAPI_KEYS_MAX	3

typedef struct PcapiKey
{
	int			n;
	int			columns[PCAPI_KEYS_MAX];
} PcapiKey;

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
	PCAPI_EVENT_COLUMNS = PCAPI_EVENT_DESTINATION
};

enum
{
	PCAPI_QUEUE_ID = 1,
	PCAPI_QUEUE_DEST,
	PCAPI_QUEUE_ATTEMPTS,
	PCAPI_QUEUE_HTTP_STATUS,
	PCAPI_QUEUE_DUE_AT,
	PCAPI_QUEUE_FIRST_ATTEMPT_AT,
	PCAPI_QUEUE_LAST_ATTEMPT_AT,
	PCAPI_QUEUE_ERROR,
	PCAPI_QUEUE_WARNINGS,
	PCAPI_QUEUE_COLUMNS = PCAPI_QUEUE_WARNINGS
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

typedef struct PcapiColumn
{
	const char *name;
	Oid			type;
	bool		filled;			/* in every row, so that neither NOT NULL nor a default matters */
} PcapiColumn;

/* The columns that this library knows of, numbered as in table_columns.h. */
extern const char *pcapi_column_name(PcapiTable table, int column);
extern Oid	pcapi_column_type(PcapiTable table, int column);

/* The keys that rows are found by. */
extern const PcapiKey pcapi_event_key;
extern const PcapiKey pcapi_event_dedup_key;
extern const PcapiKey pcapi_outcome_key;
extern const PcapiKey pcapi_queue_key;
extern const PcapiKey pcapi_visitor_key;

/* Return a table's columns, *n of them.  Raises an error for a table that is accessed by SQL alone. */
extern const PcapiColumn *pcapi_columns(PcapiTable table, int *n);

#endif							/* PCAPI_TABLE_COLUMNS_H */
