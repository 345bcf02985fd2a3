/*
 * json_sanitize.h
 *	  JSON that somebody else wrote, made harmless for a parser.
 */
#ifndef PCAPI_JSON_SANITIZE_H
#define PCAPI_JSON_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#define PCAPI_JSON_DEPTH	64

/*
 * A copy that a parser can take without raising an error: valid UTF-8, not
 * nested deeper than its recursion should go, and no escape of what text can't
 * hold: surrogates and \u0000 become question marks, and with ascii everything
 * beyond ASCII.  out has room for len + 1 bytes; false where there is no such copy.
 */
extern bool pcapi_json_sanitize(const char *json, size_t len, bool ascii, char *out, size_t *outlen);

#endif							/* PCAPI_JSON_SANITIZE_H */
