/*
 * table_access.c
 *	  Read and write rows of the extension's own tables without a statement.
 *
 * A statement with a saved plan costs more for its start and end than for one row.
 * This file does what the executor does for the row of an INSERT.  It fires no
 * triggers, fills in no defaults and checks no constraints except unique indexes.
 * So it is for tables that are as the install script made them; table_layout.c is
 * asked each time that one is opened.  Rows of other tables are written by a
 * statement (table_insert.c): pg_repack, for one, follows a table by a trigger, and
 * a row that fires no trigger would be missing from its copy.
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "common/extension.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "common/table_insert.h"
#include "common/table_layout.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * Return all unique indexes over the key that take entries, valid or not.  While
 * REINDEX CONCURRENTLY runs there are two, and one that isn't an arbiter would raise
 * an error where the other one finds the row.  Every two sessions have at least one
 * index in common, since each step of REINDEX waits for the transactions that may
 * not have heard of the step before.
 */
static List *
find_arbiters(const PcapiTableWriter *writer, const PcapiKey *key)
{
	List	   *arbiters = NIL;

	for (int i = 0; i < writer->info->ri_NumIndices; i++)
	{
		Relation	index = writer->info->ri_IndexRelationDescs[i];

		if (!writer->info->ri_IndexRelationInfo[i]->ii_ReadyForInserts ||
			!pcapi_is_unique_over(index->rd_indextuple, key))
			continue;
		/* for arbiters alone: it looks up operators */
		BuildSpeculativeIndexInfo(index, writer->info->ri_IndexRelationInfo[i]);
		arbiters = lappend_oid(arbiters, RelationGetRelid(index));
	}
	return arbiters;
}

void
pcapi_writer_open(PcapiTableWriter *writer, PcapiTable table, int columns, const PcapiKey *key)
{
	Relation	rel = table_open(pcapi_table(table), RowExclusiveLock);
	int			natts = RelationGetDescr(rel)->natts;

	if (natts < columns)
		elog(ERROR, "table \"%s\" has %d columns, %d are needed",
			 RelationGetRelationName(rel), natts, columns);
	writer->table = table;
	writer->rel = rel;
	writer->key = key;
	writer->arbiters = NIL;
	writer->by_sql = !pcapi_writes_directly(table, rel);
	if (writer->by_sql)
		writer->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	else
	{
		writer->estate = CreateExecutorState();
		writer->estate->es_output_cid = GetCurrentCommandId(true);
		/* in a transaction with one snapshot, PostgreSQL 19 itself checks that it shows the conflicting row */
		writer->estate->es_snapshot = GetActiveSnapshot();
		writer->info = makeNode(ResultRelInfo);
		InitResultRelInfo(writer->info, rel, 1, NULL, 0);
		ExecOpenIndices(writer->info, false);
		if (key)
			writer->arbiters = find_arbiters(writer, key);
		writer->slot = table_slot_create(rel, NULL);
	}
	pcapi_slot_begin(writer->slot);
}

/* Does the index leave out the rows that have this text in the column, and no others? */
static bool
wants_other_text(const IndexInfo *info, int column, const char *word)
{
	OpExpr	   *differs;
	Var		   *var;
	Const	   *value;

	if (list_length(info->ii_Predicate) != 1 || !IsA(linitial(info->ii_Predicate), OpExpr))
		return false;
	differs = linitial_node(OpExpr, info->ii_Predicate);
	var = linitial(differs->args);
	if (differs->opfuncid != F_TEXTNE || !IsA(var, Var) || var->varattno != column)
		return false;
	value = lsecond(differs->args);
	return IsA(value, Const) && !value->constisnull && strcmp(TextDatumGetCString(value->constvalue), word) == 0;
}

void
pcapi_writer_leave_out_text(PcapiTableWriter *writer, int column, const char *word, bool all)
{
	if (writer->by_sql)
		return;
	for (int i = 0; i < writer->info->ri_NumIndices; i++)
		if (wants_other_text(writer->info->ri_IndexRelationInfo[i], column, word))
			writer->info->ri_IndexRelationInfo[i]->ii_ReadyForInserts =
				!all && writer->info->ri_IndexRelationDescs[i]->rd_index->indisready;
}

void
pcapi_slot_begin(TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
}

void
pcapi_slot_set(TupleTableSlot *slot, int column, Datum value)
{
	slot->tts_values[column - 1] = value;
	slot->tts_isnull[column - 1] = false;
}

void
pcapi_slot_set_text(TupleTableSlot *slot, int column, const char *value)
{
	if (value)
		pcapi_slot_set(slot, column, CStringGetTextDatum(value));
}

bool
pcapi_writer_insert(PcapiTableWriter *writer)
{
	if (writer->by_sql)
		return pcapi_insert_by_sql(writer, false);
	ExecStoreVirtualTuple(writer->slot);
	table_tuple_insert(writer->rel, writer->slot, writer->estate->es_output_cid, 0, NULL);
	PcapiInsertIndexTuples(writer->info, writer->slot, writer->estate, false, NULL, NIL);
	return true;
}

