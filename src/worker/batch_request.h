/*
 * batch_request.h
 *	  The request of a batch: its start and its end.
 */
#ifndef PCAPI_BATCH_REQUEST_H
#define PCAPI_BATCH_REQUEST_H

#include "pinterest_capi.h"

#include "queue/destination_config.h"
#include "worker/sending.h"

extern void pcapi_batch_start(PcapiBatch *batch);
extern void pcapi_batch_answered(PcapiBatch *batch);
extern char *pcapi_request_url(const PcapiBatch *batch, const PcapiDestinationConfig *config);	/* palloc'd */

#endif							/* PCAPI_BATCH_REQUEST_H */
