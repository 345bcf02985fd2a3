/*
 * clock_skew.h
 *	  Correct due times that were set while the server's clock was ahead.
 */
#ifndef PCAPI_CLOCK_SKEW_H
#define PCAPI_CLOCK_SKEW_H

#include "pinterest_capi.h"

/* Correct due times and backoffs that lie too far in the future.  In a transaction of the worker's. */
extern void pcapi_fix_future_times(void);

#endif							/* PCAPI_CLOCK_SKEW_H */
