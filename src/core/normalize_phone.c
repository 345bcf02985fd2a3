/*
 * normalize_phone.c
 *	  Turn telephone numbers as people write them into the digits of E.164.
 *
 * A number that begins with + or an international prefix names its country.  Any
 * other is in national form, so the caller has to name the country: then the
 * trunk prefix is removed and the calling code put in front.  An ambiguous
 * number gives none, because a wrong one matches nobody and looks like a good
 * one.  The numbering plans are phone_region.c's.
 */
#include "core/normalize_phone.h"

#include <string.h>

#include "core/phone_region.h"
#include "core/sha256.h"
#include "core/text.h"

/* E.164 has 15 digits at most; the shortest numbers with a calling code have 7 */
#define MIN_DIGITS	7
#define MAX_DIGITS	15
#define MAX_WRITTEN	64			/* with prefixes and leading zeros */

static const char not_a_number[] = "not a phone number";
static const char has_letters[] = "letters in a phone number";
static const char not_of_country[] = "not a phone number of its country";
static const char undecided[] = "a phone number that can be read in two ways";

/* A number as it is written. */
typedef struct WrittenPhone
{
	char		digits[MAX_WRITTEN];
	size_t		len;
	bool		plus;
	size_t		bracketed;		/* position of a zero alone in brackets; 0: there
								 * is none, or it is the first digit, which
								 * tells nothing */
} WrittenPhone;

/* ---- reading ---- */

