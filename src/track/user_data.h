/*
 * user_data.h
 *	  A call's user_data, checked and hashed: raw identifiers end here.
 */
#ifndef PCAPI_USER_DATA_H
#define PCAPI_USER_DATA_H

#include "pinterest_capi.h"

#include "core/normalize.h"
#include "nodes/pg_list.h"
#include "track/settings.h"
#include "track/user_data_key.h"
#include "utils/jsonb.h"

/*
 * Bytes of a URL or of cookies that are searched for a click id; no browser or
 * server accepts as many.  Less than column_json.c keeps of a longer text: the
 * last parameter of a clipped text would be another click id.
 */
#define PCAPI_CLICK_SOURCE_MAX	(512 * 1024)

typedef struct PcapiIdentifiers
{
	List	   *hashes[PCAPI_KINDS];	/* of char *, 64 hex digits, order kept, no duplicates */
	char	   *texts[PCAPI_USER_DATA_KEYS];	/* NULL for keys that are hashed */
	uint32		cleared;		/* PCAPI_KEY_BITs: JSON null was given */
	char		country[3];		/* the call's own, two letters; empty: none known */
	List	   *national;		/* phone numbers without a plus sign, not
								 * hashed yet: see pcapi_hash_national */
	int			own_phones;		/* number of phone hashes that are the call's own */
} PcapiIdentifiers;

static inline bool
pcapi_is_given(const PcapiIdentifiers *ids, int key)
{
	/* cppcheck believes that loops over the keys end one too late */
	/* cppcheck-suppress arrayIndexOutOfBoundsCond */
	return key < PCAPI_KINDS ? ids->hashes[key] != NIL : ids->texts[key] != NULL;
}

/*
 * Parse a call's user_data.  Warnings are appended, such as "em: not an e-mail
 * address".  If it was hashed on a source (docs/sources.md), an object stands in
 * place of each value and says what became of it.
 */
extern void pcapi_identifiers_from_jsonb(PcapiIdentifiers *ids, Jsonb *user_data, bool hashed, List **warnings);

/*
 * Hash the phone numbers that may be in national form, as numbers of this
 * country ("": unknown), into ids->hashes.
 */
extern void pcapi_hash_national(PcapiIdentifiers *ids, const char *country, List **warnings);

/* Hash them in every form in which such a number may have been stored or sent. */
extern void pcapi_hash_national_anywhere(PcapiIdentifiers *ids, PcapiSettings *settings);

/* Return the country of the call or, once the visitor's identifiers were added, of the visitor; or "". */
extern const char *pcapi_known_country(PcapiIdentifiers *ids);

/* Return whether this destination sends a key by which Pinterest can find the person. */
extern bool pcapi_has_identifier(const PcapiIdentifiers *ids, const PcapiDestination *dest);

/* Return whether this destination sends the client's IP address and user agent, both. */
extern bool pcapi_sends_client(const PcapiIdentifiers *ids, const PcapiDestination *dest);

#endif							/* PCAPI_USER_DATA_H */
