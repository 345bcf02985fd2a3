/*
 * statistics_count.h
 *	  Count events for the statistics, in the worker.
 */
#ifndef PCAPI_STATISTICS_COUNT_H
#define PCAPI_STATISTICS_COUNT_H

#include "pinterest_capi.h"

#include "queue/outcome.h"

/* a step */
typedef struct PcapiCountStep
{
	int			budget;			/* how many events may be read, of those that are not remembered */
	int64		mark;			/* the mark after the step */
	bool		progress;		/* anything was counted */
	bool		more;			/* there is more that can be counted now */
	bool		read;			/* events were read */
} PcapiCountStep;

/* Return the mark, as it is in the table.  Up to it, each event is counted. */
extern int64 pcapi_statistics_read_mark(void);

/* The transaction in which the events were settled is committed: remember those that were sent and are not counted yet. */
extern void pcapi_statistics_remember(const PcapiEventOutcome *settled, int n, const PcapiWritten *written);

/* Take a step, in a transaction with one snapshot, and tell once it is committed. */
extern void pcapi_count_step(PcapiCountStep *step);
extern void pcapi_count_committed(const PcapiCountStep *step);

#endif							/* PCAPI_STATISTICS_COUNT_H */
