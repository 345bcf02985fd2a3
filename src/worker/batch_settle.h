/*
 * batch_settle.h
 *	  Write down what became of a batch: its events, its destination, its lease.
 */
#ifndef PCAPI_BATCH_SETTLE_H
#define PCAPI_BATCH_SETTLE_H

#include "pinterest_capi.h"

#include "worker/sending.h"

extern void pcapi_batch_settle(void *batch);	/* a PcapiWork */
extern bool pcapi_batch_settled(PcapiBatch *batch); /* that is committed; false: some are left */
extern int	pcapi_batch_adopt(void);	/* a worker's before this one; in a transaction, once; returns how many events */

#endif							/* PCAPI_BATCH_SETTLE_H */
