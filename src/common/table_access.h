/*
 * table_access.h
 *	  Read and write rows of the extension's own tables without a statement.
 */
#ifndef PCAPI_TABLE_ACCESS_H
#define PCAPI_TABLE_ACCESS_H

#include "pinterest_capi.h"

#include "access/genam.h"
#include "common/extension.h"
#include "common/table_columns.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* ---- reading ---- */

/* a table that is read by an index */
typedef struct PcapiIndexScan
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	Snapshot	visible_to;		/* asked for each row, or NULL: the scan has the snapshot */
	TupleTableSlot *slot;		/* the current row */
} PcapiIndexScan;

/*
 * Open a scan as of the active snapshot, without predicate locks; index_rescan()
 * with as many scan keys positions it.  False: the table can't be read this way, nothing is left open, and
 * the caller needs a statement.
 */
extern bool pcapi_index_scan_open(PcapiIndexScan *scan, PcapiTable table, const PcapiKey *key, int nkeys);
extern bool pcapi_index_scan_next(PcapiIndexScan *scan);
extern void pcapi_index_scan_close(PcapiIndexScan *scan);

/*
 * The same entry by entry, with scan->xs_want_itup: a column of the entry, by its number
 * in the index, and its row, if the snapshot shows it.
 */
extern bool pcapi_index_scan_next_entry(PcapiIndexScan *scan);
extern Datum pcapi_index_scan_entry(PcapiIndexScan *scan, int column, bool *isnull);
extern bool pcapi_index_scan_fetch(PcapiIndexScan *scan);

/* ---- writing ---- */

/* a table that is open for writing, with its indexes */
typedef struct PcapiTableWriter
{
	PcapiTable	table;
	Relation	rel;
	bool		by_sql;			/* by statements; the next three are unset then */
	EState	   *estate;
	ResultRelInfo *info;
	List	   *arbiters;		/* unique indexes over the key */
	const PcapiKey *key;		/* by which a row may exist already, or NULL */
	TupleTableSlot *slot;		/* the row, for the caller to fill */
} PcapiTableWriter;

/*
 * Open a table, as the extension's owner, in a transaction that may write.
 * columns: how many the caller fills; the others get their defaults.  key: for
 * pcapi_writer_insert_new(), or NULL.
 */
extern void pcapi_writer_open(PcapiTableWriter *writer, PcapiTable table, int columns, const PcapiKey *key);
extern void pcapi_writer_close(PcapiTableWriter *writer);

/*
 * Promise that a column is this text in all rows to come, or (not all) take that
 * back: meanwhile predicates "column <> TEXT" of indexes aren't evaluated.
 */
extern void pcapi_writer_leave_out_text(PcapiTableWriter *writer, int column, const char *word, bool all);

/* Fill a slot of the writer's table: all columns are null after pcapi_slot_begin(), and for a text that is NULL. */
extern void pcapi_slot_begin(TupleTableSlot *slot);
extern void pcapi_slot_set(TupleTableSlot *slot, int column, Datum value);
extern void pcapi_slot_set_text(TupleTableSlot *slot, int column, const char *value);

/* Insert the row in the writer's slot.  False: somebody's trigger or rule prevented it. */
extern bool pcapi_writer_insert(PcapiTableWriter *writer);

/* Likewise, unless a row with its key exists, also one that is not committed yet, which is waited for: false then too. */
extern bool pcapi_writer_insert_new(PcapiTableWriter *writer);

/*
 * Insert the rows of n slots, which are empty afterwards.  Not by_sql.  False: a row with
 * the key of one of them may exist, also one that is not committed yet, which isn't waited
 * for; then the caller rolls this subtransaction back.
 */
extern bool pcapi_writer_insert_many_new(PcapiTableWriter *writer, TupleTableSlot **slots, int n);

#endif							/* PCAPI_TABLE_ACCESS_H */
