/*
 * contents.h
 *	  A call's properties by key, and the fields about the products.
 */
#ifndef PCAPI_CONTENTS_H
#define PCAPI_CONTENTS_H

#include "pinterest_capi.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "track/property.h"
#include "track/settings.h"
#include "utils/jsonb.h"

typedef struct PcapiProperties
{
	const JsonbValue *given[PCAPI_TOP_PROPERTIES];	/* NULL: absent, or JSON null */
	int			unknown;		/* number of keys that are no property */
	bool		opt_out;
	List	   *warnings;		/* the same for all destinations */
} PcapiProperties;

/* Sort a call's properties by key.  The values still point into the Jsonb. */
extern void pcapi_properties_from_jsonb(PcapiProperties *props, Jsonb *properties);

/* Append contents, content_ids and num_items: as given, or made from the other properties. */
extern void pcapi_append_products(StringInfo buf, const PcapiProperties *props,
								  const PcapiAllowed *allowed, List **warnings);

#endif							/* PCAPI_CONTENTS_H */
