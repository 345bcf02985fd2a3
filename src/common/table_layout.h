/*
 * table_layout.h
 *	  Compare a table with what the install script made.
 */
#ifndef PCAPI_TABLE_LAYOUT_H
#define PCAPI_TABLE_LAYOUT_H

#include "pinterest_capi.h"

#include "access/htup.h"
#include "common/extension.h"
#include "common/table_columns.h"
#include "utils/relcache.h"

typedef struct PcapiUniqueness
{
	bool		valid;			/* ON CONFLICT finds an index for the key */
	bool		enforced;		/* a second row with the key raises an error */
	bool		transient;		/* an index is being built, replaced or was left behind */
} PcapiUniqueness;

/* rel is the open and locked table; both answers stay right until its lock is released */
extern bool pcapi_reads_directly(PcapiTable table, Relation rel);
extern bool pcapi_writes_directly(PcapiTable table, Relation rel);

/* a trigger of somebody who may not act as the owner: written directly, none fires; by SQL, none may */
extern bool pcapi_has_planted_trigger(PcapiTable table, Relation rel);

/* Is this row of pg_index a unique index over exactly this key, checked at once and for every row? */
extern bool pcapi_is_unique_over(HeapTuple index, const PcapiKey *key);
extern PcapiUniqueness pcapi_uniqueness(Relation rel, const PcapiKey *key);

/* A btree index that begins with this key and that a scan may use now, open; or NULL. */
extern Relation pcapi_open_index(Relation rel, const PcapiKey *key);

#endif							/* PCAPI_TABLE_LAYOUT_H */
