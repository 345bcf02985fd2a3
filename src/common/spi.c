/*
 * spi.c
 *	  Statements through SPI: prepare, execute, check the result, read its columns by name.
 *
 * A statement by key takes an array of ids, and no array may exceed 1 GB.  So
 * statements on any number of rows work in steps of some thousand.  The rows are
 * chosen through a cursor, which sees the tables as they were when it was
 * opened: neither what the steps do nor what others insert makes it longer.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* rows that one step is for */
#define ROWS_PER_STEP	10000

/* ---- plans ---- */

SPIPlanPtr
pcapi_prepare(const char *sql, int nargs, const Oid *argtypes, int cursor_options)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, unconstify(Oid *, argtypes), cursor_options);

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* Prepare a statement and keep its plan, unless that was done before. */
static SPIPlanPtr
keep_plan(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *argtypes, int cursor_options)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	made = pcapi_prepare(sql, nargs, argtypes, cursor_options);

		SPI_keepplan(made);
		*plan = made;
	}
	return *plan;
}

SPIPlanPtr
pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *argtypes)
{
	return keep_plan(plan, sql, nargs, argtypes, 0);
}

SPIPlanPtr
pcapi_plan_generic(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *argtypes)
{
	return keep_plan(plan, sql, nargs, argtypes, CURSOR_OPT_GENERIC_PLAN);
}

/*
 * jit is off too: the cost of a plan that needs one of the methods that are off is beyond each limit from which jit
 * is used.
 */
