/*
 * row_argument.c
 *	  The row that an expression of a mapping sees as $1.
 *
 * A composite value contains its columns' values, those stored out of line too,
 * and is limited to 1 GB, which a row with two large columns easily exceeds.  So
 * only the columns that the expression reads are put into it.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "track/row_argument.h"
#include "utils/memutils.h"

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

/* Form a row of the columns that are read, without decompressing them. */
static Datum
form_row(PcapiRow *row, const PcapiRowUse *use)
{
	int			natts = row->desc->natts;
	bool	   *nulls = palloc(sizeof(bool) * natts);
	Size		size = row->tuple->t_len;

	memcpy(nulls, row->nulls, sizeof(bool) * natts);
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(row->desc, i);

		if (att->attisdropped)
			nulls[i] = true;
		if (nulls[i] || att->attlen != -1 || !VARATT_IS_EXTERNAL(DatumGetPointer(row->values[i])))
			continue;
		if (!use->whole && !bms_is_member(i + 1, use->columns))
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
		if (!nulls[i] && TupleDescAttr(row->desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(row->values[i])))
			row->values[i] = PointerGetDatum(detoast_external_attr((struct varlena *)
																   DatumGetPointer(row->values[i])));
	}
	return HeapTupleGetDatum(heap_form_tuple(row->desc, row->values, nulls));
}

Datum
pcapi_row_argument(PcapiRow *row, const PcapiRowUse *use)
{
	int			natts = row->desc->natts;

	if (row->datum != (Datum) 0)
		return row->datum;
	if (!HeapTupleHasExternal(row->tuple))
		return row->datum = heap_copy_tuple_as_datum(row->tuple, row->desc);
	if (row->values == NULL)
	{
		Datum	   *values = palloc(sizeof(Datum) * natts);

		row->nulls = palloc(sizeof(bool) * natts);
		heap_deform_tuple(row->tuple, row->desc, values, row->nulls);
		row->values = values;
	}
	return form_row(row, use);
}
