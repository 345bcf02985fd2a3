/*
 * steps.c
 *	  Statements on any number of rows, some thousand at a time.
 *
 * A statement by key takes an array of ids, and none may exceed 1 GB.  Rows
 * are chosen through a cursor, which sees the tables as they were when it was
 * opened: neither what the steps do nor what comes meanwhile makes it longer.
 */
#include "queue/operate.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"

#define STEP	10000

static Datum
column_array(int column, Oid type, int16 len, bool byval, char align)
{
	Datum	   *elems = palloc(sizeof(Datum) * SPI_processed);
	bool		isnull;

	for (uint64 i = 0; i < SPI_processed; i++)
		elems[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column, &isnull);
	return PointerGetDatum(construct_array(elems, (int) SPI_processed, type, len, byval, align));
}

int64
pcapi_in_steps(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls,
			   PcapiStep step, void *arg)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi step",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Portal		cursor;
	int64		n = 0;

	SPI_connect();
	cursor = SPI_cursor_open_with_args(NULL, sql, nargs, unconstify(Oid *, types),
									   unconstify(Datum *, values), nulls, false, 0);
	for (;;)
	{
		Datum		dests;
		Datum		ids;

		SPI_cursor_fetch(cursor, true, STEP);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(scratch);
		dests = column_array(1, INT4OID, sizeof(int32), true, TYPALIGN_INT);
		ids = column_array(2, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
		SPI_freetuptable(SPI_tuptable);
		n += step(dests, ids, arg);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	SPI_finish();
	MemoryContextDelete(scratch);
	return n;
}
