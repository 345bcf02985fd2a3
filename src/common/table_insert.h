/*
 * table_insert.h
 *	  Rows into tables that somebody has changed, and upserts while an index is being replaced.
 */
#ifndef PCAPI_TABLE_INSERT_H
#define PCAPI_TABLE_INSERT_H

#include "pinterest_capi.h"

#include "common/extension.h"
#include "common/table_access.h"
#include "executor/spi.h"

/*
 * An INSERT ... ON CONFLICT of a kept plan, inside SPI: also while the table's
 * indexes are rebuilt by REINDEX CONCURRENTLY, when the server alone would
 * raise a unique violation now and then.  False: no row was inserted or updated.
 */
extern bool pcapi_execute_upsert(PcapiTable table, SPIPlanPtr plan, Datum *values, const char *nulls);

/* The row in the writer's slot, by a statement; only_new: as pcapi_writer_insert_new(). */
extern bool pcapi_insert_by_sql(PcapiTableWriter *writer, bool only_new);

/* true while that runs: our own trigger for replication has nothing to do with the row */
extern bool pcapi_inserting_by_sql;

#endif							/* PCAPI_TABLE_INSERT_H */
