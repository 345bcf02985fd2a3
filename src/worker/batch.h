/*
 * batch.h
 *	  The events of one request: its body, its start, what its answer means for each of them and for the destination.
 */
#ifndef PCAPI_BATCH_H
#define PCAPI_BATCH_H

#include "pinterest_capi.h"

#include "queue/payload.h"
#include "worker/sending.h"

#define PCAPI_MAX_BODY	(2 * 1024 * 1024)

extern PcapiBatch *pcapi_batch_create(PcapiSender *sender, int room);
extern bool pcapi_batch_add(PcapiBatch *batch, const PcapiQueuedEvent *event, const char *payload, int len);
extern void pcapi_batch_seal(PcapiBatch *batch);	/* no more events */
extern bool pcapi_batch_holds(const PcapiBatch *batch, int64 id);
extern void pcapi_batch_free(PcapiBatch *batch);
extern void pcapi_batch_sort_ids(PcapiBatch *batch);

#endif							/* PCAPI_BATCH_H */
