/*
 * preview.h
 *	  Decide about a call without writing anything.
 */
#ifndef PCAPI_PREVIEW_H
#define PCAPI_PREVIEW_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "track/call.h"
#include "track/track.h"

#define PCAPI_PREVIEW_COLUMNS	6

/* Return what track would decide: a list of PcapiDecision *. */
extern List *pcapi_preview(PcapiCall *call);

/* Set the columns of a row of preview. */
extern void pcapi_preview_row(const PcapiDecision *d, Datum *values, bool *nulls);

#endif							/* PCAPI_PREVIEW_H */
