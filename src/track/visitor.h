/*
 * visitor.h
 *	  What is known of a visitor, for the events of others to use.
 */
#ifndef PCAPI_VISITOR_H
#define PCAPI_VISITOR_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "track/user_data.h"
#include "utils/jsonb.h"

extern void pcapi_visitor_hash(const char *visitor_id, unsigned char digest[32]);

/* fill what ids lacks from what identify stored; *consent gets the stored one */
extern void pcapi_visitor_fill(const unsigned char *visitor, PcapiIdentifiers *ids, Jsonb **consent);
extern void pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at);

extern Datum pcapi_visitor_datum(const unsigned char digest[32]);	/* bytea */

/* delete what click ids have rows of their own, but for those that another transaction is deleting */
extern void pcapi_visitor_drop_clicks(const unsigned char *visitor);

#endif							/* PCAPI_VISITOR_H */
