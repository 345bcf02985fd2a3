/*
 * batch_fill.h
 *	  Fill a batch: which events of a destination are sent next.
 */
#ifndef PCAPI_BATCH_FILL_H
#define PCAPI_BATCH_FILL_H

#include "pinterest_capi.h"

#include "worker/sender.h"

/*
 * In a transaction: claim a batch of events, and settle those that are not
 * sent.  Return false where the destination has nothing to send now.
 */
extern bool pcapi_sender_fill_batch(PcapiSender *sender);

#endif							/* PCAPI_BATCH_FILL_H */
