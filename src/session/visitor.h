/*
 * visitor.h
 *	  Between visitor.c and visitor_sql.c; what others need is in session.h.
 */
#ifndef PCAPI_VISITOR_H
#define PCAPI_VISITOR_H

#include "session/session.h"

extern Datum pcapi_visitor_datum(const unsigned char digest[32]);	/* bytea */

/*
 * What a person is recognised by, as bytea[] of SHA-256: the visitor, em, ph,
 * external_id, hashed_maids, click id and partner id.  visitor may be NULL.
 */
extern Datum pcapi_person_hashes(const unsigned char *visitor, const PcapiIdentifiers *ids);

#endif							/* PCAPI_VISITOR_H */
