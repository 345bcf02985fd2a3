/*
 * settle_fast.h
 *	  Events that are done with at their first attempt: out of the queue, into the outcome.  Nearly all are.
 */
#ifndef PCAPI_SETTLE_FAST_H
#define PCAPI_SETTLE_FAST_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/outcome.h"

/* settle_fast.c: those that are done with at their first attempt */
extern void pcapi_settle_fast(int dest, TimestampTz attempted_at, const PcapiEventOutcome *settled, int n,
							  PcapiWritten *written);

#endif							/* PCAPI_SETTLE_FAST_H */
