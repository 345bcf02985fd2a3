/*
 * json_sanitize.c
 *	  JSON that somebody else wrote, made harmless for a parser.
 *
 * Whether it is JSON at all is for the parser to find out; what it means,
 * for whoever asked.
 */
#include "core/json_sanitize.h"

#include <string.h>

#include "core/text.h"

/* the four hexadecimal digits of an escape; -1: they aren't */
static int
escaped_unit(const char *digits)
{
	int			code = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = pcapi_ascii_lower(digits[i]);

		if (pcapi_ascii_digit(c))
			code = code * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			code = code * 16 + (c - 'a' + 10);
		else
			return -1;
	}
	return code;
}

bool
pcapi_json_sanitize(const char *json, size_t len, bool ascii, char *out, size_t *outlen)
{
	bool		in_string = false;
	int			depth = 0;
	char	   *to = out;

	if (!pcapi_utf8_valid(json, len))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = json[i];

		if (!in_string)
		{
			if (c == '{' || c == '[')
				depth++;
			else if (c == '}' || c == ']')
				depth--;
			else if (c == '"')
				in_string = true;
			if (depth < 0 || depth > PCAPI_JSON_DEPTH)
				return false;
		}
		else if (c == '"')
			in_string = false;
		else if (c == '\\' && i + 1 < len)
		{
			int			code = json[i + 1] == 'u' && i + 5 < len ? escaped_unit(json + i + 2) : -1;

			if (code == 0 || (code >= 0xD800 && code <= 0xDFFF) || (code >= 0x80 && ascii))
			{
				*to++ = '?';
				i += 5;
				continue;
			}
			*to++ = c;
			c = json[++i];
		}
		*to++ = ascii && (unsigned char) c >= 0x80 ? '?' : c;
	}
	*to = '\0';
	*outlen = (size_t) (to - out);
	return true;
}
