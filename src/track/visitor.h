/*
 * visitor.h
 *	  A visitor's stored identifiers, consent and click id.
 */
#ifndef PCAPI_VISITOR_H
#define PCAPI_VISITOR_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "track/user_data.h"
#include "utils/jsonb.h"

extern void pcapi_visitor_hash(const char *visitor_id, unsigned char digest[32]);

/* Add the stored identifiers that ids lacks and doesn't clear.  *consent gets the stored consent. */
extern void pcapi_visitor_fill(const unsigned char *visitor, PcapiIdentifiers *ids, Jsonb **consent);

/* Store a click id, unless a newer one is stored. */
extern void pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at);

extern Datum pcapi_visitor_datum(const unsigned char digest[32]);	/* bytea */

/* Delete the rows of click ids, except those that another transaction is deleting. */
extern void pcapi_visitor_drop_clicks(const unsigned char *visitor);

#endif							/* PCAPI_VISITOR_H */
