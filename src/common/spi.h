/*
 * spi.h
 *	  Statements on any number of rows, some thousand at a time.
 */
#ifndef PCAPI_SPI_H
#define PCAPI_SPI_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"

/*
 * Choose rows by a query of (dest integer, id bigint, ...) and hand them to a
 * function some thousand at a time, as integer[] and bigint[], outside of SPI's
 * memory.  Returns the sum of what the steps return.  Outside SPI or inside;
 * FOR UPDATE locks rows in the order of the query.
 */
typedef int64 (*PcapiStep) (Datum dests, Datum ids, void *arg);

/*
 * The row q of _queue for dest and id of r, a subquery or function that isn't
 * flattened; with sequential scans, hash and merge joins off.  An equality of
 * dest would be good for a merge join, so an index scan without a condition
 * would count as worth having; ANY of a whole array could be left to a filter.
 */
#define PCAPI_QUEUED_AS(r) " q.dest = ANY (ARRAY[" r ".dest]) AND q.id = " r ".id"

/* what is planned until AtEOXact_GUC(true, the result) finds rows by their key, if there is an index (PCAPI_QUEUED_AS) */
extern int	pcapi_plan_by_key(void);
extern int64 pcapi_in_steps(const char *sql, int nargs, const Oid *types, const Datum *values,
							const char *nulls, PcapiStep step, void *arg);

extern Datum pcapi_text_array(List *strings);	/* text[] of char * */

/*
 * The plan, prepared and kept at the first call of this session; inside SPI.
 *
 * Nothing may depend on what the planner believes of a table's size: an ANALYZE
 * during a bulk import that isn't committed counts no rows.  For a join it
 * then reads from end to end what it takes for empty, by index too, once for
 * each row of the other side.  So rows of long tables are found by key: id =
 * ANY (an array), a LATERAL subquery with OFFSET 0, or PCAPI_QUEUED_AS.
 */
extern SPIPlanPtr pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *argtypes);

/*
 * A column, by its number, of a row of the last statement.  The text is copied to the
 * memory context; a time that is null is 0.
 */
extern Datum pcapi_result_datum(int row, int number, bool *isnull);
extern char *pcapi_result_text(int row, int column, MemoryContext context);
extern TimestampTz pcapi_result_time(int row, int number);
extern Datum pcapi_id_array(const int64 *ids, int n);	/* bigint[] */

#endif							/* PCAPI_SPI_H */
