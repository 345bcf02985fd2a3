/*
 * test_json.c
 *	  Make JSON from outside harmless for PostgreSQL's parser.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json_sanitize.h"
#include "tap.h"

/* Sanitize; expected is NULL for what must be refused. */
static void
check(const char *json, bool ascii, const char *expected, const char *name)
{
	char		out[1024];
	size_t		len = 12345;
	bool		ok = pcapi_json_sanitize(json, strlen(json), ascii, out, &len);

	tap_is(ok ? out : NULL, expected, "%s", name);
	if (ok)
		tap_ok(len == strlen(out), "%s: its length", name);
}

/* Sanitize so many arrays within each other. */
static void
nested(int depth, bool expected)
{
	char		json[2 * 100 + 1];
	char		out[sizeof(json)];
	size_t		len;

	memset(json, '[', (size_t) depth);
	memset(json + depth, ']', (size_t) depth);
	tap_ok(pcapi_json_sanitize(json, 2 * (size_t) depth, false, out, &len) == expected,
		   "%d arrays in each other: %s", depth, expected ? "read" : "refused");
}

/* Return the processor time for so many escapes, in seconds. */
static double
seconds_for(size_t escapes)
{
	static const char escape[] = "\\u00e9";
	size_t		len = escapes * 6 + 2;
	char	   *json = malloc(len + 1);
	char	   *out = malloc(len + 1);
	size_t		outlen;
	clock_t		from;
	bool		ok;

	json[0] = '"';
	for (size_t i = 0; i < escapes; i++)
		memcpy(json + 1 + i * 6, escape, 6);
	json[len - 1] = '"';
	json[len] = '\0';
	from = clock();
	ok = pcapi_json_sanitize(json, len, false, out, &outlen);
	tap_ok(ok && outlen == len, "%zu escapes stay as they are", escapes);
	free(json);
	free(out);
	return (double) (clock() - from) / CLOCKS_PER_SEC;
}

int
main(void)
{
	double		few;
	double		many;

	check("", false, "", "nothing");
	check("{\"a\": [1, \"b\"]}", false, "{\"a\": [1, \"b\"]}", "plain");
	check("\"\xc3\xa9\\u00e9\"", false, "\"\xc3\xa9\\u00e9\"", "UTF-8 stays");
	check("\"\xc3\xa9\\u00e9\\u0041\"", true, "\"???\\u0041\"", "where there is only ASCII, question marks stand for bytes and escapes");
	check("\"\\u0000\\ud83d\\uDE00\"", false, "\"???\"", "NUL and surrogates");
	check("\"\\\\u0000\"", false, "\"\\\\u0000\"", "a backslash before an u is none");
	check("\"\\\"[[\"", false, "\"\\\"[[\"", "brackets in a string, after an escaped quote");
	check("\"\\u 000\"", false, "\"\\u 000\"", "what isn't four digits is the parser's matter");
	check("\"\\u+000\"", false, "\"\\u+000\"", "a sign is none");
	check("\"\\u0x00\"", false, "\"\\u0x00\"", "nor is 0x");
	check("\"\\u00", false, "\"\\u00", "cut off");
	check("\"\\", false, "\"\\", "a backslash at the end");
	check("\xff", false, NULL, "no UTF-8");
	check("\"\xed\xa0\x80\"", false, NULL, "a surrogate in UTF-8 is none");
	check("]", false, NULL, "closed before it was opened");
	nested(PCAPI_JSON_DEPTH, true);
	nested(PCAPI_JSON_DEPTH + 1, false);

	/* the time grows with the length, not with its square */
	few = seconds_for(20000);
	many = seconds_for(400000);
	tap_ok(many < 0.05 || many < 80 * few, "20 times as long takes no 400 times as long (%g s, %g s)", few, many);
	return tap_done();
}
