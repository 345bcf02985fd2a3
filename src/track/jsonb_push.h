/*
 * jsonb_push.h
 *	  Push text into JSON that is being built.
 */
#ifndef PCAPI_JSONB_PUSH_H
#define PCAPI_JSONB_PUSH_H

#include "pinterest_capi.h"

#include "utils/jsonb.h"

/* Push a string as a key, value or element.  The text is not copied. */
extern void pcapi_push_string(PcapiJsonb *state, JsonbIteratorToken token, const char *s);

#endif							/* PCAPI_JSONB_PUSH_H */
