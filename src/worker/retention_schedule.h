/*
 * retention_schedule.h
 *	  Decide when the worker deletes what is kept too long.
 */
#ifndef PCAPI_RETENTION_SCHEDULE_H
#define PCAPI_RETENTION_SCHEDULE_H

#include "pinterest_capi.h"

/* Make the next step, if it is due; now is of pcapi_clock_ms(). */
extern void pcapi_apply_retention(int64 now);

/* The settings were reloaded, or read for the first time: begin the next pass. */
extern void pcapi_retention_reloaded(void);

#endif							/* PCAPI_RETENTION_SCHEDULE_H */