bool
pcapi_writer_insert_many_new(PcapiTableWriter *writer, TupleTableSlot **slots, int n)
{
	bool		all_new = true;

	Assert(!writer->by_sql);
	for (int i = 0; i < n; i++)
		ExecStoreVirtualTuple(slots[i]);
	table_multi_insert(writer->rel, slots, n, writer->estate->es_output_cid, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		bool		conflict = false;

		if (all_new)
			PcapiInsertIndexTuples(writer->info, slots[i], writer->estate, writer->arbiters != NIL, &conflict, writer->arbiters);
		all_new &= !conflict;
		ResetPerTupleExprContext(writer->estate);
		ExecClearTuple(slots[i]);
	}
	return all_new;
}

/*
 * Raise a serialization failure if the conflicting row is invisible to a transaction
 * that has one snapshot.  Under READ COMMITTED any committed row counts.
 */
static void
check_visible(PcapiTableWriter *writer, ItemPointer tid)
{
	TupleTableSlot *found;
	bool		visible;
	bool		isnull;

	if (!IsolationUsesXactSnapshot())
		return;
	found = table_slot_create(writer->rel, NULL);
	visible = table_tuple_fetch_row_version(writer->rel, tid, SnapshotAny, found) &&
		(table_tuple_satisfies_snapshot(writer->rel, found, GetActiveSnapshot()) ||
		 TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot_getsysattr(found, MinTransactionIdAttributeNumber, &isnull))));
	ExecDropSingleTupleTableSlot(found);
	if (!visible)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errhint("The transaction might succeed if retried."),
				 pcapi_errhide()));
}

/* Without a unique index over the key, every row is new. */
bool
pcapi_writer_insert_new(PcapiTableWriter *writer)
{
	if (writer->by_sql)
		return pcapi_insert_by_sql(writer, true);
	if (writer->arbiters == NIL)
		return pcapi_writer_insert(writer);
	ExecStoreVirtualTuple(writer->slot);
	for (;;)
	{
		ItemPointerData tid;
		uint32		token;
		bool		conflict = false;

		if (!PcapiCheckIndexConstraints(writer->info, writer->slot, writer->estate, &tid, writer->arbiters))
		{
			check_visible(writer, &tid);
			return false;
		}

		/*
		 * A session that inserts the same key now waits for this token
		 * instead of the end of this transaction, and the other way round, so
		 * that two of them don't deadlock.
		 */
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(writer->rel, writer->slot, writer->estate->es_output_cid,
									   0, NULL, token);
		PcapiInsertIndexTuples(writer->info, writer->slot, writer->estate, true, &conflict, writer->arbiters);
		table_tuple_complete_speculative(writer->rel, writer->slot, token, !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		if (!conflict)
			return true;
		ResetPerTupleExprContext(writer->estate);
	}
}

/* The locks stay until the transaction's end, also those of a scan. */
void
pcapi_writer_close(PcapiTableWriter *writer)
{
	ExecDropSingleTupleTableSlot(writer->slot);
	if (!writer->by_sql)
	{
		ExecCloseIndices(writer->info);
		FreeExecutorState(writer->estate);
	}
	table_close(writer->rel, NoLock);
}

/* ---- reading ---- */

/*
 * A serializable transaction that reads a page of an index and inserts into it
 * conflicts with each other that does so too, whatever rows these are.  With few
 * visitors all share a page, and half of the orders would fail.  What is read here
 * decides nothing about the application's rows.  The server locks nothing for a
 * scan without an MVCC snapshot, so such a transaction scans all versions of a row
 * and asks for each whether the snapshot shows it; it shows at most one.
 */
bool
pcapi_index_scan_open(PcapiIndexScan *scan, PcapiTable table, const PcapiKey *key, int nkeys)
{
	scan->rel = table_open(pcapi_table(table), AccessShareLock);
	scan->index = pcapi_reads_directly(table, scan->rel) ? pcapi_open_index(scan->rel, key) : NULL;
	if (scan->index == NULL)
	{
		table_close(scan->rel, NoLock);
		return false;
	}
	scan->visible_to = IsolationIsSerializable() ? GetActiveSnapshot() : NULL;
	scan->scan = PcapiIndexBeginScan(scan->rel, scan->index,
									 scan->visible_to ? SnapshotAny : GetActiveSnapshot(), nkeys);
	scan->slot = table_slot_create(scan->rel, NULL);
	return true;
}

bool
pcapi_index_scan_next(PcapiIndexScan *scan)
{
	while (index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
	{
		if (scan->visible_to == NULL || table_tuple_satisfies_snapshot(scan->rel, scan->slot, scan->visible_to))
			return true;
	}
	return false;
}

/* A scan of entries, whose xs_want_itup the caller has set before the scan is positioned. */
bool
pcapi_index_scan_next_entry(PcapiIndexScan *scan)
{
	return index_getnext_tid(scan->scan, ForwardScanDirection) != NULL;
}

Datum
pcapi_index_scan_entry(PcapiIndexScan *scan, int column, bool *isnull)
{
	return index_getattr(scan->scan->xs_itup, column, scan->scan->xs_itupdesc, isnull);
}

bool
pcapi_index_scan_fetch(PcapiIndexScan *scan)
{
	return index_fetch_heap(scan->scan, scan->slot);
}

void
pcapi_index_scan_close(PcapiIndexScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, NoLock);
	table_close(scan->rel, NoLock);
}
