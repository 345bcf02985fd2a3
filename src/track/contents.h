/*
 * contents.h
 *	  A call's properties taken apart, and what was bought put together.
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
	List	   *warnings;		/* independent of the destination */
} PcapiProperties;

extern void pcapi_properties_from_jsonb(PcapiProperties *props, Jsonb *properties);

/* contents, content_ids and num_items: given, or made of what is there */
extern void pcapi_append_products(StringInfo buf, const PcapiProperties *props,
								  const PcapiAllowed *allowed, List **warnings);

#endif							/* PCAPI_CONTENTS_H */
