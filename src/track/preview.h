/*
 * preview.h
 *	  The whole way of an event without writing anything.
 */
#ifndef PCAPI_PREVIEW_H
#define PCAPI_PREVIEW_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "track/call.h"
#include "track/track.h"

#define PCAPI_PREVIEW_COLUMNS	6

/* what a call would become, without writing it; of PcapiDecision * */
extern List *pcapi_preview(PcapiCall *call);

/* a row of preview, from its first column on */
extern void pcapi_preview_row(const PcapiDecision *d, Datum *values, bool *nulls);

#endif							/* PCAPI_PREVIEW_H */