int
pcapi_plan_by_key(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* ---- execution ---- */

/* Raise an error unless the result is the expected one, or a rule's; return the number of rows. */
static uint64
check_result(int expected, int result)
{
	if (result != expected && result != SPI_OK_REWRITTEN)
		elog(ERROR, "unexpected result of a statement: %s instead of %s",
			 SPI_result_code_string(result), SPI_result_code_string(expected));
	return SPI_processed;
}

uint64
pcapi_execute(int expected, SPIPlanPtr plan, const Datum *values, const char *nulls,
			  bool read_only, uint64 limit)
{
	return check_result(expected, SPI_execute_plan(plan, unconstify(Datum *, values), nulls, read_only, (long) limit));
}

uint64
pcapi_execute_once(int expected, const char *sql, int nargs, const Oid *argtypes,
				   const Datum *values, const char *nulls, bool read_only, uint64 limit)
{
	return check_result(expected, SPI_execute_with_args(sql, nargs, unconstify(Oid *, argtypes),
														unconstify(Datum *, values), nulls, read_only, (long) limit));
}

uint64
pcapi_execute_sql(int expected, const char *sql, bool read_only)
{
	return check_result(expected, SPI_execute(sql, read_only, 0));
}

uint64
pcapi_execute_as_of(Snapshot snapshot, SPIPlanPtr plan, const Datum *values)
{
	return check_result(SPI_OK_SELECT, SPI_execute_snapshot(plan, unconstify(Datum *, values), NULL, snapshot,
															InvalidSnapshot, true, false, 0));
}

int
pcapi_execute_any(SPIPlanPtr plan, const Datum *values, const char *nulls)
{
	int			result = SPI_execute_plan(plan, unconstify(Datum *, values), nulls, false, 0);

	if (result < 0)
		elog(ERROR, "could not execute a statement: %s", SPI_result_code_string(result));
	return result;
}

/* Return a column of all rows of the last statement's result as an array. */
static Datum
column_array(const char *name, Oid element)
{
	int			column = pcapi_result_column(name);
	Datum	   *elems = palloc(sizeof(Datum) * SPI_processed);
	bool		isnull;

	for (uint64 i = 0; i < SPI_processed; i++)
		elems[i] = pcapi_result_datum(i, column, &isnull);
	return pcapi_array(elems, (int) SPI_processed, element);
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

		SPI_cursor_fetch(cursor, true, ROWS_PER_STEP);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(scratch);
		dests = column_array("dest", INT4OID);
		ids = column_array("id", INT8OID);
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

/* ---- results ---- */

int
pcapi_column_number(TupleDesc desc, const char *name)
{
	int			column = SPI_fnumber(desc, name);

	if (column <= 0)
		elog(ERROR, "there is no column \"%s\"", name);
	return column;
}

char *
pcapi_tuple_text(HeapTuple tuple, TupleDesc desc, const char *name)
{
	return SPI_getvalue(tuple, desc, pcapi_column_number(desc, name));
}

int
pcapi_result_column(const char *name)
{
	if (SPI_tuptable == NULL)
		elog(ERROR, "a statement returned no rows, and no column \"%s\"", name);
	return pcapi_column_number(SPI_tuptable->tupdesc, name);
}

Datum
pcapi_result_datum(uint64 row, int column, bool *isnull)
{
	if (SPI_tuptable == NULL || row >= SPI_tuptable->numvals)
		elog(ERROR, "a statement returned no row number " UINT64_FORMAT, row + 1);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* Read a column by its name.  It is an error if the column has another type. */
static Datum
typed_datum(uint64 row, const char *name, Oid type, bool *isnull)
{
	int			column = pcapi_result_column(name);

	if (SPI_gettypeid(SPI_tuptable->tupdesc, column) != type)
		elog(ERROR, "column \"%s\" is not of type %s", name, format_type_be(type));
	return pcapi_result_datum(row, column, isnull);
}

int32
pcapi_result_int32(uint64 row, const char *name)
{
	bool		isnull;
	Datum		d = typed_datum(row, name, INT4OID, &isnull);

	return isnull ? 0 : DatumGetInt32(d);
}

int64
pcapi_result_int64(uint64 row, const char *name)
{
	bool		isnull;
	Datum		d = typed_datum(row, name, INT8OID, &isnull);

	return isnull ? 0 : DatumGetInt64(d);
}

bool
pcapi_result_bool(uint64 row, const char *name)
{
	bool		isnull;
	Datum		d = typed_datum(row, name, BOOLOID, &isnull);

	return !isnull && DatumGetBool(d);
}

TimestampTz
pcapi_result_time(uint64 row, const char *name)
{
	bool		isnull;
	Datum		d = typed_datum(row, name, TIMESTAMPTZOID, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(d);
}

char *
pcapi_result_text(uint64 row, const char *name)
{
	bool		isnull;
	Datum		d = typed_datum(row, name, TEXTOID, &isnull);
	text	   *t;
	char	   *s;

	if (isnull)
		return NULL;
	t = DatumGetTextPP(d);
	s = SPI_palloc(VARSIZE_ANY_EXHDR(t) + 1);
	memcpy(s, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	s[VARSIZE_ANY_EXHDR(t)] = '\0';
	return s;
}

Datum
pcapi_result_array(uint64 row, const char *name)
{
	bool		isnull;
	Datum		d = pcapi_result_datum(row, pcapi_result_column(name), &isnull);
	ArrayType  *array;
	ArrayType  *copy;

	if (isnull)
		elog(ERROR, "column \"%s\" is null", name);
	array = DatumGetArrayTypeP(d);
	copy = SPI_palloc(VARSIZE(array));
	memcpy(copy, array, VARSIZE(array));
	return PointerGetDatum(copy);
}

bool
pcapi_result_is_null(uint64 row, const char *name)
{
	bool		isnull;

	(void) pcapi_result_datum(row, pcapi_result_column(name), &isnull);
	return isnull;
}

/* ---- parameters ---- */

Datum
pcapi_array(Datum *elems, int n, Oid element)
{
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(element, &len, &byval, &align);
	return PointerGetDatum(construct_array(elems, n, element, len, byval, align));
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

Datum
pcapi_id_array(const int64 *ids, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(ids[i]);
	return pcapi_array(elems, n, INT8OID);
}
