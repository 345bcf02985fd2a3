/*
 * event_id.h
 *	  The event_id: made, or taken as given.
 */
#ifndef PCAPI_EVENT_ID_H
#define PCAPI_EVENT_ID_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

#define PCAPI_EVENT_ID_MAX	200 /* bytes */

extern char *pcapi_make_event_id(TimestampTz now);
extern void pcapi_random_bytes(unsigned char *to, size_t len);	/* a few at a time */

/*
 * An event_id as it is stored: itself, or the SHA-256 of one that is too long
 * or somebody's address; *why says so, or is NULL.
 */
extern char *pcapi_stored_event_id(char *given, const char **why);

/* whether an event of this id, name and destination's number is kept; as the extension's owner */
extern bool pcapi_event_exists(const char *event_id, const char *event_name, int dest);

#endif							/* PCAPI_EVENT_ID_H */
