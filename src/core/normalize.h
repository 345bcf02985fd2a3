/*
 * normalize.h
 *	  Identifiers in the form in which Pinterest wants them hashed.
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

/* What is known besides the value; all zero: nothing. */
typedef struct PcapiIdentifierContext
{
	char		country[3];		/* two lower-case letters: where a phone
								 * number in national form, or a state, is of */
	int			today;			/* YYYYMMDD: a birth date lies before it */
} PcapiIdentifierContext;

/* the API's key for a kind: "em", ..., "external_id", "hashed_maids" */
extern const char *pcapi_kind_name(PcapiKind kind);

/* a kind from the API's key; -1 when there is none of that name */
extern int	pcapi_kind_from_name(const char *name, size_t len);

/*
 * Normalise.  On true, *out is malloc'd, NUL-terminated, *outlen bytes.  On
 * false there is no usable value (*out NULL).  *warning is a static text
 * without the value ("not an e-mail address", "country code seems to be
 * missing") or NULL; it can be set with either result.  An empty or blank
 * value is false without a warning.  Where nothing is known, context is NULL.
 */
extern bool pcapi_normalize(PcapiKind kind, const char *in, size_t len,
							const PcapiIdentifierContext *context, char **out, size_t *outlen, const char **warning);

/* The same and SHA-256; a value that is 64 hex digits passes, lower-cased. */
extern bool pcapi_hash_identifier(PcapiKind kind, const char *in, size_t len,
								  const PcapiIdentifierContext *context, char hex[PCAPI_HEX_LEN + 1], const char **warning);

/*
 * Two names are the same but for case when this is: as identifiers are
 * lower-cased, so the same in every locale.  malloc'd; NULL: not valid UTF-8.
 */
extern char *pcapi_fold(const char *name, size_t len);

#endif							/* PCAPI_NORMALIZE_H */
