/*
 * settle.h
 *	  What became of the events of a request, and of their destination.
 */
#ifndef PCAPI_SETTLE_H
#define PCAPI_SETTLE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "queue/outcome.h"

/*
 * written: n of them, filled in.  Returns how many are left; *problem is why,
 * in the current memory context, or NULL where others have locked them.  The
 * lease, if not 0, keeps those alone.
 */
#define PCAPI_LOCKED "locked by another transaction"

extern int	pcapi_settle(int dest, int64 lease, TimestampTz attempted_at,
						 const PcapiEventOutcome *settled, int n, PcapiWritten *written, char **problem);

#endif							/* PCAPI_SETTLE_H */
