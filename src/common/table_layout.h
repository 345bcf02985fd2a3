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

/* how the indexes of a table keep a key unique */
typedef struct PcapiUniqueness
{
	bool		valid;			/* ON CONFLICT finds an index for the key */
	bool		enforced;		/* a second row with the key raises an error */
	bool		transient;		/* an index is being built or replaced, or was left invalid */
} PcapiUniqueness;

/*
 * Return whether the table, open and locked, may be read or written without
 * statements.  The answer stays right until the lock is released.
 */
extern bool pcapi_reads_directly(PcapiTable table, Relation rel);
extern bool pcapi_writes_directly(PcapiTable table, Relation rel);

/* Return whether it has a trigger of a role that may not act as the owner.  Such a trigger must not fire. */
extern bool pcapi_has_planted_trigger(PcapiTable table, Relation rel);

/* Return whether this row of pg_index is a unique index over exactly this key, checked at once and for every row. */
extern bool pcapi_is_unique_over(HeapTuple index, const PcapiKey *key);

/* Return what the indexes of the table, open and locked, do for a key; NULL: transient alone is set. */
extern PcapiUniqueness pcapi_uniqueness(Relation rel, const PcapiKey *key);

/* Open a btree index that begins with this key and that a scan may use now.  NULL: there is none. */
extern Relation pcapi_open_index(Relation rel, const PcapiKey *key);

#endif							/* PCAPI_TABLE_LAYOUT_H */
