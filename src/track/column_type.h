/*
 * column_type.h
 *	  Choose a type's casts and functions that convert its values.
 */
#ifndef PCAPI_COLUMN_TYPE_H
#define PCAPI_COLUMN_TYPE_H

#include "pinterest_capi.h"

#include "fmgr.h"

/* the form that a key takes, where a type has several casts */
typedef enum PcapiColumnUse
{
	PCAPI_COLUMN_AS_TEXT,
	PCAPI_COLUMN_AS_NUMBER,
	PCAPI_COLUMN_AS_JSON
} PcapiColumnUse;

typedef enum PcapiColumnForm
{
	PCAPI_COLUMN_KNOWN,			/* by the type's OID */
	PCAPI_COLUMN_TEXT,			/* binary-coercible to text */
	PCAPI_COLUMN_ARRAY,
	PCAPI_COLUMN_ROW,			/* composite */
	PCAPI_COLUMN_OUTPUT,		/* by the type's output function */
	PCAPI_COLUMN_CAST			/* by a cast's function, to the type "result" */
} PcapiColumnForm;

/* how values of one type are converted; looked up once per trigger */
typedef struct PcapiColumnType
{
	Oid			type;			/* base type of a domain */
	PcapiColumnUse use;
	PcapiColumnForm form;
	bool		per_value;		/* user-defined: form is chosen for each value */
	bool		unchecked;		/* json, which accepts what jsonb refuses, such as \u0000 */
	bool		runs_user_code; /* converting can raise any error */
	int16		len;
	struct PcapiColumnType *element;	/* of an array */
	FmgrInfo	convert;		/* of OUTPUT and CAST */
	Oid			result;			/* of CAST: text, numeric, jsonb or json */
} PcapiColumnType;

/* Choose how a type's values are converted. */
extern void pcapi_column_type_init(PcapiColumnType *ct, Oid type, PcapiColumnUse use,
								   MemoryContext context);

/* Return ct, or, for a type that is resolved per value, buffer with the current choice. */
extern const PcapiColumnType *pcapi_column_type_resolve(const PcapiColumnType *ct,
														PcapiColumnType *buffer);

/* Return the bytes of a value, without detoasting it. */
extern Size pcapi_column_size(const PcapiColumnType *ct, Datum value);

/*
 * Call ct->convert, with the default settings of output.  After an error the end of
 * the (sub)transaction restores the session's settings.
 */
extern Datum pcapi_column_call(const PcapiColumnType *ct, Datum value, bool *isnull);

#endif							/* PCAPI_COLUMN_TYPE_H */
