/*
 * rows.h
 *	  Rows of the extension's own tables, written and read without a statement.
 *
 * For the few places where a statement's own cost is most of the cost: one
 * event into the queue, a batch out of it.  Everything else is SQL, and so is
 * this where a table is not as the install script made it (layout.h).  Columns
 * are numbered as in the install script.
 */
#ifndef PCAPI_ROWS_H
#define PCAPI_ROWS_H

#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "queue/layout.h"
#include "utils/snapshot.h"

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

/* The keys that rows are found by. */
extern const PcapiKey pcapi_event_key;
extern const PcapiKey pcapi_event_dedup_key;
extern const PcapiKey pcapi_outcome_key;
extern const PcapiKey pcapi_queue_key;
extern const PcapiKey pcapi_visitor_key;

/* A table that is read by an index; the row is in the slot. */
typedef struct PcapiWalk
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} PcapiWalk;

/*
 * As of the active snapshot.  Then index_rescan() with as many scan keys says
 * from where.  False: the table can't be read so, and the caller needs a
 * statement; nothing is left open.
 */
extern bool pcapi_walk_open(PcapiWalk *walk, PcapiTable table, const PcapiKey *key, int nkeys);
extern bool pcapi_walk_next(PcapiWalk *walk);
extern void pcapi_walk_close(PcapiWalk *walk);

/* A table that is open for writing, with its indexes. */
typedef struct PcapiWriter
{
	PcapiTable	table;
	Relation	rel;
	bool		by_sql;			/* then the next three are not there */
	EState	   *estate;
	ResultRelInfo *info;
	List	   *arbiters;		/* unique indexes by which a row is there already */
	const PcapiKey *key;		/* of which they are, or NULL */
	TupleTableSlot *slot;		/* values[] and isnull[] are the caller's to fill */
} PcapiWriter;

/*
 * As the extension's owner, in a transaction that may write.  columns: how many
 * the caller fills; the others get their defaults.  key: by which a row is
 * there already, for pcapi_writer_insert_new(), or NULL.
 */
extern void pcapi_writer_open(PcapiWriter *writer, PcapiTable table, int columns, const PcapiKey *key);

/* the column is null in every row: predicates of indexes that want it NOT NULL aren't evaluated */
extern void pcapi_writer_leave_out(PcapiWriter *writer, int column);

/* false: somebody's trigger or rule didn't let the row in */
extern bool pcapi_writer_insert(PcapiWriter *writer);

/* slots of the writer's table, filled by the caller after pcapi_slot_begin(); empty again at the end */
extern void pcapi_slot_begin(TupleTableSlot *slot);
extern void pcapi_slot_set(TupleTableSlot *slot, int column, Datum value);
extern void pcapi_slot_set_text(TupleTableSlot *slot, int column, const char *value);	/* NULL: null */
extern void pcapi_writer_insert_many(PcapiWriter *writer, TupleTableSlot **slots, int n);	/* not by_sql */

/* false: a row with this key is there, and is to be; or as above */
extern bool pcapi_writer_insert_new(PcapiWriter *writer);
extern void pcapi_writer_close(PcapiWriter *writer);

/* --- by_sql.c --- */

/* The row in the writer's slot, by a statement; only_new: as pcapi_writer_insert_new(). */
extern bool pcapi_insert_by_sql(PcapiWriter *writer, bool only_new);

/* true while that runs: our own trigger for replication has nothing to do with the row */
extern bool pcapi_inserting_by_sql;

#endif							/* PCAPI_ROWS_H */
