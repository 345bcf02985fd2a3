/*
 * fuzz_json.c
 *	  Sanitize any bytes as JSON; the lowest bit of the first byte allows ASCII alone.
 */
#include "check.h"
#include "core/json_sanitize.h"
#include "core/text.h"

/* Check that nothing is left that the parser would raise an error for. */
static void
check_sanitized(const char *json, bool ascii)
{
	bool		in_string = false;
	int			depth = 0;

	for (const char *c = json; *c != '\0'; c++)
	{
		CHECK(!ascii || (unsigned char) *c < 0x80);
		if (in_string && *c == '\\' && c[1] != '\0')
		{
			char		digits[5] = "";
			char	   *end;
			unsigned long code;

			c++;
			if (*c != 'u')
				continue;
			memcpy(digits, c + 1, strnlen(c + 1, 4));
			if (strspn(digits, "0123456789abcdefABCDEF") != 4)
				continue;
			code = strtoul(digits, &end, 16);
			CHECK(code != 0 && (code < 0xD800 || code > 0xDFFF) && (!ascii || code < 0x80));
		}
		else if (*c == '"')
			in_string = !in_string;
		else if (!in_string && (*c == '{' || *c == '['))
			CHECK(++depth <= PCAPI_JSON_DEPTH);
		else if (!in_string && (*c == '}' || *c == ']'))
			CHECK(--depth >= 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool		ascii = size > 0 && (data[0] & 1) != 0;
	const char *raw = size > 0 ? (const char *) data + 1 : "";
	size_t		len = size > 0 ? size - 1 : 0;
	char	   *out = malloc(len + 1);
	char	   *again;
	size_t		outlen;
	size_t		againlen;

	if (pcapi_json_sanitize(raw, len, ascii, out, &outlen))
	{
		CHECK(outlen <= len && out[outlen] == '\0' && strlen(out) == outlen);
		CHECK(pcapi_utf8_valid(out, outlen));
		check_sanitized(out, ascii);

		again = malloc(outlen + 1);
		CHECK(pcapi_json_sanitize(out, outlen, ascii, again, &againlen));
		CHECK(againlen == outlen && memcmp(out, again, outlen) == 0);
		free(again);
	}
	free(out);
	return 0;
}
