/*
 * jsonb_push.c
 *	  Push text into JSON that is being built.
 */
#include "pinterest_capi.h"

#include "track/jsonb_push.h"

void
pcapi_push_string(PcapiJsonb *state, JsonbIteratorToken token, const char *s)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, s);
	v.val.string.len = strlen(s);
	PcapiJsonbPush(state, token, &v);
}
