/*
 * visitor.h
 *	  Between visitor.c and visitor_sql.c; what others need is in session.h.
 */
#ifndef PCAPI_VISITOR_H
#define PCAPI_VISITOR_H

#include "session/session.h"

extern Datum pcapi_visitor_datum(const unsigned char digest[32]);	/* bytea */

/* delete what click ids have rows of their own, but for those that another transaction is deleting */
extern void pcapi_visitor_drop_clicks(const unsigned char *visitor);

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

/* visitor may be NULL; nothing is copied */
extern void pcapi_person_add(PcapiPerson *person, const unsigned char *visitor,
							 const PcapiIdentifiers *ids);

/* as they stand in the table _suppression: bytea[] */
extern Datum pcapi_person_hashes(const PcapiPerson *person);

#endif							/* PCAPI_VISITOR_H */