/* Map full-width forms to ASCII, and ASCII's letters to lower case. */
static int32_t
plain(int32_t c)
{
	if (c >= 0xFF01 && c <= 0xFF5E)
		c -= 0xFF01 - '!';
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* Is c, as plain() returns it, a letter? */
static bool
is_letter(int32_t c)
{
	return c < 0x80 ? c >= 'a' && c <= 'z' : pcapi_is_letter(c);
}

/* Does the word at s announce an extension? */
static bool
announces_extension(const char *s, const char *end)
{
	static const char *const words[] = {"x", "ext", "extn", "extension", "int", "anexo", "ramal", "доб"};
	char		word[16] = "";
	size_t		len = 0;

	while (s < end)
	{
		const char *start = s;
		int32_t		c = plain(pcapi_next_char(&s, end));
		size_t		size = c < 0x80 ? 1 : (size_t) (s - start);

		if (!is_letter(c))
			break;
		if (len + size > sizeof(word))
			return false;
		if (c < 0x80)
			word[len] = (char) c;
		else
			memcpy(word + len, start, size);
		len += size;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return true;
	}
	return false;
}

/* Skip a remark such as "(work)" up to its closing bracket; false if a digit is in it. */
static bool
skip_remark(const char **s, const char *end)
{
	while (*s < end)
	{
		int32_t		c = plain(pcapi_next_char(s, end));

		if (c == ')')
			return true;
		if (pcapi_digit_value(c) >= 0)
			return false;
	}
	return true;
}

/* Is the next character, blanks aside, a closing bracket? */
static bool
closes(const char *s, const char *end)
{
	while (s < end)
	{
		int32_t		c = plain(pcapi_next_char(&s, end));

		if (!pcapi_is_blank(c))
			return c == ')';
	}
	return false;
}

/*
 * Read the digits into w.  Words before the first digit, such as "fax", are
 * skipped, and so are words in brackets after the number.  Any other letters
 * spell digits or belong to something that is no number: false, with a warning.
 */
static bool
read_written(const char *s, const char *end, WrittenPhone *w, const char **warning)
{
	bool		opened = false; /* the last character was an opening bracket */

	while (s < end)
	{
		const char *start = s;
		int32_t		c = plain(pcapi_next_char(&s, end));
		int			digit = pcapi_digit_value(c);

		if (digit >= 0)
		{
			if (w->len == MAX_WRITTEN)
			{
				*warning = not_a_number;
				return false;
			}
			if (digit == 0 && opened && closes(s, end))
				w->bracketed = w->len;
			w->digits[w->len++] = (char) ('0' + digit);
			opened = false;
			continue;
		}
		if (w->len == 0)
			w->plus |= c == '+';
		else if (c == '#' || (c == ';' && s < end && is_letter(plain((unsigned char) *s))))
			break;				/* an extension, or a parameter of a tel: URI (RFC 3966) */
		else if (is_letter(c))
		{
			if (announces_extension(start, end))
				break;
			if (!opened || !skip_remark(&s, end))
			{
				*warning = has_letters;
				return false;
			}
		}
		if (!pcapi_is_blank(c))
			opened = c == '(';
	}
	return true;
}

/* Is it no hash, and without a plus sign before its digits?  Then it needs a country. */
bool
pcapi_phone_may_be_national(const char *in, size_t len)
{
	const char *end = in + len;

	if (!pcapi_utf8_valid(in, len))
		return false;
	pcapi_trim(&in, &len);
	if (len == 0 || pcapi_is_sha256_hex(in, len))
		return false;
	while (in < end)
	{
		int32_t		c = plain(pcapi_next_char(&in, end));

		if (c == '+')
			return false;
		if (pcapi_digit_value(c) >= 0)
			break;
	}
	return true;
}

/* ---- deciding ---- */

/*
 * Return the position of a trunk zero after the calling code, as in "+49 (0)30",
 * or 0.  A zero is none where the country's numbers begin with one.
 */
static size_t
trunk_zero(const WrittenPhone *w, size_t start)
{
	for (size_t len = 1; len <= 3 && start + len < w->len; len++)
	{
		const PcapiPhoneRegion *region;

		if (w->digits[start + len] != '0')
			continue;
		region = pcapi_calling_code_region(w->digits + start, len);
		if (region == NULL)
			continue;
		if (strchr(region->first, '0') == NULL &&
			(w->bracketed == start + len || region->trunk[0] == '0'))
			return start + len;
		break;
	}
	return 0;
}

/* Write the digits from start on, without the one at "without" unless that is 0. */
static bool
emit(const WrittenPhone *w, size_t start, size_t without, PcapiText *out, const char **warning)
{
	for (size_t i = start; i < w->len; i++)
	{
		if (without > 0 && i == without)
			continue;
		if (out->len == MAX_DIGITS)
		{
			*warning = not_a_number;
			return false;
		}
		out->data[out->len++] = w->digits[i];
	}
	if (out->len < MIN_DIGITS)
	{
		*warning = not_a_number;
		return false;
	}
	return true;
}

/* Return the length of a list's next prefix, 0 at its end, and advance the list. */
static size_t
next_prefix(const char **list, const char **prefix)
{
	size_t		len;

	*list += strspn(*list, " ");
	*prefix = *list;
	len = strcspn(*list, " ");
	*list += len;
	return len;
}

/* Do the digits begin with a prefix? */
static bool
begins_with(const WrittenPhone *w, const char *prefix, size_t len)
{
	return w->len >= len && memcmp(w->digits, prefix, len) == 0;
}

/*
 * Find where the number after an international prefix begins, 0 if it has no
 * such prefix.  Return false if the digits can be read both ways.
 */
static bool
international_start(const WrittenPhone *w, const PcapiPhoneRegion *region, size_t *start)
{
	const char *list = region ? region->international : "";
	const char *prefix;
	size_t		len;

	*start = 0;
	while ((len = next_prefix(&list, &prefix)) > 0)
	{
		if (*prefix == '!')
		{
			if (begins_with(w, prefix + 1, len - 1))
				return false;
		}
		else if (begins_with(w, prefix, len))
		{
			*start = len;
			return true;
		}
	}
	if (begins_with(w, "00", 2))
		*start = 2;
	return true;
}

/* Can the digits from start on be a number of the region without any prefix? */
static bool
fits(const PcapiPhoneRegion *region, uint16_t lengths, const WrittenPhone *w, size_t start)
{
	size_t		len = w->len - start;

	return w->len > start && len <= MAX_DIGITS && ((lengths >> len) & 1) != 0 &&
		strchr(region->first, w->digits[start]) != NULL;
}

/* Write the region's calling code and the digits from start on. */
static bool
emit_national(const PcapiPhoneRegion *region, const WrittenPhone *w, size_t start, PcapiText *out, const char **warning)
{
	out->len = strlen(region->calling_code);
	memcpy(out->data, region->calling_code, out->len);
	return emit(w, start, 0, out, warning);
}

/*
 * Write an Argentine mobile number.  It is written with 15 after an area code of
 * two to four digits, and dialled from abroad with 9 before the area code.
 */
static bool
argentine_mobile(const WrittenPhone *w, PcapiText *out)
{
	const char *digits = w->digits;
	size_t		len = w->len;

	if (len == 13 && digits[0] == '0')
	{
		digits++;
		len--;
	}
	if (len != 12)
		return false;
	for (size_t area = 2; area <= 4; area++)
	{
		/* Buenos Aires is 11, and no other area begins with it */
		if ((area == 2) != (memcmp(digits, "11", 2) == 0) ||
			memcmp(digits + area, "15", 2) != 0)
			continue;
		memcpy(out->data, "549", 3);
		memcpy(out->data + 3, digits, area);
		memcpy(out->data + 3 + area, digits + area + 2, 10 - area);
		out->len = 13;
		return true;
	}
	return false;
}

/*
 * Write a number of the region.  It may have its trunk prefix, or none where the
 * region has none, or be a mobile number that has lost its zero because it was
 * stored as an integer, or have the calling code without a plus sign.
 */
static bool
national(const PcapiPhoneRegion *region, const WrittenPhone *w, PcapiText *out, const char **warning)
{
	const char *list = region->trunk;
	const char *prefix;
	size_t		len;
	size_t		code_len = strlen(region->calling_code);
	bool		mobile = fits(region, region->mobile, w, 0);
	bool		bare = region->trunk[0] == '0' ? mobile : fits(region, region->lengths, w, 0);
	bool		with_code = begins_with(w, region->calling_code, code_len) &&
		fits(region, region->lengths, w, code_len);

	while (!bare && (len = next_prefix(&list, &prefix)) > 0)
	{
		if (begins_with(w, prefix, len) && fits(region, region->lengths, w, len))
			return emit_national(region, w, len, out, warning);
	}
	if (bare && with_code && (region->trunk[0] != '\0' || !mobile))
	{
		*warning = undecided;
		return false;
	}
	if (bare)
		return emit_national(region, w, 0, out, warning);
	if (with_code)
		return emit(w, 0, 0, out, warning);
	if (strcmp(region->country, "ar") == 0 && argentine_mobile(w, out))
		return true;
	*warning = not_of_country;
	return false;
}

/* Write the digits of E.164; country is of two lower-case letters, or empty. */
bool
pcapi_normalize_phone(const char *in, size_t len, const char *country, PcapiText *out,
					  const char **warning)
{
	const PcapiPhoneRegion *region = country[0] != '\0' ? pcapi_phone_region(country) : NULL;
	WrittenPhone		w;
	size_t		start = 0;

	w.len = 0;
	w.plus = false;
	w.bracketed = 0;
	if (!read_written(in, in + len, &w, warning))
		return false;

	/* no calling code begins with a zero: "+0171" is in national form */
	if (w.plus && w.len > 1 && w.digits[0] == '0' && w.digits[1] != '0')
		w.plus = false;
	if (!w.plus && !international_start(&w, region, &start))
	{
		*warning = undecided;
		return false;
	}
	if (w.plus || start > 0)
	{
		while (start < w.len && w.digits[start] == '0')
			start++;
		return emit(&w, start, trunk_zero(&w, start), out, warning);
	}
	if (w.bracketed > 0 && w.bracketed <= 3 && w.digits[0] != '0' &&
		pcapi_calling_code_region(w.digits, w.bracketed) != NULL)
		return emit(&w, 0, trunk_zero(&w, 0), out, warning);
	if (region)
		return national(region, &w, out, warning);

	while (start < w.len && w.digits[start] == '0')
		start++;
	if (!emit(&w, start, 0, out, warning))
		return false;
	*warning = PCAPI_NO_COUNTRY_CODE;
	return true;
}
