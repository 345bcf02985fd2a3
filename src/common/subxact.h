/*
 * subxact.h
 *	  Run a function in a subtransaction: one that may fail, or whose effects are rolled back.
 */
#ifndef PCAPI_SUBXACT_H
#define PCAPI_SUBXACT_H

#include "pinterest_capi.h"

/* a function that is run in a subtransaction */
typedef void (*PcapiSubxactWork) (void *arg);

/*
 * Run call(arg), which may fail for its data.  False: it failed with an error of
 * class 21, 22, or 54 (nested too deep, too large).  Other errors propagate.
 */
extern bool pcapi_try_subxact(PcapiSubxactWork call, void *arg);

/*
 * Run call(arg), which evaluates an expression or fires a trigger of the users'.
 * Return NULL or the error.  Errors that concern the caller's statement propagate:
 * cancel, serialization failure, deadlock, lack of resources.
 */
extern ErrorData *pcapi_try_user_code(PcapiSubxactWork call, void *arg);

/* Run call(arg).  False: it failed with a unique violation.  Other errors propagate. */
extern bool pcapi_try_subxact_unique(PcapiSubxactWork call, void *arg);

/*
 * Run call(arg) for a part of a set, whose failure must not stop the other parts.
 * Return NULL, or why it failed, in the current memory context; *sqlerrcode is set
 * on failure.  The errors that pcapi_try_user_code() lets propagate do so here:
 * they would stop the other parts too.
 */
extern char *pcapi_subxact_error(PcapiSubxactWork call, void *arg);
extern char *pcapi_subxact_error_code(PcapiSubxactWork call, void *arg, int *sqlerrcode);

/*
 * Work on n elements of a set from an element on, in a subtransaction.  If that
 * fails, work on each half, until the elements that fail stand alone.  Return NULL,
 * or why some failed.
 */
typedef void (*PcapiPartWork) (void *arg, int from, int n);

extern char *pcapi_by_halves(PcapiPartWork work, void *arg, int from, int n);

/* Run call(arg) and roll it back.  Errors propagate. */
extern void pcapi_rollback_subxact(PcapiSubxactWork call, void *arg);

#endif							/* PCAPI_SUBXACT_H */
