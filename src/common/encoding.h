/*
 * encoding.h
 *	  Between the database's encoding and UTF-8, without raising an error.
 */
#ifndef PCAPI_ENCODING_H
#define PCAPI_ENCODING_H

#include "pinterest_capi.h"

/* NULL when a character has no counterpart; need a transaction */
extern char *pcapi_to_utf8(const char *s, size_t len, size_t *outlen);
extern char *pcapi_from_utf8(const char *s, size_t len);
extern char *pcapi_fold_name(const char *name);

#endif							/* PCAPI_ENCODING_H */
