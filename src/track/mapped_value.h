/*
 * mapped_value.h
 *	  Values of a row become the parameters of a call.
 */
#ifndef PCAPI_MAPPED_VALUE_H
#define PCAPI_MAPPED_VALUE_H

#include "pinterest_capi.h"

#include "track/call.h"
#include "track/mapping.h"

/* properties or user_data, while it is built */
typedef struct PcapiMappedObject
{
	PcapiJsonb	json;
	Size		size;			/* bytes in it, about */
} PcapiMappedObject;

typedef struct PcapiMappedCall
{
	PcapiCall  *call;
	PcapiMappedObject properties;
	PcapiMappedObject user_data;
} PcapiMappedCall;

extern void pcapi_mapped_begin(PcapiMappedCall *mapped);
extern void pcapi_mapped_end(PcapiMappedCall *mapped);

/* Put a mapping's value into the call; what is wrong with it is a warning of the event. */
extern void pcapi_put_value(PcapiMappedCall *mapped, const PcapiMapping *m, Datum value);

#endif							/* PCAPI_MAPPED_VALUE_H */
