/*
 * normalize_place.c
 *	  Find the codes of countries and states, by code or by name.
 *
 * Two letters are the usual case and need no search of the names.  The names
 * are sorted at the first search of a process.  The names are place_names.c's.
 */
#include "core/normalize_place.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/normalize.h"
#include "core/phone_region.h"
#include "core/place_names.h"
#include "core/sha256.h"
#include "core/text.h"

#define KEY_MAX		64			/* more bytes than the longest name has */
#define NAMES_MAX	1200		/* more names than there are */

typedef struct CountryName
{
	const char *name;			/* not NUL-terminated */
	size_t		len;
	const char *alpha2;
} CountryName;

static CountryName names[NAMES_MAX];	/* sorted */
static size_t n_names;			/* 0: not sorted yet */

/*
 * Make the key by which names are compared: letters and digits in lower case
 * without their marks.  Return false if it would be empty or longer than any name.
 */
static bool
make_key(const char *in, size_t len, char key[KEY_MAX], size_t *key_len)
{
	utf8proc_uint8_t *plain = NULL;
	utf8proc_ssize_t n;
	const char *s = in;
	const char *end = in + len;

	*key_len = 0;
	if (len > 4 * KEY_MAX)
		return false;
	if (!pcapi_is_ascii(in, len))
	{
		n = utf8proc_map((const utf8proc_uint8_t *) in, (utf8proc_ssize_t) len, &plain,
						 UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT |
						 UTF8PROC_STRIPMARK | UTF8PROC_CASEFOLD);
		if (n < 0)
			return false;
		s = (const char *) plain;
		end = s + n;
	}
	while (s < end)
	{
		int32_t		c = pcapi_next_char(&s, end);

		if (c < 0x80 ? !pcapi_ascii_alnum((char) c) : !pcapi_is_letter(c))
			continue;
		if (*key_len + 4 >= KEY_MAX)
		{
			*key_len = 0;
			break;
		}
		if (c < 0x80)
			key[(*key_len)++] = pcapi_ascii_lower((char) c);
		else
			*key_len += (size_t) utf8proc_encode_char(c, (utf8proc_uint8_t *) key + *key_len);
	}
	free(plain);
	return *key_len > 0;
}

/* Compare two strings with lengths, as strcmp does. */
static int
compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int			diff = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return diff != 0 ? diff : (a_len > b_len) - (a_len < b_len);
}

/* Compare two names, for qsort. */
static int
compare_names(const void *a, const void *b)
{
	const CountryName *na = a;
	const CountryName *nb = b;

	return compare(na->name, na->len, nb->name, nb->len);
}

/* Append a name to the array. */
static void
add_name(const char *name, size_t len, const char *alpha2)
{
	if (n_names < NAMES_MAX)
	{
		names[n_names].name = name;
		names[n_names].len = len;
		names[n_names++].alpha2 = alpha2;
	}
}

/* Fill the array with every country's alpha-3 code and names, and sort it. */
static void
sort_names(void)
{
	for (int i = 0; i < PCAPI_COUNTRIES; i++)
	{
		const PcapiCountryNames *country = &pcapi_country_names[i];
		const char *name = country->names;

		add_name(country->alpha3, 3, country->alpha2);
		while (*name != '\0')
		{
			size_t		len = strcspn(name, " ");

			add_name(name, len, country->alpha2);
			name += len;
			name += *name == ' ';
		}
	}
	qsort(names, n_names, sizeof(CountryName), compare_names);
}

