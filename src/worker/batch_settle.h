/*
 * batch_settle.h
 *	  Settle a batch: write the outcomes of its events and the state of its
 *	  destination, and delete its lease.
 */
#ifndef PCAPI_BATCH_SETTLE_H
#define PCAPI_BATCH_SETTLE_H

#include "pinterest_capi.h"

#include "worker/batch.h"

/* Settle a batch, in a transaction; a PcapiWork. */
extern void pcapi_batch_settle(void *batch);

/*
 * That transaction is committed: remove what is settled from the batch.  Return
 * true if it is empty; else it is PARTLY_SETTLED, and to be settled again.
 */
extern bool pcapi_batch_settle_committed(PcapiBatch *batch);

/* In the first transaction: create a batch for each lease of an earlier worker.  Return the number of events. */
extern int	pcapi_batch_adopt(void);

#endif							/* PCAPI_BATCH_SETTLE_H */
