/*
 * normalize.h
 *	  Turn identifiers into the form in which Pinterest wants them hashed.
 */
#ifndef PCAPI_NORMALIZE_H
#define PCAPI_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/sha256.h"

typedef enum PcapiKind
{
	PCAPI_EM,
	PCAPI_PH,
	PCAPI_GE,
	PCAPI_DB,
	PCAPI_LN,
	PCAPI_FN,
	PCAPI_CT,
	PCAPI_ST,
	PCAPI_ZP,
	PCAPI_COUNTRY,
	PCAPI_EXTERNAL_ID,
	PCAPI_MAIDS
} PcapiKind;

#define PCAPI_KINDS			(PCAPI_MAIDS + 1)
#define PCAPI_MAX_IDENTIFIER 8192	/* longer ones are no identifiers */

/* What is known besides the value; all zero where nothing is. */
typedef struct PcapiIdentifierContext
{
	char		country[3];		/* two lower-case letters: the country of a
								 * phone number in national form, or of a
								 * state */
	int			today;			/* YYYYMMDD: no birth date is later */
} PcapiIdentifierContext;

/* Return the API's key for a kind: "em", ..., "external_id", "hashed_maids". */
extern const char *pcapi_kind_name(PcapiKind kind);

/* Return the kind of the API's key, -1 for an unknown one. */
extern int	pcapi_kind_from_name(const char *name, size_t len);

/*
 * Normalise.  On true, *out is malloc'd and NUL-terminated, and has *outlen bytes.
 * On false there is no usable value, and *out is NULL.  *warning is a static text
 * without the value ("not an e-mail address", "country code seems to be
 * missing") or NULL; either result can have one.  An empty or blank value is
 * false without a warning.  If nothing else is known, context is NULL.
 */
extern bool pcapi_normalize(PcapiKind kind, const char *in, size_t len,
							const PcapiIdentifierContext *context, char **out, size_t *outlen, const char **warning);

/* Normalise and hash with SHA-256; a value of 64 hex digits is a hash already and is only lower-cased. */
extern bool pcapi_hash_identifier(PcapiKind kind, const char *in, size_t len,
								  const PcapiIdentifierContext *context, char hex[PCAPI_HEX_LEN + 1], const char **warning);

/*
 * Lower-case a name as identifiers are, in the same way in every locale: names
 * that differ in case alone have the same result.  malloc'd; NULL: not valid UTF-8.
 */
extern char *pcapi_fold(const char *name, size_t len);

#endif							/* PCAPI_NORMALIZE_H */
