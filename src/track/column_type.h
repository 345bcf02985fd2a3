/*
 * column_type.h
 *	  Which of a type's casts and functions convert its values.
 */
#ifndef PCAPI_COLUMN_TYPE_H
#define PCAPI_COLUMN_TYPE_H

#include "pinterest_capi.h"

#include "fmgr.h"

/* which of a type's casts is asked for, where it has several */
typedef enum PcapiColumnUse
{
	PCAPI_COLUMN_AS_TEXT,
	PCAPI_COLUMN_AS_NUMBER,
	PCAPI_COLUMN_AS_JSON
} PcapiColumnUse;

typedef enum PcapiColumnForm
{
	PCAPI_COLUMN_KNOWN,			/* by the type's OID */
	PCAPI_COLUMN_TEXT,			/* stored as text is */
	PCAPI_COLUMN_ARRAY,
	PCAPI_COLUMN_ROW,			/* composite */
	PCAPI_COLUMN_OUTPUT,		/* by the type's output function */
	PCAPI_COLUMN_CAST			/* by a function to the type "result" */
} PcapiColumnForm;

/* How to convert values of one type; looked up once per trigger. */
typedef struct PcapiColumnType
{
	Oid			type;			/* under domains */
	PcapiColumnUse use;
	PcapiColumnForm form;
	bool		late;			/* made by somebody: form is found anew for each value */
	bool		unchecked;		/* json, which holds what jsonb refuses, such as \u0000 */
	bool		foreign;		/* converting runs what users wrote, and can raise any error */
	int16		len;
	struct PcapiColumnType *element;	/* of an array */
	FmgrInfo	convert;		/* of OUTPUT and CAST */
	Oid			result;			/* of CAST: text, numeric, jsonb or json */
} PcapiColumnType;

extern void pcapi_column_type_init(PcapiColumnType *ct, Oid type, PcapiColumnUse use,
								   MemoryContext context);

/* Return ct, or buffer with what a late type is converted by at this moment. */
extern const PcapiColumnType *pcapi_column_type_resolve(const PcapiColumnType *ct,
														PcapiColumnType *buffer);

/* Return the bytes of a value, without fetching or expanding it. */
extern Size pcapi_column_size(const PcapiColumnType *ct, Datum value);

/*
 * Call the function that converts, as in a session with standard settings.
 * After an error the end of the (sub)transaction sets the session's back.
 */
extern Datum pcapi_column_call(const PcapiColumnType *ct, Datum value, bool *isnull);

#endif							/* PCAPI_COLUMN_TYPE_H */
