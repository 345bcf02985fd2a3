/*
 * settle_fast.h
 *	  Settle events that are final at their first attempt without a statement.
 */
#ifndef PCAPI_SETTLE_FAST_H
#define PCAPI_SETTLE_FAST_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/outcome.h"

/*
 * Settle those of n events, in the order of their ids, that are final at their first attempt and whose rows are
 * unchanged; mark them as written.  An error leaves all of them to the caller, who runs it in a subtransaction.
 */
extern void pcapi_settle_fast(int dest, TimestampTz attempted_at, const PcapiEventOutcome *settled, int n,
							  PcapiWritten *written);

#endif							/* PCAPI_SETTLE_FAST_H */
