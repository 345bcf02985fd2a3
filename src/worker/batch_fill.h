/*
 * batch_fill.h
 *	  Fill a batch: which events of a destination are sent next.
 */
#ifndef PCAPI_BATCH_FILL_H
#define PCAPI_BATCH_FILL_H

#include "pinterest_capi.h"

#include "worker/sending.h"

/* in a transaction: claim a batch, or drop what can't be sent; false when nothing waits */
extern bool pcapi_sender_fill_batch(PcapiSender *sender);
extern void pcapi_sender_rescan(PcapiSender *sender);

#endif							/* PCAPI_BATCH_FILL_H */
