/*
 * spi.h
 *	  Statements through SPI: prepare, execute, check the result, read its columns by name.
 *
 * No other file calls SPI's functions for this (test/lint looks).  Connecting and
 * opening a cursor stay the caller's: the server's functions for these raise their
 * errors themselves.
 */
#ifndef PCAPI_SPI_H
#define PCAPI_SPI_H

#include "pinterest_capi.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"

/* ---- plans ---- */

/* Prepare a statement.  The plan is not kept.  Inside SPI. */
extern SPIPlanPtr pcapi_prepare(const char *sql, int nargs, const Oid *argtypes, int cursor_options);

/*
 * Return the plan, which the first call of this session prepares and keeps.
 * Inside SPI.
 *
 * Nothing may depend on what the planner believes of a table's size: an ANALYZE
 * during a bulk import that isn't committed counts no rows.  For a join the
 * planner then chooses to read a table from end to end that it takes for empty,
 * by index too, once for each row of the other side.  So rows of long tables are
 * found by key: id = ANY (an array), a LATERAL subquery with OFFSET 0, or
 * PCAPI_RETRY_AS.
 */
extern SPIPlanPtr pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *argtypes);

/* Likewise, and plan once for all values of the parameters. */
extern SPIPlanPtr pcapi_plan_generic(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *argtypes);

/*
 * Join condition: the row q of _retry for dest and id of r, a subquery or
 * function that isn't flattened; planned with sequential scans, hash and merge
 * joins off.  An equality of dest would be good for a merge join, so an index
 * scan without a condition would count as worth having; ANY of a whole array
 * could be left to a filter.
 */
#define PCAPI_RETRY_AS(r) " q.dest = ANY (ARRAY[" r ".dest]) AND q.id = " r ".id"

/*
 * Make the planner find rows by their key, if there is an index, until
 * AtEOXact_GUC(true, the result).  For PCAPI_RETRY_AS.
 */
extern int	pcapi_plan_by_key(void);

/* ---- execution ---- */

/*
 * Execute a plan, or a statement that is not kept, and return the number of rows
 * processed.  Any result but the expected one (SPI_OK_...) is an error, except
 * that somebody's rule on the table may have made another statement of it.
 * Inside SPI; the other parameters are those of SPI_execute_plan().
 */
extern uint64 pcapi_execute(int expected, SPIPlanPtr plan, const Datum *values, const char *nulls,
							bool read_only, uint64 limit);
extern uint64 pcapi_execute_once(int expected, const char *sql, int nargs, const Oid *argtypes,
								 const Datum *values, const char *nulls, bool read_only, uint64 limit);
extern uint64 pcapi_execute_sql(int expected, const char *sql, bool read_only); /* without parameters */

/* Execute a plan of a SELECT as of a snapshot. */
extern uint64 pcapi_execute_as_of(Snapshot snapshot, SPIPlanPtr plan, const Datum *values);

/* Execute a plan of which several results will do.  Returns SPI_OK_...; an error code is an error. */
extern int	pcapi_execute_any(SPIPlanPtr plan, const Datum *values, const char *nulls);

/*
 * Choose rows by a query with the columns dest and id, and pass them to a
 * function some thousand at a time, as integer[] and bigint[], outside of SPI's
 * memory.  Returns the sum of what the calls return.  Outside SPI or inside; FOR
 * UPDATE locks rows in the order of the query.
 */
typedef int64 (*PcapiStep) (Datum dests, Datum ids, void *arg);

extern int64 pcapi_in_steps(const char *sql, int nargs, const Oid *types, const Datum *values,
							const char *nulls, PcapiStep step, void *arg);

/* ---- results ---- */

/* Return the number of a column.  It is an error if there is none of that name. */
extern int	pcapi_column_number(TupleDesc desc, const char *name);
extern char *pcapi_tuple_text(HeapTuple tuple, TupleDesc desc, const char *name);	/* as the type's output */
extern int	pcapi_result_column(const char *name);	/* of the last statement's result */

/* Read a column, by its number, of a row of the last statement's result: for loops over many rows. */
extern Datum pcapi_result_datum(uint64 row, int column, bool *isnull);

/*
 * Read a column by its name.  It is an error if the column has another type than
 * integer, bigint, boolean, timestamptz or text.  A null is 0, false or NULL.  The
 * text or array is in the memory context in which SPI_connect() was called.
 */
extern int32 pcapi_result_int32(uint64 row, const char *name);
extern int64 pcapi_result_int64(uint64 row, const char *name);
extern bool pcapi_result_bool(uint64 row, const char *name);
extern TimestampTz pcapi_result_time(uint64 row, const char *name);
extern char *pcapi_result_text(uint64 row, const char *name);
extern Datum pcapi_result_array(uint64 row, const char *name);	/* of any type; not null */
extern bool pcapi_result_is_null(uint64 row, const char *name);

/* ---- parameters ---- */

extern Datum pcapi_array(Datum *elems, int n, Oid element); /* none is null */
extern Datum pcapi_text_array(List *strings);	/* text[] of char * */
extern Datum pcapi_id_array(const int64 *ids, int n);	/* bigint[] */

#endif							/* PCAPI_SPI_H */
