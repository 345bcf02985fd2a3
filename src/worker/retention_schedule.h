/*
 * retention_schedule.h
 *	  When to clear away what is kept too long.
 */
#ifndef PCAPI_RETENTION_SCHEDULE_H
#define PCAPI_RETENTION_SCHEDULE_H

#include "pinterest_capi.h"

extern void pcapi_apply_retention(int64 now);	/* ms, of pcapi_clock_ms() */
extern void pcapi_retention_reloaded(void); /* also once at the start */

#endif							/* PCAPI_RETENTION_SCHEDULE_H */
