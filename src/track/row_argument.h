/*
 * row_argument.h
 *	  The row that an expression of a mapping sees as $1.
 */
#ifndef PCAPI_ROW_ARGUMENT_H
#define PCAPI_ROW_ARGUMENT_H

#include "pinterest_capi.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"

/* what an expression reads of $1 */
typedef struct PcapiRowUse
{
	bool		whole;			/* $1 itself, all columns */
	Bitmapset  *columns;		/* $1.column: attribute numbers */
} PcapiRowUse;

/* a row of a table, and what was made of it so far */
typedef struct PcapiRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
	Datum		datum;			/* the same for all expressions, or 0 */
	Datum	   *values;			/* by attribute, fetched as far as they were needed */
	bool	   *nulls;
} PcapiRow;

/* Find out what analyzed queries read of $1, in the current memory context. */
extern void pcapi_row_use_init(PcapiRowUse *use, List *queries);

/*
 * Return the row as a composite value.  Columns that are stored out of line
 * and not read are null in it.  Raises 54000 where what is read is too large
 * to be one value.
 */
extern Datum pcapi_row_argument(PcapiRow *row, const PcapiRowUse *use);

#endif							/* PCAPI_ROW_ARGUMENT_H */
