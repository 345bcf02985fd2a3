/*
 * core.h
 *	  Pure functions: identifiers, URLs, PII, JSON, backoff.  No PostgreSQL here.
 *
 * Everything takes UTF-8 (converting is the caller's job), allocates with
 * malloc where it allocates at all, and never fails otherwise than by its
 * return value, so that it can be called anywhere and fuzzed.
 */
#ifndef PCAPI_CORE_H
#define PCAPI_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- normalize*.c, sha256.c: identifiers --- */

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
#define PCAPI_HEX_LEN		64	/* a SHA-256 in hex, without the NUL */
#define PCAPI_MAX_IDENTIFIER 8192	/* longer ones are no identifiers */

/* the API's key for a kind: "em", ..., "external_id", "hashed_maids" */
extern const char *pcapi_kind_name(PcapiKind kind);

/* a kind from the API's key; -1 when there is none of that name */
extern int	pcapi_kind_from_name(const char *name, size_t len);

/* What is known besides the value; all zero: nothing. */
typedef struct PcapiIdentifierContext
{
	char		country[3];		/* two lower-case letters: where a phone
								 * number in national form, or a state, is of */
	int			today;			/* YYYYMMDD: a birth date lies before it */
} PcapiIdentifierContext;

/* The code for a context of what somebody wrote as a country; false: none known. */
extern bool pcapi_country_code(const char *in, size_t len, char code[3]);

/*
 * The same of a country's SHA-256, of which there are few.  hex has 64
 * lower-case digits.
 */
extern bool pcapi_country_of_hash(const char *hex, char code[3]);

/* Has it no plus sign before its digits, and is no hash?  Then it needs a country. */
extern bool pcapi_phone_may_be_national(const char *in, size_t len);

/* A phone number that would need its country has this warning without one. */
#define PCAPI_NO_COUNTRY_CODE "country code seems to be missing"

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

/* SHA-256 with one fetched digest and one context per process */
extern bool pcapi_sha256(const void *data, size_t len, unsigned char digest[32]);
extern void pcapi_hex(const unsigned char *data, size_t len, char *out);	/* 2 * len + NUL */
extern bool pcapi_is_sha256_hex(const char *s, size_t len);

/*
 * Two names are the same but for case when this is: as identifiers are
 * lower-cased, so the same in every locale.  malloc'd; NULL: not valid UTF-8.
 */
extern char *pcapi_fold(const char *name, size_t len);

extern bool pcapi_utf8_valid(const char *s, size_t len);	/* and no NUL in it */

/* --- url.c: with libcurl's parser --- */

typedef enum PcapiUrlDetail
{
	PCAPI_URL_PATH,				/* scheme, host, port, path */
	PCAPI_URL_DOMAIN,			/* scheme, host, port */
	PCAPI_URL_NONE
} PcapiUrlDetail;

/* malloc'd, percent-decoded ('+' stays); NULL when there is none */
extern char *pcapi_epik_from_url(const char *url, size_t len);

/* from the value of the _epik cookie itself, or a whole Cookie header */
extern char *pcapi_epik_from_cookie(const char *cookie, size_t len);

/*
 * What may leave of a page's URL: no user info, query or fragment, and no path
 * that looks like personal data.  malloc'd; NULL where nothing usable is left.
 * *warning says what was wrong, nothing with PCAPI_URL_NONE.
 */
extern char *pcapi_scrub_url(const char *url, size_t len, PcapiUrlDetail detail,
							 const char **warning);

/* https, or http towards localhost, 127.0.0.0/8 or [::1]; no user info, query, fragment */
extern bool pcapi_api_url_ok(const char *url);

/* --- pii.c --- */

/*
 * What a free text looks like that must not leave: "an e-mail address", "a
 * phone number", "a payment card number", "a social security number", "an
 * IBAN"; NULL when nothing was found.
 */
extern const char *pcapi_pii_find(const char *text, size_t len);

/* the same in what is meant to be an id, where a long number is no card's */
extern const char *pcapi_pii_find_in_id(const char *id, size_t len);

/* --- json.c --- */

#define PCAPI_JSON_DEPTH	64

/*
 * A copy that a parser can take without raising an error: valid UTF-8, not
 * nested deeper than its recursion should go, and no escape of what text can't
 * hold: surrogates and \u0000 become question marks, and with ascii everything
 * beyond ASCII.  out has room for len + 1 bytes; false where there is no such copy.
 */
extern bool pcapi_json_tame(const char *json, size_t len, bool ascii, char *out, size_t *outlen);

/* --- backoff.c --- */

#define PCAPI_BACKOFF_MIN_MS	1000
#define PCAPI_BACKOFF_MAX_MS	(15 * 60 * 1000)

/*
 * Full jitter: uniform between min/2 and the ceiling 1 s * 2^(attempts - 1),
 * at most 15 min.  random is any 64 random bits.
 */
extern int64_t pcapi_backoff_ms(int attempts, uint64_t random);

/* Unix time of an HTTP date; -1 when it can't be read */
extern int64_t pcapi_http_date(const char *value, size_t len);

/*
 * Retry-After: seconds from now (Unix time) of a number or an HTTP date, 0 for
 * one in the past, -1 when it can't be read; never more than a day.
 */
extern int64_t pcapi_retry_after(const char *value, int64_t now);

/*
 * A limiter of requests a minute: a sliding log would need memory by the
 * limit, so this is a token bucket with a small burst.  Times in ms of any
 * monotonic clock, which makes it testable with a simulated one.
 */
typedef struct PcapiLimiter
{
	int			per_minute;
	double		tokens;
	int64_t		refilled_at;
} PcapiLimiter;

extern void pcapi_limiter_set(PcapiLimiter *lim, int per_minute, int64_t now);
extern int64_t pcapi_limiter_wait(PcapiLimiter *lim, int64_t now);	/* ms until one may go; 0: now */
extern void pcapi_limiter_take(PcapiLimiter *lim, int64_t now);

#endif							/* PCAPI_CORE_H */
