/*
 * spi.c
 *	  Statements on any number of rows, some thousand at a time.
 *
 * A statement by key takes an array of ids, and none may exceed 1 GB.  Rows
 * are chosen through a cursor, which sees the tables as they were when it was
 * opened: neither what the steps do nor what comes meanwhile makes it longer.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "executor/spi.h"
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

SPIPlanPtr
pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *argtypes)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, nargs, argtypes);

		if (made == NULL)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*plan = made;
	}
	return *plan;
}

Datum
pcapi_text_array(List *strings)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		elems[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

char *
pcapi_result_text(int row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	char	   *s;

	if (isnull)
		return NULL;
	s = TextDatumGetCString(d);
	return MemoryContextStrdup(context, s);
}

Datum
pcapi_result_datum(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

TimestampTz
pcapi_result_time(int row, int number)
{
	bool		isnull;
	Datum		d = pcapi_result_datum(row, number, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(d);
}

Datum
pcapi_id_array(const int64 *ids, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* For the deletion below: see PCAPI_QUEUED_AS.  No jit: what is off has a cost beyond all limits. */
int
pcapi_plan_by_key(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}
