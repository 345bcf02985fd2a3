/*
 * text.c
 *	  UTF-8 text: validity, blanks, digits and a small buffer.
 *
 * The properties of characters are utf8proc's.  What an identifier may hold is
 * decided in normalize.c.
 */
#include "core/text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Prepare an empty buffer. */
void
pcapi_text_init(PcapiText *buf)
{
	buf->data = buf->local;
	buf->len = 0;
	buf->size = sizeof(buf->local);
	buf->local[0] = '\0';
}

/* Free what was allocated, and leave an empty buffer. */
void
pcapi_text_free(PcapiText *buf)
{
	if (buf->data != buf->local)
		free(buf->data);
	pcapi_text_init(buf);
}

/* Make room for that many more bytes and a NUL; false: out of memory. */
bool
pcapi_text_reserve(PcapiText *buf, size_t more)
{
	size_t		need = buf->len + more + 1;
	char	   *data;

	if (need <= buf->size)
		return true;

	data = malloc(need);
	if (data == NULL)
		return false;
	memcpy(data, buf->data, buf->len);
	if (buf->data != buf->local)
		free(buf->data);
	buf->data = data;
	buf->size = need;
	return true;
}

/* Replace the contents; false: out of memory. */
bool
pcapi_text_set(PcapiText *buf, const char *s, size_t len)
{
	buf->len = 0;
	if (!pcapi_text_reserve(buf, len))
		return false;
	memcpy(buf->data, s, len);
	buf->data[len] = '\0';
	buf->len = len;
	return true;
}

/* Copy to malloc'd memory, with a NUL. */
char *
pcapi_strndup(const char *s, size_t len)
{
	char	   *copy = malloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, s, len);
		copy[len] = '\0';
	}
	return copy;
}

/* Are all bytes ASCII?  The loop has no early exit, so that compilers turn it into vector instructions. */
bool
pcapi_is_ascii(const char *s, size_t len)
{
	unsigned char any = 0;

	for (size_t i = 0; i < len; i++)
		any |= (unsigned char) s[i];
	return (any & 0x80) == 0;
}

/* Is it valid UTF-8, without a NUL? */
bool
pcapi_utf8_valid(const char *s, size_t len)
{
	if (len > 0 && memchr(s, '\0', len) != NULL)
		return false;
	if (pcapi_is_ascii(s, len))
		return true;

	while (len > 0)
	{
		utf8proc_int32_t c;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *) s,
											  (utf8proc_ssize_t) len, &c);

		if (n <= 0)
			return false;
		s += n;
		len -= (size_t) n;
	}
	return true;
}

/* Return the character at *s, and advance *s past it. */
int32_t
pcapi_next_char(const char **s, const char *end)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n;

	if ((unsigned char) **s < 0x80)
		return (unsigned char) *(*s)++;

	n = utf8proc_iterate((const utf8proc_uint8_t *) *s, end - *s, &c);
	if (n <= 0)
	{
		/* valid text never gets here; advance all the same, so that no loop hangs */
		(*s)++;
		return 0xFFFD;
	}
	*s += n;
	return c;
}

/* Is it a blank: White_Space in Unicode's PropList.txt, unchanged since version 6.3? */
bool
pcapi_is_blank(int32_t c)
{
	return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 ||
		c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
		c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Is it punctuation of any script: a general category that begins with P? */
bool
pcapi_is_punctuation(int32_t c)
{
	switch (utf8proc_category(c))
	{
		case UTF8PROC_CATEGORY_PC:
		case UTF8PROC_CATEGORY_PD:
		case UTF8PROC_CATEGORY_PS:
		case UTF8PROC_CATEGORY_PE:
		case UTF8PROC_CATEGORY_PI:
		case UTF8PROC_CATEGORY_PF:
		case UTF8PROC_CATEGORY_PO:
			return true;
		default:
			return false;
	}
}

/* Is it a letter of any script: a general category that begins with L? */
bool
pcapi_is_letter(int32_t c)
{
	switch (utf8proc_category(c))
	{
		case UTF8PROC_CATEGORY_LU:
		case UTF8PROC_CATEGORY_LL:
		case UTF8PROC_CATEGORY_LT:
		case UTF8PROC_CATEGORY_LM:
		case UTF8PROC_CATEGORY_LO:
			return true;
		default:
			return false;
	}
}

/*
 * Return the value of a decimal digit of any script, or -1.  utf8proc tells which
 * characters are decimal digits but not their values.  Unicode assigns decimal
 * digits in ascending runs of ten, zero first, so the distance from the start of
 * the run is the value; where runs touch each other (the mathematical digits),
 * it is the distance modulo ten.
 */
int
pcapi_digit_value(int32_t c)
{
	int32_t		first = c;

	if (c < 0x80)
		return (c >= '0' && c <= '9') ? c - '0' : -1;
	if (utf8proc_category(c) != UTF8PROC_CATEGORY_ND)
		return -1;
	while (utf8proc_category(first - 1) == UTF8PROC_CATEGORY_ND)
		first--;
	return (c - first) % 10;
}

/* Remove blanks from both ends. */
void
pcapi_trim(const char **s, size_t *len)
{
	const char *start = *s;
	const char *end = start + *len;

	while (start < end)
	{
		const char *next = start;

		if (!pcapi_is_blank(pcapi_next_char(&next, end)))
			break;
		start = next;
	}
	while (end > start)
	{
		const char *last = end - 1;
		const char *next;

		while (last > start && ((unsigned char) *last & 0xC0) == 0x80)
			last--;
		next = last;
		if (!pcapi_is_blank(pcapi_next_char(&next, end)))
			break;
		end = last;
	}
	*s = start;
	*len = (size_t) (end - start);
}
