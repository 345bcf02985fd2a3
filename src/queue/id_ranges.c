/*
 * id_ranges.c
 *	  A set of ids in ranges, in the memory of the process, with a limit to its size.
 */
#include "pinterest_capi.h"

#include "queue/id_ranges.h"
#include "utils/memutils.h"

/* ranges of a set: 64 kB of memory, which a walk reads in some milliseconds */
#define RANGES_MAX	4096

/* Return the place of the first range that ends at an id or behind it; n if there is none. */
static int
find_range(const PcapiIdRanges *set, int64 id)
{
	int			low = 0;
	int			high = set->n;

	/* ranges are added in the order of ids, nearly always */
	if (high > 0 && set->ranges[high - 1].high < id)
		return high;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (set->ranges[middle].high < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Make one range of every two neighbours. */
static void
thin_out(PcapiIdRanges *set)
{
	int			n = 0;

	for (int i = 0; i < set->n; i += 2)
	{
		set->ranges[n] = set->ranges[i];
		if (i + 1 < set->n)
			set->ranges[n].high = set->ranges[i + 1].high;
		n++;
	}
	set->n = n;
}

void
pcapi_ranges_add(PcapiIdRanges *set, int64 low, int64 high)
{
	int			first;
	int			after;

	if (set->n == RANGES_MAX)
		thin_out(set);
	if (set->n == set->room)
	{
		int			room = Max(16, set->room * 2);

		set->ranges = set->ranges ? repalloc(set->ranges, sizeof(PcapiIdRange) * room) :
			MemoryContextAlloc(TopMemoryContext, sizeof(PcapiIdRange) * room);
		set->room = room;
	}

	/* those that it touches become one with it */
	first = after = find_range(set, low - 1);
	while (after < set->n && set->ranges[after].low <= high + 1)
	{
		low = Min(low, set->ranges[after].low);
		high = Max(high, set->ranges[after].high);
		after++;
	}
	memmove(&set->ranges[first + 1], &set->ranges[after], sizeof(PcapiIdRange) * (set->n - after));
	set->ranges[first].low = low;
	set->ranges[first].high = high;
	set->n += 1 - (after - first);
}

void
pcapi_ranges_remove_upto(PcapiIdRanges *set, int64 id)
{
	int			gone = find_range(set, id + 1);

	memmove(set->ranges, set->ranges + gone, sizeof(PcapiIdRange) * (set->n - gone));
	set->n -= gone;
	if (set->n > 0)
		set->ranges[0].low = Max(set->ranges[0].low, id + 1);
}

void
pcapi_ranges_free(PcapiIdRanges *set)
{
	if (set->ranges)
		pfree(set->ranges);
	memset(set, 0, sizeof(PcapiIdRanges));
}
