/*
 * user_data.h
 *	  A call's user_data, hashed: the raw values end here.
 */
#ifndef PCAPI_USER_DATA_H
#define PCAPI_USER_DATA_H

#include "pinterest_capi.h"

#include "core/normalize.h"
#include "nodes/pg_list.h"
#include "track/settings.h"
#include "utils/jsonb.h"

/*
 * Bytes of a URL or of cookies in which a click id is looked for; no browser
 * or server takes as many.  Less than column_json.c leaves of a longer text, whose
 * last parameter would be another click id.
 */
#define PCAPI_CLICK_SOURCE_MAX	(512 * 1024)

typedef struct PcapiIdentifiers
{
	List	   *hashes[PCAPI_KINDS];	/* of char *, 64 hex digits, order kept, no duplicates */
	uint32		cleared;		/* bit per kind: JSON null was given */
	char		country[3];		/* the call's own, two letters; empty: none known */
	List	   *national;		/* phone numbers without a plus sign, still as
								 * they were given: see pcapi_hash_national */
	int			own_phones;		/* how many of the hashes are the call's own */
	char	   *click_id;
	char	   *partner_id;
	const char *customer_type;	/* of the event, so never stored for a visitor */
	char	   *ip;
	char	   *user_agent;
	bool		clear_click_id,
				clear_partner_id,
				clear_ip,
				clear_user_agent;
} PcapiIdentifiers;

extern bool pcapi_is_identifier_key(const char *key, size_t len);
extern bool pcapi_has_identifier(const PcapiIdentifiers *ids, const PcapiDestination *dest);

/* NULL when *click_id was set, else what is wrong with it */
extern const char *pcapi_parse_click_id(char **click_id, const char *s, size_t len);

/* warnings are appended: "em: not an e-mail address" */
extern void pcapi_identifiers_from_jsonb(PcapiIdentifiers *ids, Jsonb *user_data, List **warnings);

/*
 * Hash the phone numbers that may be in national form, as numbers of this
 * country ("": unknown), for ids->hashes.
 */
extern void pcapi_hash_national(PcapiIdentifiers *ids, const char *country, List **warnings);

/* The same in every form that such a number may have been stored or sent in. */
extern void pcapi_hash_national_anywhere(PcapiIdentifiers *ids, PcapiSettings *settings);

/* The country of the call or, once the visitor's identifiers are there, of the visitor; or "". */
extern const char *pcapi_known_country(PcapiIdentifiers *ids);

#endif							/* PCAPI_USER_DATA_H */
