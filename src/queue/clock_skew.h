/*
 * clock_skew.h
 *	  Due times after the server's clock was ahead and somebody has set it right.
 */
#ifndef PCAPI_CLOCK_SKEW_H
#define PCAPI_CLOCK_SKEW_H

#include "pinterest_capi.h"

/* due times that were set by a clock which was ahead; in a transaction of the worker's */
extern void pcapi_fix_future_times(void);

#endif							/* PCAPI_CLOCK_SKEW_H */
