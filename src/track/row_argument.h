/*
 * row_argument.h
 *	  The row that an expression of a mapping sees as $1.
 */
#ifndef PCAPI_ROW_ARGUMENT_H
#define PCAPI_ROW_ARGUMENT_H

#include "pinterest_capi.h"

#include "access/htup.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* the parts of $1 that an expression reads */
typedef struct PcapiRowUse
{
	bool		whole;			/* $1 itself, all columns */
	Bitmapset  *columns;		/* $1.column: attribute numbers */
} PcapiRowUse;

/* a row of a table, and its forms that were built so far */
typedef struct PcapiRow
{
	Relation	rel;
	HeapTuple	tuple;
	Datum		datum;			/* as a composite value, the same for all expressions; or 0 */
	Datum	   *values;			/* by attribute; stored out of line until it is needed */
	bool	   *nulls;
} PcapiRow;

/* Find the parts of $1 that analyzed queries read, in the current memory context. */
extern void pcapi_row_use_init(PcapiRowUse *use, List *queries);

/*
 * Return the row as a composite value.  Columns that are stored out of line
 * and not read are null in it.  Raises 54000 where the columns that are read are
 * too large for one value.
 */
extern Datum pcapi_row_argument(PcapiRow *row, const PcapiRowUse *use);

#endif							/* PCAPI_ROW_ARGUMENT_H */
