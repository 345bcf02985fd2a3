/*
 * html.c
 *	  What report.sql can't do in SQL: escape text for HTML, and raise the error of an invalid call.
 */
#include "pinterest_capi.h"

#include "common/encoding.h"
#include "core/text.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

/* in the place of characters that could act: controls, marks of direction, invisible ones */
#define REPLACEMENT "&#xFFFD;"

/* Return whether a character is such a one, or a noncharacter. */
static bool
is_unprintable(int32 c)
{
	return c < ' ' || (c >= 0x7F && c <= 0x9F) ||
		c == 0x061C || c == 0x200B || c == 0x200E || c == 0x200F ||
		(c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
		c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) || (c & 0xFFFE) == 0xFFFE ||
		(c >= 0xE0000 && c <= 0xE0FFF);
}

/* Append a character in ASCII. */
static void
append_character(StringInfo out, int32 c)
{
	switch (c)
	{
		case '&':
			appendStringInfoString(out, "&amp;");
			return;
		case '<':
			appendStringInfoString(out, "&lt;");
			return;
		case '>':
			appendStringInfoString(out, "&gt;");
			return;
		case '"':
			appendStringInfoString(out, "&quot;");
			return;
		case '\'':
			appendStringInfoString(out, "&#39;");
			return;
		case '\t':
		case '\n':
		case '\r':
		case 0x2028:
		case 0x2029:
			appendStringInfoChar(out, ' ');
			return;
		default:
			break;
	}
	if (is_unprintable(c))
		appendStringInfoString(out, REPLACEMENT);
	else if (c < 0x80)
		appendStringInfoChar(out, (char) c);
	else
		appendStringInfo(out, "&#x%X;", (unsigned int) c);
}

PG_FUNCTION_INFO_V1(pcapi_sql_html);

/*
 * _html(): the result is ASCII alone, so that a page is right whatever encodings the
 * database, the client and the file have.
 */
Datum
pcapi_sql_html(PG_FUNCTION_ARGS)
{
	text	   *arg = PG_GETARG_TEXT_PP(0);
	char	   *given = VARDATA_ANY(arg);
	size_t		given_len = VARSIZE_ANY_EXHDR(arg);
	size_t		len = 0;
	const char *s = pcapi_to_utf8(given, given_len, &len);
	StringInfoData out;

	initStringInfo(&out);
	if (s != NULL && pcapi_utf8_valid(s, len))
	{
		const char *end = s + len;

		while (s < end)
			append_character(&out, pcapi_next_char(&s, end));
	}
	else
	{
		/* bytes that are not UTF-8, as a SQL_ASCII database may hold them */
		for (size_t i = 0; i < given_len; i++)
		{
			if (IS_HIGHBIT_SET(given[i]))
				appendStringInfoString(&out, REPLACEMENT);
			else
				append_character(&out, given[i]);
		}
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

PG_FUNCTION_INFO_V1(pcapi_sql_bad_call);

/* _bad_call(): raise the error that functions in C raise for an invalid parameter. */
Datum
pcapi_sql_bad_call(PG_FUNCTION_ARGS)
{
	pcapi_error_invalid_parameter(("%s", text_to_cstring(PG_GETARG_TEXT_PP(0))),
								  ("%s", text_to_cstring(PG_GETARG_TEXT_PP(1))));
	PG_RETURN_VOID();
}
