/*
 * encoding.h
 *	  Convert between the database's encoding and UTF-8 without raising an error.
 */
#ifndef PCAPI_ENCODING_H
#define PCAPI_ENCODING_H

#include "pinterest_capi.h"

/*
 * Convert text.  They return NULL if a character has no counterpart, and need a
 * transaction.
 */
extern char *pcapi_to_utf8(const char *s, size_t len, size_t *outlen);
extern char *pcapi_from_utf8(const char *s, size_t len);

/* Return the form of an event's name by which names are compared, in the database's encoding. */
extern char *pcapi_fold_name(const char *name);

#endif							/* PCAPI_ENCODING_H */
