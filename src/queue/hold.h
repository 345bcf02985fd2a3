/*
 * hold.h
 *	  Why nothing is sent from a database although its destinations are ready.
 */
#ifndef PCAPI_HOLD_H
#define PCAPI_HOLD_H

#include "pinterest_capi.h"

/* NULL when nothing holds it; palloc'd.  Needs a transaction and a snapshot. */
extern char *pcapi_hold_reason(void);

#endif							/* PCAPI_HOLD_H */
