/*
 * retention.h
 *	  Delete final events, empty their payloads and delete click ids once they are kept too
 *	  long, in steps of some thousand rows.
 */
#ifndef PCAPI_RETENTION_H
#define PCAPI_RETENTION_H

#include "pinterest_capi.h"

/*
 * Delete final events and empty payloads among the next rows behind the id *after,
 * which is moved on.  *changed: how many rows.  False: there are no rows behind it.
 */
extern bool pcapi_retention_step(const char *retention, const char *payload_retention, int64 *after,
								 int64 *changed);

/* ---- rows of visitors, in the order of their keys ---- */

/* the last row of a pass over them */
typedef struct PcapiVisitorPlace
{
	bool		begun;			/* false: before the first row */
	int			len;
	unsigned char after[64];	/* its key */
} PcapiVisitorPlace;

/* Return the place as a parameter of type bytea.  False: a pass begins, and there is none. */
extern bool pcapi_visitor_place_param(const PcapiVisitorPlace *place, Datum *value);

/* Set the place to the row of the last statement, in its column visitor.  No row: the pass is over.  Inside SPI. */
extern void pcapi_visitor_place_set(PcapiVisitorPlace *place);

/* Delete click ids that are kept too long from the next rows.  False: the pass is over. */
extern bool pcapi_click_retention_step(const char *retention, PcapiVisitorPlace *place);

#endif							/* PCAPI_RETENTION_H */
