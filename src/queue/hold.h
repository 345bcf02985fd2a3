/*
 * hold.h
 *	  Tell why a database is held: nothing is sent although its destinations are ready.
 */
#ifndef PCAPI_HOLD_H
#define PCAPI_HOLD_H

#include "pinterest_capi.h"

/*
 * Return the subscription by which this database's queue is a replica of another
 * server's, palloc'd.  NULL: there is none.  Needs a transaction.
 */
extern char *pcapi_replicating_subscription(void);

/*
 * Return why the database is held, palloc'd, and in *remedy a hint.  NULL: it is not.
 * Needs a transaction and a snapshot.
 */
extern char *pcapi_hold_reason(const char **remedy);

#endif							/* PCAPI_HOLD_H */
