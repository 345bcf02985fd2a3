/*
 * identify.h
 *	  What is stored of visitors, by the digest of a visitor's id.
 */
#ifndef PCAPI_IDENTIFY_H
#define PCAPI_IDENTIFY_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * Store identifiers and consent, as of a time that is 0 for now.  Return the
 * warnings; hashed is as in pcapi_identifiers_from_jsonb.
 */
extern List *pcapi_identify(const unsigned char *visitor, Jsonb *user_data, bool hashed, Jsonb *consent, TimestampTz at);

/* Store a click id, as of a time that is 0 for now. */
extern void pcapi_capture_click(const unsigned char *visitor, char *click_id, TimestampTz at);

#endif							/* PCAPI_IDENTIFY_H */
