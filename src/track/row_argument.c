/*
 * row_argument.c
 *	  The row that an expression of a mapping sees as $1.
 *
 * A composite value contains its columns' values, those stored out of line too,
 * and is limited to 1 GB, which a row with two large columns easily exceeds.  So
 * only the columns that the expression reads are put into it.  A virtual generated
 * column is null in the row that a trigger gets; it is computed here if it is read.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "track/row_argument.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Note the uses of $1 in a tree. */
static bool
find_use(Node *node, void *context)
{
	PcapiRowUse *use = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_use, context, 0);
	if (IsA(node, FieldSelect) && IsA(((FieldSelect *) node)->arg, Param))
	{
		use->columns = bms_add_member(use->columns, ((FieldSelect *) node)->fieldnum);
		return false;
	}
	if (IsA(node, Param))
		use->whole = true;
	return expression_tree_walker(node, find_use, context);
}

void
pcapi_row_use_init(PcapiRowUse *use, List *queries)
{
	ListCell   *lc;

	use->whole = false;
	use->columns = NULL;
	foreach(lc, queries)
		(void) find_use(lfirst(lc), use);
}

/* Compute a virtual column.  Its expression may raise any error. */
static void
compute_virtual(PcapiRow *row, Form_pg_attribute att)
{
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(row->rel), &TTSOpsHeapTuple);
	Node	   *column = PcapiExpandGenerated((Node *) makeVar(1, att->attnum, att->atttypid, att->atttypmod, att->attcollation, 0),
											  row->rel, 1);
	Datum		value;
	int			i = att->attnum - 1;

	ExecStoreHeapTuple(row->tuple, slot, false);
	econtext->ecxt_scantuple = slot;
	value = ExecEvalExpr(ExecPrepareExpr((Expr *) column, estate), econtext, &row->nulls[i]);
	if (!row->nulls[i])
		row->values[i] = datumCopy(value, att->attbyval, att->attlen);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/* Form a row of the columns that are read, without decompressing them. */
static Datum
form_row(PcapiRow *row, const PcapiRowUse *use)
{
	TupleDesc	desc = RelationGetDescr(row->rel);
	int			natts = desc->natts;
	bool	   *nulls = palloc(sizeof(bool) * natts);
	Size		size = row->tuple->t_len;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (PcapiIsVirtual(att) && row->nulls[i] && (use->whole || bms_is_member(i + 1, use->columns)))
			compute_virtual(row, att);
		nulls[i] = row->nulls[i] || att->attisdropped;
		if (nulls[i] || att->attlen != -1)
			continue;
		if (!VARATT_IS_EXTERNAL(DatumGetPointer(row->values[i])))
			size += PcapiIsVirtual(att) ? VARSIZE_ANY(DatumGetPointer(row->values[i])) : 0;
		else if (!use->whole && !bms_is_member(i + 1, use->columns))
			nulls[i] = true;
		else
			size += toast_datum_size(row->values[i]);
	}
	if (size > MaxAllocSize / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the row is too large for an expression"),
				 pcapi_errhide()));
	for (int i = 0; i < natts; i++)
	{
		if (!nulls[i] && TupleDescAttr(desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(row->values[i])))
			row->values[i] = PointerGetDatum(detoast_external_attr((struct varlena *)
																   DatumGetPointer(row->values[i])));
	}
	return HeapTupleGetDatum(heap_form_tuple(desc, row->values, nulls));
}

Datum
pcapi_row_argument(PcapiRow *row, const PcapiRowUse *use)
{
	TupleDesc	desc = RelationGetDescr(row->rel);

	if (row->datum != (Datum) 0)
		return row->datum;
	if (!HeapTupleHasExternal(row->tuple) && !PcapiHasVirtual(desc))
		return row->datum = heap_copy_tuple_as_datum(row->tuple, desc);
	if (row->values == NULL)
	{
		Datum	   *values = palloc(sizeof(Datum) * desc->natts);

		row->nulls = palloc(sizeof(bool) * desc->natts);
		heap_deform_tuple(row->tuple, desc, values, row->nulls);
		row->values = values;
	}
	return form_row(row, use);
}
