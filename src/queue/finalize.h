/*
 * finalize.h
 *	  Make waiting events final without a request.
 */
#ifndef PCAPI_FINALIZE_H
#define PCAPI_FINALIZE_H

#include "pinterest_capi.h"

/* what waits for a destination that is about to be deleted is cancelled */
extern void pcapi_cancel_destination_events(const char *destination);

/* the same for what was committed while its destination was being deleted */
extern void pcapi_cancel_orphaned_events(void);

/*
 * Make waiting rows final: the rows q of _queue that this FROM clause has.  Its
 * parameters begin at $3.
 */
extern int64 pcapi_finalize_waiting(const char *status, const char *reason, const char *from,
									bool skip_locked, int nargs, const Oid *argtypes, const Datum *args,
									const char *argnulls);

#endif							/* PCAPI_FINALIZE_H */
