/*
 * table_insert.h
 *	  Insert by statements: into tables that somebody has changed, and upserts while an index is
 *	  replaced.
 */
#ifndef PCAPI_TABLE_INSERT_H
#define PCAPI_TABLE_INSERT_H

#include "pinterest_capi.h"

#include "common/extension.h"
#include "common/table_access.h"
#include "executor/spi.h"

/*
 * Execute a plan of INSERT ... ON CONFLICT, inside SPI.  It works also while REINDEX
 * CONCURRENTLY runs on the table, when the server alone may raise a unique violation.
 * False: no row was inserted or updated.
 */
extern bool pcapi_execute_upsert(PcapiTable table, SPIPlanPtr plan, Datum *values, const char *nulls);

/* Insert the row in the writer's slot by a statement.  only_new: as pcapi_writer_insert_new(). */
extern bool pcapi_insert_by_sql(PcapiTableWriter *writer, bool only_new);

/* true meanwhile, for the extension's own trigger on _event, which ignores the row then */
extern bool pcapi_inserting_by_sql;

#endif							/* PCAPI_TABLE_INSERT_H */
