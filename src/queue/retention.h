/*
 * retention.h
 *	  What is kept too long goes, a few rows at a time: final events, their payloads, visitors' click ids.
 */
#ifndef PCAPI_RETENTION_H
#define PCAPI_RETENTION_H

#include "pinterest_capi.h"

/* a place among visitors, in the order of their digests */
typedef struct PcapiVisitorPlace
{
	bool		begun;
	int			len;
	unsigned char after[64];
} PcapiVisitorPlace;

/*
 * Delete final rows and empty payloads among the next few after id *after,
 * which is moved on; *changed says how many.  False: there are none behind it.
 */
extern bool pcapi_retention_step(const char *retention, const char *payload_retention, int64 *after,
								 int64 *changed);

/* the place as a parameter, or false: from the first one; and the last row of the statement as the place */
extern bool pcapi_visitor_place_param(const PcapiVisitorPlace *place, Datum *value);
extern void pcapi_visitor_place_set(PcapiVisitorPlace *place);

/* likewise: takes the click ids from the next few visitors who have had theirs for too long */
extern bool pcapi_click_retention_step(const char *retention, PcapiVisitorPlace *place);

#endif							/* PCAPI_RETENTION_H */
