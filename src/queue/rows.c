/*
 * rows.c
 *	  Rows of the extension's own tables, written and read without a statement.
 *
 * A statement with a saved plan costs more for its start and end than for one
 * row: this is what the executor does for INSERT, without the rest.  It fires
 * no triggers and checks no constraints but unique indexes, so it is for
 * tables that have none: _event, _queue and _outcome.
 */
#include "queue/rows.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static int
index_number(const PcapiWriter *writer, const char *name)
{
	for (int i = 0; i < writer->info->ri_NumIndices; i++)
		if (strcmp(RelationGetRelationName(writer->info->ri_IndexRelationDescs[i]), name) == 0)
			return i;
	elog(ERROR, "table \"%s\" has no index \"%s\"", RelationGetRelationName(writer->rel), name);
}

void
pcapi_writer_open(PcapiWriter *writer, PcapiTable table, int columns, const char *arbiter)
{
	Relation	rel = table_open(pcapi_table(table), RowExclusiveLock);
	int			natts = RelationGetDescr(rel)->natts;

	if (natts < columns)
		elog(ERROR, "table \"%s\" has %d columns, %d are needed",
			 RelationGetRelationName(rel), natts, columns);
	writer->rel = rel;
	writer->estate = CreateExecutorState();
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	/* where transactions see one snapshot, 19 looks itself whether a row that is there is in it */
	writer->estate->es_snapshot = GetActiveSnapshot();
	writer->info = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->info, rel, 1, NULL, 0);
	ExecOpenIndices(writer->info, false);
	writer->arbiters = NIL;
	if (arbiter)
	{
		int			i = index_number(writer, arbiter);

		/* of this one alone: looking up the operators of the others is for nothing */
		BuildSpeculativeIndexInfo(writer->info->ri_IndexRelationDescs[i],
								  writer->info->ri_IndexRelationInfo[i]);
		writer->arbiters = list_make1_oid(RelationGetRelid(writer->info->ri_IndexRelationDescs[i]));
	}
	writer->slot = table_slot_create(rel, NULL);
	pcapi_slot_begin(writer->slot);
}

void
pcapi_writer_leave_out(PcapiWriter *writer, const char *index)
{
	writer->info->ri_IndexRelationInfo[index_number(writer, index)]->ii_ReadyForInserts = false;
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

void
pcapi_writer_insert(PcapiWriter *writer)
{
	ExecStoreVirtualTuple(writer->slot);
	table_tuple_insert(writer->rel, writer->slot, writer->estate->es_output_cid, 0, NULL);
	PcapiInsertIndexTuples(writer->info, writer->slot, writer->estate, false, NULL, NIL);
}

void
pcapi_writer_insert_many(PcapiWriter *writer, TupleTableSlot **slots, int n)
{
	for (int i = 0; i < n; i++)
		ExecStoreVirtualTuple(slots[i]);
	table_multi_insert(writer->rel, slots, n, writer->estate->es_output_cid, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		PcapiInsertIndexTuples(writer->info, slots[i], writer->estate, false, NULL, NIL);
		ResetPerTupleExprContext(writer->estate);
		ExecClearTuple(slots[i]);
	}
}

/*
 * Under READ COMMITTED a row that is there is there, whoever wrote it.  A
 * transaction that sees one snapshot all along must not act on a row that it
 * can't see.
 */
static void
check_visible(PcapiWriter *writer, ItemPointer tid)
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
				 pcapi_hide()));
}

bool
pcapi_writer_insert_new(PcapiWriter *writer)
{
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
		 * Whoever inserts the same key now waits for our token instead of the
		 * end of our transaction, and we for theirs, so neither has to give
		 * up.
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

/* The locks stay until the transaction's end, those of a walk too. */
void
pcapi_writer_close(PcapiWriter *writer)
{
	ExecCloseIndices(writer->info);
	ExecDropSingleTupleTableSlot(writer->slot);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
}

/* ---- reading ---- */

void
pcapi_walk_open(PcapiWalk *walk, PcapiTable table, const char *index, int nkeys)
{
	walk->rel = table_open(pcapi_table(table), AccessShareLock);
	walk->index = index_open(get_relname_relid(index, RelationGetNamespace(walk->rel)),
							 AccessShareLock);
	walk->scan = PcapiIndexBeginScan(walk->rel, walk->index, GetActiveSnapshot(), nkeys);
	walk->slot = table_slot_create(walk->rel, NULL);
}

bool
pcapi_walk_next(PcapiWalk *walk)
{
	return index_getnext_slot(walk->scan, ForwardScanDirection, walk->slot);
}

void
pcapi_walk_close(PcapiWalk *walk)
{
	index_endscan(walk->scan);
	ExecDropSingleTupleTableSlot(walk->slot);
	index_close(walk->index, NoLock);
	table_close(walk->rel, NoLock);
}
