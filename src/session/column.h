/*
 * column.h
 *	  Values of columns as JSON, for triggers.
 */
#ifndef PCAPI_COLUMN_H
#define PCAPI_COLUMN_H

#include "session/session.h"

#include "fmgr.h"

/* how to convert values of one type; looked up once per trigger */
typedef struct PcapiColumnType
{
	Oid			type;			/* under domains */
	Oid			element;		/* of an array, else InvalidOid */
	int16		element_len;
	bool		element_byval;
	char		element_align;
	FmgrInfo	output;			/* of the type, or of the element */
} PcapiColumnType;

extern void pcapi_column_type_init(PcapiColumnType *ct, Oid type, MemoryContext context);

/*
 * The value as JSON.  False when it can't be had; *wrong says why.
 */
extern bool pcapi_column_to_json(const PcapiColumnType *ct, Datum value, JsonbValue *out,
								 const char **wrong);

/* as text, for what is no JSON; a string in the current memory context */
extern char *pcapi_column_to_text(const PcapiColumnType *ct, Datum value);

/* false: the value is no moment */
extern bool pcapi_column_to_time(const PcapiColumnType *ct, Datum value, TimestampTz *out);

#endif							/* PCAPI_COLUMN_H */
