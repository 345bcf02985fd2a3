/*
 * finalize.h
 *	  Make waiting events final without a request.
 */
#ifndef PCAPI_FINALIZE_H
#define PCAPI_FINALIZE_H

#include "pinterest_capi.h"

/*
 * Make queued events final: the rows q of _queue that a FROM clause has, whose
 * parameters begin at $3; three at most.  skip_locked: except those that another
 * transaction has locked.  Return how many.
 */
extern int64 pcapi_finalize_waiting(const char *status, const char *reason, const char *from,
									bool skip_locked, int nargs, const Oid *argtypes, const Datum *args,
									const char *argnulls);

/* Cancel what is queued for a destination that is about to be deleted, and clear its state. */
extern void pcapi_cancel_destination_events(const char *destination);

/* Cancel events that were committed while their destination was being deleted. */
extern void pcapi_cancel_orphaned_events(void);

#endif							/* PCAPI_FINALIZE_H */
