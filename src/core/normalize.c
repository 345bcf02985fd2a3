/*
 * normalize.c
 *	  Turn identifiers into the form in which Pinterest wants them hashed.
 *
 * This runs for every identifier of every event, in the caller's transaction.
 * Most values are ASCII, and take a path without malloc and, where no punctuation
 * is removed, without utf8proc.  A kind with a syntax of its own has a file of
 * its own: normalize_phone.c, normalize_date.c, normalize_email.c,
 * normalize_place.c.
 */
#include "core/normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/normalize_date.h"
#include "core/normalize_email.h"
#include "core/normalize_phone.h"
#include "core/normalize_place.h"
#include "core/sha256.h"
#include "core/text.h"

static const char *const kind_names[PCAPI_KINDS] = {
	[PCAPI_EM] = "em",
	[PCAPI_PH] = "ph",
	[PCAPI_GE] = "ge",
	[PCAPI_DB] = "db",
	[PCAPI_LN] = "ln",
	[PCAPI_FN] = "fn",
	[PCAPI_CT] = "ct",
	[PCAPI_ST] = "st",
	[PCAPI_ZP] = "zp",
	[PCAPI_COUNTRY] = "country",
	[PCAPI_EXTERNAL_ID] = "external_id",
	[PCAPI_MAIDS] = "hashed_maids"
};

static const char out_of_memory[] = "out of memory";

/* Return the API's key of a kind. */
const char *
pcapi_kind_name(PcapiKind kind)
{
	return kind_names[kind];
}

/* Return the kind of the API's key, or -1. */
int
pcapi_kind_from_name(const char *name, size_t len)
{
	for (int i = 0; i < PCAPI_KINDS; i++)
	{
		if (strlen(kind_names[i]) == len && memcmp(kind_names[i], name, len) == 0)
			return i;
	}
	return -1;
}

/* which characters lower() removes */
typedef enum Squeeze
{
	KEEP_ALL,
	DROP_BLANKS_AND_PUNCTUATION
} Squeeze;

/* Is c to be removed? */
static bool
dropped(int32_t c, Squeeze squeeze)
{
	return squeeze == DROP_BLANKS_AND_PUNCTUATION &&
		(pcapi_is_blank(c) || pcapi_is_punctuation(c));
}

/* Compose (Unicode normalization form C), in malloc'd memory; NULL: out of memory. */
static utf8proc_uint8_t *
nfc(const char *s, size_t len, utf8proc_ssize_t *outlen)
{
	utf8proc_uint8_t *composed = NULL;

	*outlen = utf8proc_map((const utf8proc_uint8_t *) s, (utf8proc_ssize_t) len,
						   &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	return *outlen < 0 ? NULL : composed;
}

/*
 * Lower-case into out.  Composing comes first, so that a letter and its accent
 * are mapped as one, and again last, since mapping and removing can bring
 * together characters that compose.  False: out of memory.
 */
static bool
lower(const char *in, size_t len, Squeeze squeeze, PcapiText *out)
{
	utf8proc_uint8_t *composed;
	utf8proc_ssize_t n;
	const char *s;
	const char *end;
	bool		ok;

	out->len = 0;
	if (pcapi_is_ascii(in, len))
	{
		if (!pcapi_text_reserve(out, len))
			return false;
		for (size_t i = 0; i < len; i++)
		{
			if (squeeze == KEEP_ALL || !dropped(in[i], squeeze))
				out->data[out->len++] = pcapi_ascii_lower(in[i]);
		}
		return true;
	}

	composed = nfc(in, len, &n);
	if (composed == NULL)
		return false;

	/* no character grows to more than twice its bytes (U+023A: 2 to 3) */
	if (!pcapi_text_reserve(out, 2 * (size_t) n))
	{
		free(composed);
		return false;
	}
	s = (const char *) composed;
	end = s + n;
	while (s < end)
	{
		int32_t		c = pcapi_next_char(&s, end);

		if (!dropped(c, squeeze))
			out->len += (size_t) utf8proc_encode_char(utf8proc_tolower(c),
													  (utf8proc_uint8_t *) out->data + out->len);
	}
	free(composed);

	composed = nfc(out->data, out->len, &n);
	ok = composed != NULL && pcapi_text_set(out, (const char *) composed, (size_t) n);
	free(composed);
	return ok;
}

/* Lower-case what out holds; false: out of memory. */
static bool
lower_in_place(PcapiText *out)
{
	char	   *copy;
	bool		ok;

	if (pcapi_is_ascii(out->data, out->len))
	{
		for (size_t i = 0; i < out->len; i++)
			out->data[i] = pcapi_ascii_lower(out->data[i]);
		return true;
	}
	copy = pcapi_strndup(out->data, out->len);
	ok = copy != NULL && lower(copy, strlen(copy), KEEP_ALL, out);
	free(copy);
	return ok;
}

/* Is it two letters of ASCII? */
static bool
is_two_letters(const PcapiText *buf)
{
	return buf->len == 2 && pcapi_ascii_alpha(buf->data[0]) &&
		pcapi_ascii_alpha(buf->data[1]);
}

/* Replace the word that out holds by the API's letter; false for an unknown word. */
static bool
gender(PcapiText *out)
{
	static const struct
	{
		const char *word;
		char		letter;
	}			words[] = {
		{"f", 'f'}, {"female", 'f'}, {"woman", 'f'},
		{"m", 'm'}, {"male", 'm'}, {"man", 'm'},
		{"n", 'n'}, {"x", 'n'}, {"other", 'n'},
		{"non-binary", 'n'}, {"nonbinary", 'n'}
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strlen(words[i].word) == out->len &&
			memcmp(words[i].word, out->data, out->len) == 0)
		{
			out->data[0] = words[i].letter;
			out->len = 1;
			return true;
		}
	}
	return false;
}

