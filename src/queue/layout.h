/*
 * layout.h
 *	  Whether one of our tables still is as the install script made it.
 *
 * rows.c reads and writes such a table without an executor.  Any other table
 * is left to SQL, which respects what its owner has added.  Internal to
 * src/queue.
 */
#ifndef PCAPI_LAYOUT_H
#define PCAPI_LAYOUT_H

#include "pinterest_capi.h"

#include "access/htup.h"
#include "utils/relcache.h"

/* The keys of our indexes, by the numbers of their columns. */
#define PCAPI_KEYS_MAX	3

typedef struct PcapiKey
{
	int			n;
	int			columns[PCAPI_KEYS_MAX];
} PcapiKey;

/* rel is the open and locked table; both answers stay right until its lock is released */
extern bool pcapi_reads_directly(PcapiTable table, Relation rel);
extern bool pcapi_writes_directly(PcapiTable table, Relation rel);

/* a trigger of somebody who may not act as the owner: written directly, none fires; by SQL, none may */
extern bool pcapi_has_planted_trigger(PcapiTable table, Relation rel);

/* The columns that this library knows of, numbered as in rows.h. */
extern const char *pcapi_column_name(PcapiTable table, int column);
extern Oid	pcapi_column_type(PcapiTable table, int column);

/* Is this row of pg_index a unique index over exactly this key, checked at once and for every row? */
extern bool pcapi_is_unique_over(HeapTuple index, const PcapiKey *key);

typedef struct PcapiUniqueness
{
	bool		valid;			/* ON CONFLICT finds an index for the key */
	bool		enforced;		/* a second row with the key raises an error */
	bool		transient;		/* an index is being built, replaced or was left behind */
} PcapiUniqueness;

extern PcapiUniqueness pcapi_uniqueness(Relation rel, const PcapiKey *key);

/* A btree index that begins with this key and that a scan may use now, open; or NULL. */
extern Relation pcapi_open_index(Relation rel, const PcapiKey *key);

#endif							/* PCAPI_LAYOUT_H */
