/*
 * column_time.h
 *	  Values of columns as a moment, for the key event_time.
 */
#ifndef PCAPI_COLUMN_TIME_H
#define PCAPI_COLUMN_TIME_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "track/column_type.h"

/* Convert a value to a moment.  Return false if it is none, or not a finite one. */
extern bool pcapi_column_to_time(const PcapiColumnType *ct, Datum value, TimestampTz *out);

#endif							/* PCAPI_COLUMN_TIME_H */
