/*
 * normalize_email.c
 *	  Extract an e-mail address from the text it was copied with.
 *
 * Programs give addresses as mailto: links and as "Name <address>", and web pages
 * put invisible characters between the letters.  Lower-casing is in normalize.c.
 */
#include "core/normalize_email.h"

#include <string.h>
#include <utf8proc.h>

#include "core/text.h"

static const char not_an_address[] = "not an e-mail address";

/* Copy without characters of the category Format: zero width spaces, soft hyphens, direction marks. */
static bool
copy_visible(const char *s, const char *end, PcapiText *out)
{
	out->len = 0;
	if (!pcapi_text_reserve(out, (size_t) (end - s)))
		return false;
	while (s < end)
	{
		const char *start = s;
		int32_t		c = pcapi_next_char(&s, end);

		if (c >= 0x80 && utf8proc_category(c) == UTF8PROC_CATEGORY_CF)
			continue;
		memcpy(out->data + out->len, start, (size_t) (s - start));
		out->len += (size_t) (s - start);
	}
	return true;
}

/* Remove "mailto:" in any case, and the query that a link may have after the address. */
static void
strip_link(const char **s, size_t *len)
{
	static const char scheme[] = "mailto:";
	const char *query;

	for (size_t i = 0; i < sizeof(scheme) - 1; i++)
	{
		if (i >= *len || pcapi_ascii_lower((*s)[i]) != scheme[i])
			return;
	}
	*s += sizeof(scheme) - 1;
	*len -= sizeof(scheme) - 1;
	query = memchr(*s, '?', *len);
	if (query != NULL)
		*len = (size_t) (query - *s);
	pcapi_trim(s, len);
}

/* If it ends with >, keep only the text between the last < and that >. */
static void
strip_brackets(const char **s, size_t *len)
{
	if (*len > 0 && (*s)[*len - 1] == '>')
	{
		const char *start = *s + *len - 1;

		while (start > *s && *start != '<')
			start--;
		if (*start != '<')
			return;
		*len -= (size_t) (start + 2 - *s);
		*s = start + 1;
		pcapi_trim(s, len);
	}
}

/* Has it one @ with text on both sides, and neither blanks nor angle brackets? */
static bool
is_address(const char *s, size_t len)
{
	const char *end = s + len;
	const char *at = memchr(s, '@', len);

	if (at == NULL || at == s || at + 1 == end ||
		memchr(at + 1, '@', (size_t) (end - at - 1)) != NULL)
		return false;
	while (s < end)
	{
		int32_t		c = pcapi_next_char(&s, end);

		if (c == '<' || c == '>' || pcapi_is_blank(c))
			return false;
	}
	return true;
}

/* Write the address within the text to out. */
bool
pcapi_find_address(const char *in, size_t len, PcapiText *out, const char **warning)
{
	if (!pcapi_is_ascii(in, len))
	{
		if (!copy_visible(in, in + len, out))
		{
			*warning = "out of memory";
			return false;
		}
		in = out->data;
		len = out->len;
		pcapi_trim(&in, &len);
	}
	strip_brackets(&in, &len);
	strip_link(&in, &len);
	if (!is_address(in, len))
	{
		*warning = not_an_address;
		return false;
	}
	if (in >= out->data && in < out->data + out->size)
	{
		memmove(out->data, in, len);
		out->len = len;
		return true;
	}
	if (pcapi_text_set(out, in, len))
		return true;
	*warning = "out of memory";
	return false;
}

/*
 * Misspelled domains of the large free mail providers, as form validators such
 * as mailcheck.js (github.com/mailcheck/mailcheck) correct them, 2026-11-27.
 */
static const char *const misspelled[] = {
	"aol.con", "gamil.com", "gmaik.com", "gmail.cm", "gmail.co", "gmail.con", "gmail.om",
	"gmaill.com", "gmai.com", "gmal.com", "gmali.com", "gmial.com", "gmil.com", "gnail.com",
	"hotamil.com", "hotmai.com", "hotmail.cm", "hotmail.con", "hotmaill.com", "hotmal.com",
	"hotmial.com", "hotmil.com", "hotnail.com", "iclod.com", "icloud.con", "icoud.com",
	"outllok.com", "outlok.com", "outlook.con", "outloook.com", "yaho.com", "yahoo.cm",
	"yahoo.con", "yahooo.com", "yhaoo.com", "yhoo.com"
};

/* Is the address's domain in the list? */
bool
pcapi_is_misspelled_domain(const char *address, size_t len)
{
	const char *domain = memchr(address, '@', len);
	size_t		domain_len;

	if (domain == NULL)
		return false;
	domain++;
	domain_len = (size_t) (address + len - domain);
	if (domain_len < 7 || domain_len > 12)
		return false;
	for (size_t i = 0; i < sizeof(misspelled) / sizeof(misspelled[0]); i++)
	{
		if (misspelled[i][0] == domain[0] && strlen(misspelled[i]) == domain_len &&
			memcmp(misspelled[i], domain, domain_len) == 0)
			return true;
	}
	return false;
}
