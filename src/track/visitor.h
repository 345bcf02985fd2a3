/*
 * visitor.h
 *	  What is known of a visitor, for the events of others to use.
 */
#ifndef PCAPI_VISITOR_H
#define PCAPI_VISITOR_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "track/user_data.h"
#include "utils/jsonb.h"

/*
 * What a person is recognised by: visitors, and identifiers as they stand in
 * user_data of events and visitors.  Two lists of the same length, since the
 * same value means different things under different keys: somebody's
 * external_id may be somebody else's zip.
 */
typedef struct PcapiPerson
{
	List	   *visitors;		/* of unsigned char[32] */
	List	   *keys;			/* of char *: em, ph, external_id, hashed_maids, click_id, partner_id */
	List	   *values;
} PcapiPerson;

extern void pcapi_visitor_hash(const char *visitor_id, unsigned char digest[32]);

/* fill what ids lacks from what identify stored; *consent gets the stored one */
extern void pcapi_visitor_fill(const unsigned char *visitor, PcapiIdentifiers *ids, Jsonb **consent);
extern void pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at);

/* of an event as it is sent */
extern void pcapi_identifiers_from_event(PcapiIdentifiers *ids, Jsonb *event);
extern bool pcapi_is_suppressed(const unsigned char *visitor, const PcapiIdentifiers *ids);
extern Datum pcapi_visitor_datum(const unsigned char digest[32]);	/* bytea */

/* delete what click ids have rows of their own, but for those that another transaction is deleting */
extern void pcapi_visitor_drop_clicks(const unsigned char *visitor);

/* visitor may be NULL; nothing is copied */
extern void pcapi_person_add(PcapiPerson *person, const unsigned char *visitor,
							 const PcapiIdentifiers *ids);

/* as they stand in the table _suppression: bytea[] */
extern Datum pcapi_person_hashes(const PcapiPerson *person);

#endif							/* PCAPI_VISITOR_H */
