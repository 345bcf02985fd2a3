/*
 * hold.h
 *	  Why nothing is sent from a database although its destinations are ready.
 */
#ifndef PCAPI_HOLD_H
#define PCAPI_HOLD_H

#include "pinterest_capi.h"

/*
 * The subscription that writes the queue of this database, as a replica of
 * another server's; NULL when there is none; palloc'd.  Needs a transaction.
 */
extern char *pcapi_replicating_subscription(void);

/*
 * NULL when nothing holds it; palloc'd.  Else *remedy is a hint, which differs
 * by what holds it.  Needs a transaction and a snapshot.
 */
extern char *pcapi_hold_reason(const char **remedy);

#endif							/* PCAPI_HOLD_H */
