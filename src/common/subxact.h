/*
 * subxact.h
 *	  Subtransactions of our own around what may fail, or must leave no trace.
 */
#ifndef PCAPI_SUBXACT_H
#define PCAPI_SUBXACT_H

#include "pinterest_capi.h"

/*
 * Run something that may fail over data, in a subtransaction.  False when it
 * failed with an error of class 21, 22, or 54 (nested too deep, too large); all
 * other errors go on.
 */
typedef void (*PcapiSubxactWork) (void *arg);

/*
 * Work on a set that is not to be all or nothing: on all n of it from one on,
 * and where that fails on each half, until those that fail stand alone.  NULL,
 * or why some do.
 */
typedef void (*PcapiPartWork) (void *arg, int from, int n);

extern bool pcapi_try_subxact(PcapiSubxactWork call, void *arg);

/*
 * The same for what users wrote, such as an expression: NULL, or any error but
 * those that are the caller's statement's (cancel, serialization failure,
 * deadlock, lack of resources), which go on.
 */
extern ErrorData *pcapi_try_user_code(PcapiSubxactWork call, void *arg);

/* Likewise, but false when it failed with a unique violation, and with that error alone. */
extern bool pcapi_try_subxact_unique(PcapiSubxactWork call, void *arg);

/*
 * Work on a part of a set, in a subtransaction: what stops it shall not stop
 * the other parts.  NULL, or why it failed, in the current memory context.
 * The same errors go on, as they would stop the others too.
 */
extern char *pcapi_subxact_error(PcapiSubxactWork call, void *arg);
extern char *pcapi_subxact_error_code(PcapiSubxactWork call, void *arg, int *sqlerrcode);	/* set on failure */
extern char *pcapi_by_halves(PcapiPartWork work, void *arg, int from, int n);

/* run something and roll it back; errors go on */
extern void pcapi_rollback_subxact(PcapiSubxactWork call, void *arg);

#endif							/* PCAPI_SUBXACT_H */