/* Return the alpha-2 code of a name by binary search, or NULL. */
static const char *
find_name(const char *key, size_t len)
{
	size_t		low = 0;
	size_t		high;

	if (n_names == 0)
		sort_names();
	high = n_names;
	while (low < high)
	{
		size_t		middle = (low + high) / 2;
		int			diff = compare(key, len, names[middle].name, names[middle].len);

		if (diff == 0)
			return names[middle].alpha2;
		if (diff < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * Return the alpha-2 code of a country that is often given another one: "uk" is
 * reserved in ISO 3166-1 for the United Kingdom, "el" is the European Union's for
 * Greece (Interinstitutional style guide, 7.1).
 */
static const char *
other_code(const char *code)
{
	if (strcmp(code, "uk") == 0)
		return "gb";
	if (strcmp(code, "el") == 0)
		return "gr";
	return NULL;
}

/* Return the alpha-2 code if it is one, by binary search, or NULL. */
static const char *
find_alpha2(const char *code)
{
	size_t		low = 0;
	size_t		high = PCAPI_COUNTRIES;

	while (low < high)
	{
		size_t		middle = (low + high) / 2;
		int			diff = strcmp(code, pcapi_country_names[middle].alpha2);

		if (diff == 0)
			return pcapi_country_names[middle].alpha2;
		if (diff < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return other_code(code);
}

/* Read two letters, with dots after them or without, into code in lower case. */
static bool
two_letters(const char *in, size_t len, char code[3])
{
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (in[i] == '.')
			continue;
		if (n == 2 || !pcapi_ascii_alpha(in[i]))
			return false;
		code[n++] = pcapi_ascii_lower(in[i]);
	}
	code[2] = '\0';
	return n == 2;
}

/* Return the alpha-2 code of a code or a name, or NULL. */
static const char *
find_country(const char *in, size_t len)
{
	char		code[3];
	char		key[KEY_MAX];
	size_t		key_len;

	if (two_letters(in, len, code))
		return find_alpha2(code);
	if (!make_key(in, len, key, &key_len))
		return NULL;
	return find_name(key, key_len);
}

/* Write a country's alpha-2 code to out. */
bool
pcapi_normalize_country(const char *in, size_t len, PcapiText *out, const char **warning)
{
	const char *code = find_country(in, len);

	if (code == NULL)
	{
		*warning = "not a country";
		return false;
	}
	return pcapi_text_set(out, code, 2);
}

/* Write the code of a country, or of a region that has telephone numbers of its own. */
bool
pcapi_country_code(const char *in, size_t len, char code[3])
{
	const char *found;

	code[0] = '\0';
	if (len > PCAPI_MAX_IDENTIFIER || !pcapi_utf8_valid(in, len))
		return false;
	pcapi_trim(&in, &len);
	found = find_country(in, len);
	if (found)
		memcpy(code, found, 3);
	else if (!two_letters(in, len, code) || pcapi_phone_region(code) == NULL)
		code[0] = '\0';			/* Kosovo has a calling code and no code in ISO 3166-1 */
	return code[0] != '\0';
}

/* Find the country by hashing all codes, once in a process. */
bool
pcapi_country_of_hash(const char *hex, char code[3])
{
	static char hashes[PCAPI_COUNTRIES][PCAPI_HEX_LEN + 1]; /* the first is made last: empty until all are */

	code[0] = '\0';
	for (int i = 0; i < PCAPI_COUNTRIES && hashes[0][0] == '\0'; i++)
	{
		int			last = PCAPI_COUNTRIES - 1 - i;
		unsigned char digest[32];

		if (!pcapi_sha256(pcapi_country_names[last].alpha2, 2, digest))
			return false;
		pcapi_hex(digest, sizeof(digest), hashes[last]);
	}
	for (int i = 0; i < PCAPI_COUNTRIES; i++)
	{
		if (memcmp(hashes[i], hex, PCAPI_HEX_LEN) == 0)
		{
			memcpy(code, pcapi_country_names[i].alpha2, 3);
			return true;
		}
	}
	return false;
}

/* Return the code of a name in a list of states, or NULL. */
static const char *
find_state(const PcapiStateNames *states, int n, const char *key, size_t len)
{
	for (int i = 0; i < n; i++)
	{
		const char *name = states[i].names;

		while (*name != '\0')
		{
			size_t		name_len = strcspn(name, " ");

			if (name_len == len && memcmp(name, key, len) == 0)
				return states[i].code;
			name += name_len;
			name += *name == ' ';
		}
	}
	return NULL;
}

/* Search the states of the USA, the provinces of Canada, or both if the country is not known. */
const char *
pcapi_state_code(const char *in, size_t len, const char *country)
{
	bool		anywhere = country[0] == '\0';
	const char *code = NULL;
	char		key[KEY_MAX];
	size_t		key_len;

	if (!anywhere && strcmp(country, "us") != 0 && strcmp(country, "ca") != 0)
		return NULL;
	if (!make_key(in, len, key, &key_len))
		return NULL;
	if (anywhere || country[0] == 'u')
		code = find_state(pcapi_us_states, PCAPI_US_STATES, key, key_len);
	if (code == NULL && (anywhere || country[0] == 'c'))
		code = find_state(pcapi_ca_provinces, PCAPI_CA_PROVINCES, key, key_len);
	return code;
}
