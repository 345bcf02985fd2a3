/*
 * id_ranges.h
 *	  A set of ids in ranges, in the memory of the process, with a limit to its size.
 */
#ifndef PCAPI_ID_RANGES_H
#define PCAPI_ID_RANGES_H

#include "pinterest_capi.h"

/* ids from low to high, both included */
typedef struct PcapiIdRange
{
	int64		low;
	int64		high;
} PcapiIdRange;

/* an empty one is all zeroes */
typedef struct PcapiIdRanges
{
	PcapiIdRange *ranges;		/* ascending, neither touching nor overlapping */
	int			n;
	int			room;
} PcapiIdRanges;

/* Add a range.  Where there are too many, neighbours become one range with all that is between them. */
extern void pcapi_ranges_add(PcapiIdRanges *set, int64 low, int64 high);

/* Remove all ids up to one, included. */
extern void pcapi_ranges_remove_upto(PcapiIdRanges *set, int64 id);

/* Remove all, and free the memory. */
extern void pcapi_ranges_free(PcapiIdRanges *set);

#endif							/* PCAPI_ID_RANGES_H */
