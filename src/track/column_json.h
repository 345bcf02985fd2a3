/*
 * column_json.h
 *	  Values of columns as JSON and as text, for triggers.
 */
#ifndef PCAPI_COLUMN_JSON_H
#define PCAPI_COLUMN_JSON_H

#include "pinterest_capi.h"

#include "track/column_type.h"
#include "utils/jsonb.h"

/*
 * Convert a value to JSON.  Returns false when that can't be done or gives NULL.
 * *wrong gets, with either result, a static text that says what is wrong with the
 * value or a part of it, or NULL.  A user-defined type's functions can raise any
 * error.
 */
extern bool pcapi_column_to_json(const PcapiColumnType *ct, Datum value, JsonbValue *out,
								 const char **wrong);

/* Convert a value to text, a string in the current memory context; NULL as above. */
extern char *pcapi_column_to_text(const PcapiColumnType *ct, Datum value, const char **wrong);

#endif							/* PCAPI_COLUMN_JSON_H */
