/*
 * batch_request.h
 *	  The request of a batch: its start and its end.
 */
#ifndef PCAPI_BATCH_REQUEST_H
#define PCAPI_BATCH_REQUEST_H

#include "pinterest_capi.h"

#include "queue/destination_config.h"
#include "worker/batch.h"

/* Start the request of a claimed batch.  Its lease is committed; no transaction is open. */
extern void pcapi_batch_start(PcapiBatch *batch);

/* End the request: read its answer and apply the verdict.  The batch becomes ANSWERED. */
extern void pcapi_batch_finish(PcapiBatch *batch);

/* Return the URL of the batch's request by these settings; palloc'd. */
extern char *pcapi_request_url(const PcapiBatch *batch, const PcapiDestinationConfig *config);

#endif							/* PCAPI_BATCH_REQUEST_H */
