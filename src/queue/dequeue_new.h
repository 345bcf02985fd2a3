/*
 * dequeue_new.h
 *	  Read fresh events, which were never tried, in the order of their ids.
 */
#ifndef PCAPI_DEQUEUE_NEW_H
#define PCAPI_DEQUEUE_NEW_H

#include "pinterest_capi.h"

#include "queue/id_ranges.h"
#include "queue/payload.h"

/*
 * A walk over the ids of the log: from an id on to another, for the events of one
 * destination that have neither an outcome nor a row in _retry.
 */
typedef struct PcapiWalk
{
	int			dest;
	int64		after;			/* behind this id */
	int64		upto;			/* as far as this one */
	PcapiPayloadBudget *budget; /* events that its skip() knows are passed over */
	int			held;			/* how many these may be */
	PcapiIdRanges *unread;		/* where to note ids that can't be read yet: drawn, and not visible */
	int64		unread_above;	/* of ids above this */

	/* Set by the walk. */
	int64		read_to;		/* the last id of the log that was read, of any destination */
	bool		ended;			/* no event is left */
} PcapiWalk;

/* the last id that can be */
#define PCAPI_LAST_ID	PG_INT64_MAX

/*
 * Read at most limit events, in the current memory context, and perhaps some that skip()
 * knows beside them.  Return how many; no more once the budget is full.
 */
extern int	pcapi_dequeue_new(PcapiWalk *walk, int limit, PcapiQueuedEvent **events);

/* Walk through each of the ranges, and move those that have an event to another set. */
extern void pcapi_find_in_ranges(PcapiWalk *walk, PcapiIdRanges *ranges, PcapiIdRanges *found);

/*
 * Read the ids of at most limit events, without reading the events: some may be
 * invisible, and skip() may know some.
 */
extern int	pcapi_new_ids(PcapiWalk *walk, int limit, int64 *ids);

#endif							/* PCAPI_DEQUEUE_NEW_H */
