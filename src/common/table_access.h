/*
 * table_access.h
 *	  Rows of the extension's own tables, written and read without a statement.
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

/* A table that is read by an index; the row is in the slot. */
typedef struct PcapiIndexScan
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} PcapiIndexScan;

/* A table that is open for writing, with its indexes. */
typedef struct PcapiTableWriter
{
	PcapiTable	table;
	Relation	rel;
	bool		by_sql;			/* then the next three are not there */
	EState	   *estate;
	ResultRelInfo *info;
	List	   *arbiters;		/* unique indexes by which a row is there already */
	const PcapiKey *key;		/* of which they are, or NULL */
	TupleTableSlot *slot;		/* values[] and isnull[] are the caller's to fill */
} PcapiTableWriter;

/*
 * As of the active snapshot.  Then index_rescan() with as many scan keys says
 * from where.  False: the table can't be read so, and the caller needs a
 * statement; nothing is left open.
 */
extern bool pcapi_index_scan_open(PcapiIndexScan *walk, PcapiTable table, const PcapiKey *key, int nkeys);
extern bool pcapi_index_scan_next(PcapiIndexScan *walk);
extern void pcapi_index_scan_close(PcapiIndexScan *walk);

/*
 * As the extension's owner, in a transaction that may write.  columns: how many
 * the caller fills; the others get their defaults.  key: by which a row is
 * there already, for pcapi_writer_insert_new(), or NULL.
 */
extern void pcapi_writer_open(PcapiTableWriter *writer, PcapiTable table, int columns, const PcapiKey *key);

/* the column is null in every row: predicates of indexes that want it NOT NULL aren't evaluated */
extern void pcapi_writer_leave_out(PcapiTableWriter *writer, int column);

/* false: somebody's trigger or rule didn't let the row in */
extern bool pcapi_writer_insert(PcapiTableWriter *writer);

/* slots of the writer's table, filled by the caller after pcapi_slot_begin(); empty again at the end */
extern void pcapi_slot_begin(TupleTableSlot *slot);
extern void pcapi_slot_set(TupleTableSlot *slot, int column, Datum value);
extern void pcapi_slot_set_text(TupleTableSlot *slot, int column, const char *value);	/* NULL: null */
extern void pcapi_writer_insert_many(PcapiTableWriter *writer, TupleTableSlot **slots, int n);	/* not by_sql */

/* false: a row with this key is there, and is to be; or as above */
extern bool pcapi_writer_insert_new(PcapiTableWriter *writer);
extern void pcapi_writer_close(PcapiTableWriter *writer);

#endif							/* PCAPI_TABLE_ACCESS_H */