/*
 * Turn any script's digits of a postal code into ASCII, and remove everything
 * but digits if it has no letter.  out holds the code in lower case without
 * blanks and punctuation; the result is never longer, so it is written in place.
 * Return false if nothing remains.
 */
static bool
postal_code(PcapiText *out)
{
	const char *s = out->data;
	const char *end = s + out->len;
	bool		letters = false;
	size_t		len = 0;

	while (s < end && !letters)
		letters = pcapi_is_letter(pcapi_next_char(&s, end));

	s = out->data;
	while (s < end)
	{
		const char *start = s;
		int			digit = pcapi_digit_value(pcapi_next_char(&s, end));

		if (digit >= 0)
			out->data[len++] = (char) ('0' + digit);
		else if (letters)
		{
			memmove(out->data + len, start, (size_t) (s - start));
			len += (size_t) (s - start);
		}
	}
	out->len = len;
	return len > 0;
}

/* Is it all zeros, the advertising id of a phone whose owner refused tracking, with dashes or without? */
static bool
is_zero_maid(const PcapiText *buf)
{
	size_t		zeros = 0;

	for (size_t i = 0; i < buf->len; i++)
	{
		if (buf->data[i] == '0')
			zeros++;
		else if (buf->data[i] != '-')
			return false;
	}
	return zeros == 32;
}

/* Set the warning and return false. */
static bool
refuse(const char **warning, const char *reason)
{
	*warning = reason;
	return false;
}

/*
 * Is it base64 or base64url of so many bytes?  Without padding it needs upper
 * case, lower case and a digit, which a word of that length hardly has.
 */
static bool
is_base64(const char *s, size_t len, size_t bytes)
{
	size_t		characters = (bytes * 8 + 5) / 6;
	bool		upper = false;
	bool		lower = false;
	bool		digit = false;

	for (size_t i = 0; i < characters; i++)
	{
		if (s[i] >= 'A' && s[i] <= 'Z')
			upper = true;
		else if (s[i] >= 'a' && s[i] <= 'z')
			lower = true;
		else if (pcapi_ascii_digit(s[i]))
			digit = true;
		else if (s[i] != '+' && s[i] != '/' && s[i] != '-' && s[i] != '_')
			return false;
	}
	for (size_t i = characters; i < len; i++)
	{
		if (s[i] != '=')
			return false;
	}
	return len > characters || (upper && lower && digit);
}

/*
 * Is it an MD5, a SHA-1, a SHA-384 or a SHA-512 in hex, or one of these or a
 * SHA-256 in base64?  Hashed once more it would match nobody.
 */
static bool
is_other_digest(const char *s, size_t len)
{
	switch (len)
	{
		case 32:
		case 40:
		case 96:
		case 128:
			for (size_t i = 0; i < len; i++)
			{
				if (!pcapi_ascii_alnum(s[i]) || pcapi_ascii_lower(s[i]) > 'f')
					return false;
			}
			return true;
		case 22:
		case 24:
			return is_base64(s, len, 16);
		case 27:
		case 28:
			return is_base64(s, len, 20);
		case 43:
		case 44:
			return is_base64(s, len, 32);
		case 64:
			return is_base64(s, len, 48);
		case 86:
		case 88:
			return is_base64(s, len, 64);
		default:
			return false;
	}
}

/* Replace the name of a state by its two letters; keep an unknown one, with a warning. */
static bool
state(const char *in, size_t len, const PcapiIdentifierContext *context, PcapiText *out,
	  const char **warning)
{
	const char *code;

	if (is_two_letters(out))
		return true;
	code = pcapi_state_code(in, len, context->country);
	if (code != NULL)
		return pcapi_text_set(out, code, 2);
	*warning = "not a two-letter code";
	return true;
}

