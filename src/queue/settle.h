/*
 * settle.h
 *	  Settle a request's events: write their outcomes or retries.
 */
#ifndef PCAPI_SETTLE_H
#define PCAPI_SETTLE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/outcome.h"

/* the problem that a lease holds for events that other transactions have locked */
#define PCAPI_LOCKED "locked by another transaction"

/*
 * Settle n events of a request in the current transaction, and fill in written, an
 * element for each.  Return how many still wait, and in *problem why, in the
 * current memory context; NULL: other transactions have locked them.  The lease, unless
 * it is 0, is deleted, or keeps the events that are left.
 */
extern int	pcapi_settle(int dest, int64 lease, TimestampTz attempted_at,
						 const PcapiEventOutcome *settled, int n, PcapiWritten *written, char **problem);

#endif							/* PCAPI_SETTLE_H */
