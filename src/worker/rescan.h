/*
 * rescan.h
 *	  Find new events that were committed behind the cursor.
 */
#ifndef PCAPI_RESCAN_H
#define PCAPI_RESCAN_H

#include "pinterest_capi.h"

#include "worker/sender.h"

/* Set the cursor back to the first event behind it, in a transaction. */
extern void pcapi_sender_rescan(PcapiSender *sender);

#endif							/* PCAPI_RESCAN_H */