/* Apply a kind's own rule; in is trimmed, valid and not empty. */
static bool
normalize_kind(PcapiKind kind, const char *in, size_t len,
			   const PcapiIdentifierContext *context, PcapiText *out, const char **warning)
{
	Squeeze		squeeze = KEEP_ALL;

	switch (kind)
	{
		case PCAPI_PH:
			return pcapi_normalize_phone(in, len, context->country, out, warning);
		case PCAPI_DB:
			return pcapi_normalize_date(in, len, context->today, out, warning);
		case PCAPI_COUNTRY:
			return pcapi_normalize_country(in, len, out, warning);
		case PCAPI_EXTERNAL_ID:
			return pcapi_text_set(out, in, len) || refuse(warning, out_of_memory);
		case PCAPI_EM:
			if (!pcapi_find_address(in, len, out, warning))
				return false;
			if (!lower_in_place(out))
				return refuse(warning, out_of_memory);
			if (pcapi_is_misspelled_domain(out->data, out->len))
				*warning = "domain looks misspelled";
			return true;
		case PCAPI_CT:
		case PCAPI_ST:
		case PCAPI_ZP:
			squeeze = DROP_BLANKS_AND_PUNCTUATION;
			break;
		default:
			break;
	}

	if (!lower(in, len, squeeze, out))
		return refuse(warning, out_of_memory);
	if (out->len == 0)
		return refuse(warning, "nothing but blanks and punctuation");

	switch (kind)
	{
		case PCAPI_GE:
			return gender(out) || refuse(warning, "not a known gender");
		case PCAPI_ST:
			return state(in, len, context, out, warning);
		case PCAPI_ZP:
			return postal_code(out) || refuse(warning, "not a postal code");
		case PCAPI_MAIDS:
			return !is_zero_maid(out);
		default:
			return true;
	}
}

/* Check, trim and normalise into a buffer, which needs no malloc for short ASCII. */
static bool
normalize_into(PcapiKind kind, const char *in, size_t len,
			   const PcapiIdentifierContext *context, PcapiText *out, const char **warning)
{
	static const PcapiIdentifierContext nothing_known;
	static const char other_digest[] = "a digest, but not a SHA-256 in hex";
	bool		is_text = kind != PCAPI_EXTERNAL_ID && kind != PCAPI_MAIDS;

	*warning = NULL;

	if (len > PCAPI_MAX_IDENTIFIER)
		return refuse(warning, "too long");
	if (!pcapi_utf8_valid(in, len))
		return refuse(warning, "not valid UTF-8");

	pcapi_trim(&in, &len);
	if (len == 0)
		return false;

	if (pcapi_is_sha256_hex(in, len))
	{
		/* a hash already: it fits into the local bytes, so this can't fail */
		pcapi_text_set(out, in, len);
		for (size_t i = 0; i < len; i++)
			out->data[i] = pcapi_ascii_lower(out->data[i]);
		return true;
	}
	if (is_text && is_other_digest(in, len))
		return refuse(warning, other_digest);
	if (!normalize_kind(kind, in, len, context ? context : &nothing_known, out, warning))
		return false;
	/* a digest may have had dashes or colons between its digits */
	return !(is_text && is_other_digest(out->data, out->len)) || refuse(warning, other_digest);
}

/* Normalise, without hashing. */
bool
pcapi_normalize(PcapiKind kind, const char *in, size_t len,
				const PcapiIdentifierContext *context, char **out, size_t *outlen, const char **warning)
{
	PcapiText	buf;
	bool		ok;

	*out = NULL;
	*outlen = 0;
	pcapi_text_init(&buf);
	ok = normalize_into(kind, in, len, context, &buf, warning);
	if (ok)
	{
		*out = pcapi_strndup(buf.data, buf.len);
		if (*out != NULL)
			*outlen = buf.len;
		else
			ok = refuse(warning, out_of_memory);
	}
	pcapi_text_free(&buf);
	return ok;
}

/* Normalise and hash. */
bool
pcapi_hash_identifier(PcapiKind kind, const char *in, size_t len,
					  const PcapiIdentifierContext *context, char hex[PCAPI_HEX_LEN + 1], const char **warning)
{
	PcapiText	buf;
	bool		ok;

	hex[0] = '\0';
	pcapi_text_init(&buf);
	ok = normalize_into(kind, in, len, context, &buf, warning);
	if (ok && pcapi_is_sha256_hex(buf.data, buf.len))
	{
		memcpy(hex, buf.data, buf.len);
		hex[PCAPI_HEX_LEN] = '\0';
	}
	else if (ok)
	{
		unsigned char digest[32];

		if (pcapi_sha256(buf.data, buf.len, digest))
			pcapi_hex(digest, sizeof(digest), hex);
		else
			ok = refuse(warning, "SHA-256 is not available");
	}
	pcapi_text_free(&buf);
	return ok;
}

/* Lower-case a name as identifiers are, to compare it. */
char *
pcapi_fold(const char *name, size_t len)
{
	PcapiText	buf;
	char	   *folded = NULL;

	pcapi_text_init(&buf);
	if (pcapi_utf8_valid(name, len) && lower(name, len, KEEP_ALL, &buf))
		folded = pcapi_strndup(buf.data, buf.len);
	pcapi_text_free(&buf);
	return folded;
}
