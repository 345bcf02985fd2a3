/*
 * detached_subscription.h
 *	  Detach a dispatcher's subscriptions that would consume events without storing them.
 */
#ifndef PCAPI_DETACHED_SUBSCRIPTION_H
#define PCAPI_DETACHED_SUBSCRIPTION_H

#include "pinterest_capi.h"

/* Take the slot from each such subscription.  In a transaction of the worker's, as the extension's owner. */
extern void pcapi_detach_subscriptions(void);

#endif							/* PCAPI_DETACHED_SUBSCRIPTION_H */
