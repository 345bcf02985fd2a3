/*
 * verdict.h
 *	  Apply a verdict: what an answer means for a batch's events and for
 *	  its destination.
 */
#ifndef PCAPI_VERDICT_H
#define PCAPI_VERDICT_H

#include "pinterest_capi.h"

#include "worker/batch.h"
#include "worker/response.h"

/* Decide the outcomes of a batch's events and the state of its destination.  Nothing is written to a table. */
extern void pcapi_apply_verdict(PcapiBatch *batch, const PcapiAnswer *answer);

#endif							/* PCAPI_VERDICT_H */
