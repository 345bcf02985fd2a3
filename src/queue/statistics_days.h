/*
 * statistics_days.h
 *	  Sums of whole days, and deleting old statistics.
 */
#ifndef PCAPI_STATISTICS_DAYS_H
#define PCAPI_STATISTICS_DAYS_H

#include "pinterest_capi.h"

/* Add up some days that are over.  False: there are no more. */
extern bool pcapi_statistics_days_step(void);

/* Delete some statistics that are older than an interval.  False: there are no more. */
extern bool pcapi_statistics_retention_step(const char *retention);

#endif							/* PCAPI_STATISTICS_DAYS_H */
