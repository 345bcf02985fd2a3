/*
 * statistics_schedule.h
 *	  Decide when the worker counts events for the statistics.
 */
#ifndef PCAPI_STATISTICS_SCHEDULE_H
#define PCAPI_STATISTICS_SCHEDULE_H

#include "pinterest_capi.h"

/* Take a step if one is due; busy: requests are in flight.  Return the ms until the next one. */
extern long pcapi_count_statistics(int64 now, bool busy);

#endif							/* PCAPI_STATISTICS_SCHEDULE_H */
