/*
 * suppression.h
 *	  People who were forgotten, by visitor and by identifier.
 */
#ifndef PCAPI_SUPPRESSION_H
#define PCAPI_SUPPRESSION_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "track/settings.h"
#include "track/user_data.h"

/*
 * What a person is recognised by: visitors, and identifiers as they stand in
 * user_data of events and visitors.  keys and values are of the same length:
 * the same value means different things under different keys, since one
 * person's external_id may be another's zip.
 */
typedef struct PcapiPerson
{
	List	   *visitors;		/* of unsigned char[32] */
	List	   *keys;			/* of char *: those that identify (user_data_key.c) */
	List	   *values;			/* of char * */
} PcapiPerson;

/* Add a visitor, which may be NULL, and identifiers.  Nothing is copied. */
extern void pcapi_person_add(PcapiPerson *person, const unsigned char *visitor,
							 const PcapiIdentifiers *ids);

/* Return the person as it stands in the table _suppression: bytea[] */
extern Datum pcapi_person_hashes(const PcapiPerson *person);

/* Return whether the visitor, which may be NULL, or an identifier was forgotten. */
extern bool pcapi_is_suppressed(const unsigned char *visitor, const PcapiIdentifiers *ids);

/*
 * The same for a call: phone numbers in national form count in every form that
 * they may have had at some destination, now or before it had a country.
 */
extern bool pcapi_call_is_suppressed(PcapiSettings *settings, const unsigned char *visitor,
									 const PcapiIdentifiers *ids);

#endif							/* PCAPI_SUPPRESSION_H */
