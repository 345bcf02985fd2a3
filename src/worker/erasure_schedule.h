/*
 * erasure_schedule.h
 *	  Once a second: erase what forget() could not see, as its transactions
 *	  were still open.
 */
#ifndef PCAPI_ERASURE_SCHEDULE_H
#define PCAPI_ERASURE_SCHEDULE_H

#include "pinterest_capi.h"

/* Continue the erasures that are pending; now is of pcapi_clock_ms(). */
extern void pcapi_continue_erasures(int64 now);

#endif							/* PCAPI_ERASURE_SCHEDULE_H */
