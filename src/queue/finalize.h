/*
 * finalize.h
 *	  Make waiting events final without a request.
 */
#ifndef PCAPI_FINALIZE_H
#define PCAPI_FINALIZE_H

#include "pinterest_capi.h"

/*
 * Make those of the events that a query chooses final that still wait.  The query has
 * the columns dest and id, in the order of ids, and may lock rows.  skip_locked: except
 * events to which another transaction is giving an outcome.  Return how many.
 */
extern int64 pcapi_finalize_waiting(const char *status, const char *reason, const char *query,
									bool skip_locked, int nargs, const Oid *argtypes, const Datum *args,
									const char *argnulls);

/* Cancel what is queued for a destination that is about to be deleted, and clear its state. */
extern void pcapi_cancel_destination_events(const char *destination);

/* Cancel events that were committed while their destination was being deleted. */
extern void pcapi_cancel_orphaned_events(void);

#endif							/* PCAPI_FINALIZE_H */
