/*
 * mapped_value.h
 *	  Put the values of a row into the parameters of a call.
 */
#ifndef PCAPI_MAPPED_VALUE_H
#define PCAPI_MAPPED_VALUE_H

#include "pinterest_capi.h"

#include "track/call.h"
#include "track/mapping.h"

/* properties or user_data, being built */
typedef struct PcapiMappedObject
{
	PcapiJsonb	json;
	Size		size;			/* bytes of its strings and containers */
} PcapiMappedObject;

typedef struct PcapiMappedCall
{
	PcapiCall  *call;
	PcapiMappedObject properties;
	PcapiMappedObject user_data;
} PcapiMappedCall;

/* Begin with empty properties and user_data; end by setting them in the call. */
extern void pcapi_mapped_begin(PcapiMappedCall *mapped);
extern void pcapi_mapped_end(PcapiMappedCall *mapped);

/* Put a mapping's value into the call.  A value that can't be used becomes a warning of the event. */
extern void pcapi_put_value(PcapiMappedCall *mapped, const PcapiMapping *m, Datum value);

#endif							/* PCAPI_MAPPED_VALUE_H */
