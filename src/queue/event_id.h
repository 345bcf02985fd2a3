/*
 * event_id.h
 *	  Make an event_id, or check one that was given.
 */
#ifndef PCAPI_EVENT_ID_H
#define PCAPI_EVENT_ID_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

#define PCAPI_EVENT_ID_MAX	200 /* bytes */

/* Make an event_id. */
extern char *pcapi_make_event_id(TimestampTz now);

/* Fill in random bytes; cheap for a few. */
extern void pcapi_random_bytes(unsigned char *to, size_t len);

/*
 * Return an event_id as it is stored: itself, or its SHA-256 if it is too long, not
 * text, or an e-mail address.  *why is the reason, or NULL.
 */
extern char *pcapi_stored_event_id(char *given, const char **why);

/* Return whether there is an event of this id, name and destination's number.  As the extension's owner. */
extern bool pcapi_event_exists(const char *event_id, const char *event_name, int dest);

#endif							/* PCAPI_EVENT_ID_H */
