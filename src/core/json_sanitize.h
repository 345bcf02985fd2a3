/*
 * json_sanitize.h
 *	  Make JSON from outside harmless for PostgreSQL's parser.
 */
#ifndef PCAPI_JSON_SANITIZE_H
#define PCAPI_JSON_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#define PCAPI_JSON_DEPTH	64

/*
 * Copy json to out in a form that the parser takes without raising an error.
 * Escapes of surrogates and \u0000 become question marks, and so does everything
 * beyond ASCII if ascii.  Return false for what is not valid UTF-8 or is nested
 * deeper than PCAPI_JSON_DEPTH.  out has room for len + 1 bytes.
 */
extern bool pcapi_json_sanitize(const char *json, size_t len, bool ascii, char *out, size_t *outlen);

#endif							/* PCAPI_JSON_SANITIZE_H */
