/*
 * verdict.h
 *	  Apply a verdict: what an answer means for the events of a batch and for its destination.
 */
#ifndef PCAPI_VERDICT_H
#define PCAPI_VERDICT_H

#include "pinterest_capi.h"

#include "worker/response.h"
#include "worker/sending.h"

/* Work out what is to be written: the outcomes of a batch's events, and the destination's state. */
extern void pcapi_apply_verdict(PcapiBatch *batch, const PcapiAnswer *answer);

#endif							/* PCAPI_VERDICT_H */
