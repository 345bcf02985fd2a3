/*
 * property_value.c
 *	  Convert a JSON value to the API's form of a property.
 *
 * Which property has which type and limits is in property.c.  A value that
 * doesn't fit is left out with a warning that never quotes it; whether an event
 * can be sent without it is the callers' decision.
 */
#include "pinterest_capi.h"

#include <ctype.h>

#include "catalog/namespace.h"
#include "common/encoding.h"
#include "core/pii.h"
#include "mb/pg_wchar.h"
#include "track/property.h"
#include "track/property_value.h"
#include "track/warning.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#define DECIMAL_MAX		40		/* characters; no amount of money is longer */
#define TOKENS_MAX		1000
#define LANGUAGES_MAX	100		/* device_info.languages */
#define FLAG_MAX		16		/* characters of one of opt_out_type's flags */

/* ASCII's blanks, in every locale */
static inline bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Get the text of a string or number, not NUL-terminated, without blanks around it; false: it is neither. */
static bool
get_text(const JsonbValue *v, const char **s, size_t *len)
{
	if (v->type == jbvString)
	{
		*s = v->val.string.val;
		*len = v->val.string.len;
	}
	else if (v->type == jbvNumeric)
	{
		*s = numeric_normalize(v->val.numeric);
		*len = strlen(*s);
	}
	else
		return false;

	while (*len > 0 && is_space(**s))
	{
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && is_space((*s)[*len - 1]))
		(*len)--;
	return true;
}

const char	pcapi_negative[] = "negative";

/*
 * Convert to the API's decimal text: digits, at most one point with digits on
 * both sides, no sign, no exponent, no leading zeros.  Digits after the point
 * stay as they were given: "10.00" does not become "10".
 */
const char *
pcapi_value_decimal(const JsonbValue *v, char **out)
{
	const char *s;
	size_t		len;
	size_t		i = 0;
	size_t		whole_start,
				whole,
				fraction_start,
				fraction = 0;
	bool		negative = false;
	bool		zero = true;
	char	   *p;

	if (v->type == jbvNumeric)
	{
		s = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
		len = strlen(s);
	}
	else if (!get_text(v, &s, &len))
		return "not a number";

	if (i < len && (s[i] == '+' || s[i] == '-'))
		negative = s[i++] == '-';
	whole_start = i;
	while (i < len && isdigit((unsigned char) s[i]))
		zero &= s[i++] == '0';
	whole = i - whole_start;
	fraction_start = i;
	if (i < len && s[i] == '.')
	{
		fraction_start = ++i;
		while (i < len && isdigit((unsigned char) s[i]))
			zero &= s[i++] == '0';
		fraction = i - fraction_start;
	}
	if (whole + fraction == 0)
		return "not a number";

	if (i < len && (s[i] == 'e' || s[i] == 'E'))
	{
		size_t		mark = i++;
		int			exponent = 0;
		char	   *text;
		JsonbValue	plain;

		if (i < len && (s[i] == '+' || s[i] == '-'))
			i++;
		if (i == len)
			return "not a number";
		for (; i < len && isdigit((unsigned char) s[i]); i++)
			exponent = Min(exponent * 10 + (s[i] - '0'), 1000);
		if (i < len || !isdigit((unsigned char) s[len - 1]))
			return "not a number";
		if (mark > DECIMAL_MAX || exponent > DECIMAL_MAX)
			return "out of range";

		/* checked above: numeric_in raises no error */
		text = pnstrdup(s, len);
		plain.type = jbvNumeric;
		plain.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
																CStringGetDatum(text),
																ObjectIdGetDatum(InvalidOid),
																Int32GetDatum(-1)));
		return pcapi_value_decimal(&plain, out);
	}
	if (i < len)
		return "not a number";
	if (negative && !zero)
		return pcapi_negative;
	/* an amount may have a plus sign, but not the digits of a phone number as well */
	if (*s == '+' && pcapi_pii_find_in_id(s, len) != NULL)
		return "looks like a phone number, left out";

	while (whole > 1 && s[whole_start] == '0')
	{
		whole_start++;
		whole--;
	}
	if (whole + fraction > DECIMAL_MAX)
		return "out of range";

	*out = p = palloc(DECIMAL_MAX + 3);
	if (whole == 0)
		*p++ = '0';
	memcpy(p, s + whole_start, whole);
	p += whole;
	if (fraction > 0)
	{
		*p++ = '.';
		memcpy(p, s + fraction_start, fraction);
		p += fraction;
	}
	*p = '\0';
	return NULL;
}

const char *
pcapi_value_integer(const JsonbValue *v, int64 max, int64 *out)
{
	char	   *decimal;
	const char *wrong = pcapi_value_decimal(v, &decimal);
	int64		number = 0;
	char	   *p;

	if (wrong)
		return wrong;
	for (p = decimal; isdigit((unsigned char) *p); p++)
	{
		number = number * 10 + (*p - '0');
		if (number > max)
			return "out of range";
	}
	if (*p == '.' && p[1 + strspn(p + 1, "0")] != '\0')
		return "not a whole number";
	*out = number;
	return NULL;
}

const char *
pcapi_value_boolean(const JsonbValue *v, bool *out)
{
	const char *s;
	size_t		len;

	if (v->type == jbvBool)
	{
		*out = v->val.boolean;
		return NULL;
	}
	/* a copy with its end: the server's function reads two characters of a text of one */
	if (!get_text(v, &s, &len) || !parse_bool_with_len(pnstrdup(s, len), len, out))
		return "not a boolean";
	return NULL;
}

const char *
pcapi_value_currency(const JsonbValue *v, char **out)
{
	const char *s;
	size_t		len;

	*out = NULL;
	if (!get_text(v, &s, &len) || len != 3)
		return "not a currency code of three letters";
	*out = pnstrdup(s, len);
	for (char *p = *out; *p; p++)
	{
		*p = pg_ascii_toupper((unsigned char) *p);
		if (*p < 'A' || *p > 'Z')
			return "not a currency code of three letters";
	}
	return NULL;
}

const char *
pcapi_find_pii_warning(const char *s, size_t len, const char *(*find) (const char *, size_t))
{
	size_t		utf8_len;
	char	   *utf8 = pcapi_to_utf8(s, len, &utf8_len);
	const char *found;

	if (utf8 == NULL)
		return "not valid in UTF-8";
	found = find(utf8, utf8_len);
	return found ? psprintf("looks like %s, left out", found) : NULL;
}

/* A clipped id would be another id, so one that is too long is left out. */
const char *
pcapi_value_token(const JsonbValue *v, int64 max, char **out)
{
	const char *s;
	size_t		len;
	const char *wrong;

	*out = NULL;
	if (!get_text(v, &s, &len))
		return "not text";
	if (len == 0)
		return NULL;
	if (len > max && pg_mbstrlen_with_len(s, (int) len) > max)
		return "too long";
	wrong = pcapi_find_pii_warning(s, len, pcapi_pii_find_in_id);
	if (wrong == NULL)
		*out = pnstrdup(s, len);
	return wrong;
}

const char *
pcapi_value_text(const JsonbValue *v, int64 max, char **out, const char **note)
{
	const char *s;
	size_t		len;
	const char *wrong;
	int			clipped;

	*out = NULL;
	*note = NULL;
	if (!get_text(v, &s, &len))
		return "not text";
	if (len == 0)
		return NULL;

	/*
	 * Search 256 bytes beyond the cut as well: half of a phone number must
	 * not pass because it is only half.
	 */
	clipped = pg_mbcharcliplen(s, (int) len, (int) max);
	if (clipped < len)
	{
		*note = "too long, cut off";
		len = Min(len, (size_t) clipped + 256);
		len = pg_mbcliplen(s, (int) len, (int) len);
	}
	wrong = pcapi_find_pii_warning(s, len, pcapi_pii_find);
	if (wrong == NULL)
		*out = pnstrdup(s, Min(len, (size_t) clipped));
	return wrong;
}

void
pcapi_append_key(StringInfo buf, const char *key)
{
	char		last = buf->len > 0 ? buf->data[buf->len - 1] : '{';

	if (last != '{' && last != '[')
		appendStringInfoCharMacro(buf, ',');
	appendStringInfoCharMacro(buf, '"');
	appendStringInfoString(buf, key);
	appendBinaryStringInfo(buf, "\":", 2);
}

void
pcapi_append_string(StringInfo buf, const char *key, const char *value)
{
	pcapi_append_key(buf, key);
	escape_json(buf, value);
}

void
pcapi_append_integer(StringInfo buf, const char *key, int64 value)
{
	char		digits[MAXINT8LEN + 1];

	pcapi_append_key(buf, key);
	appendBinaryStringInfo(buf, digits, pg_lltoa(value, digits));
}

/* Reduce a locale such as en-US to its language, by ISO 639-1. */
static const char *
language_of(char *text)
{
	if (pg_ascii_tolower((unsigned char) text[0]) < 'a' || pg_ascii_tolower((unsigned char) text[0]) > 'z' ||
		pg_ascii_tolower((unsigned char) text[1]) < 'a' || pg_ascii_tolower((unsigned char) text[1]) > 'z' ||
		(text[2] != '\0' && text[2] != '-' && text[2] != '_'))
		return "not a language code of two letters";
	text[0] = pg_ascii_tolower((unsigned char) text[0]);
	text[1] = pg_ascii_tolower((unsigned char) text[1]);
	text[2] = '\0';
	return NULL;
}

/* Convert an element of an array.  Only device_info.languages has languages, the other arrays have ids. */
static const char *
parse_element(const PcapiProperty *p, const JsonbValue *v, char **text)
{
	const char *wrong = pcapi_value_token(v, p->max, text);

	if (wrong == NULL && *text != NULL && p->place == PCAPI_IN_DEVICE_INFO)
	{
		if (strlen(*text) != 2)
			return "not a language code of two letters";
		wrong = language_of(*text);
	}
	return wrong;
}

/* Append an array of ids or languages; a single value becomes an array of one. */
static bool
append_tokens(StringInfo buf, const PcapiProperty *p, const JsonbValue *v, List **warnings)
{
	int			limit = p->place == PCAPI_IN_DEVICE_INFO ? LANGUAGES_MAX : TOKENS_MAX;
	int			n = 0;
	int			start = buf->len;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	elem;

	pcapi_append_key(buf, p->field ? p->field : "content_ids");
	appendStringInfoCharMacro(buf, '[');
	if (v->type != jbvBinary)
	{
		char	   *text;
		const char *wrong = parse_element(p, v, &text);

		if (wrong)
			pcapi_warn(warnings, p->name, wrong);
		else if (text)
		{
			escape_json(buf, text);
			n = 1;
		}
	}
	else if (!JsonContainerIsArray(v->val.binary.data))
		pcapi_warn(warnings, p->name, "not an array");
	else
	{
		it = JsonbIteratorInit(v->val.binary.data);
		while ((token = JsonbIteratorNext(&it, &elem, true)) != WJB_DONE)
		{
			char	   *text;
			const char *wrong;

			if (token != WJB_ELEM || elem.type == jbvNull)
				continue;
			if (n >= limit)
			{
				pcapi_warn(warnings, p->name, "too many elements, the rest left out");
				break;
			}
			wrong = parse_element(p, &elem, &text);
			if (wrong)
				pcapi_warn(warnings, p->name, wrong);
			else if (text)
			{
				if (n++ > 0)
					appendStringInfoCharMacro(buf, ',');
				escape_json(buf, text);
			}
		}
	}
	if (n == 0)
	{
		buf->len = start;
		buf->data[start] = '\0';
		return false;
	}
	appendStringInfoCharMacro(buf, ']');
	return true;
}

/* Check opt_out_type.  It is sent without being listed, so it must not be able to carry free text. */
static const char *
check_flags(const char *text)
{
	size_t		n = 0;

	for (const char *c = text;; c++)
	{
		if ((isalnum((unsigned char) *c) && !IS_HIGHBIT_SET(*c)) || *c == '_')
			n++;
		else if ((*c == ',' || *c == '\0') && n > 0 && n <= FLAG_MAX)
			n = 0;
		else if (*c != ' ' || n > 0)
			return "not a list of flags";
		if (*c == '\0')
			return NULL;
	}
}

static bool
is_one_of(const char *text, const char *const *values)
{
	for (; *values; values++)
	{
		if (strcmp(text, *values) == 0)
			return true;
	}
	return false;
}

bool
pcapi_append_property(StringInfo buf, int property, const JsonbValue *v, List **warnings)
{
	const PcapiProperty *p = pcapi_property(property);
	const char *wrong = NULL;
	const char *note = NULL;
	char	   *text = NULL;
	int64		number;
	bool		boolean;

	switch (p->type)
	{
		case PCAPI_TYPE_TEXT:
			wrong = pcapi_value_text(v, p->max, &text, &note);
			break;
		case PCAPI_TYPE_TOKEN:
			if (property == PCAPI_PROP_CURRENCY)
				wrong = pcapi_value_currency(v, &text);
			else
				wrong = pcapi_value_token(v, p->max, &text);
			if (wrong == NULL && text != NULL)
			{
				if (property == PCAPI_PROP_LANGUAGE)
					wrong = language_of(text);
				else if (property == PCAPI_PROP_OPT_OUT_TYPE)
					wrong = check_flags(text);
				else if (p->values && !is_one_of(text, p->values))
					wrong = "not one of the API's values";
			}
			break;
		case PCAPI_TYPE_DECIMAL:
			wrong = pcapi_value_decimal(v, &text);
			break;
		case PCAPI_TYPE_INTEGER:
			wrong = pcapi_value_integer(v, p->max, &number);
			if (wrong == NULL)
			{
				pcapi_append_integer(buf, p->field, number);
				return true;
			}
			break;
		case PCAPI_TYPE_BOOLEAN:
			wrong = pcapi_value_boolean(v, &boolean);
			if (wrong == NULL)
			{
				pcapi_append_key(buf, p->field);
				appendStringInfoString(buf, boolean ? "true" : "false");
				return true;
			}
			break;
		case PCAPI_TYPE_TOKENS:
			return append_tokens(buf, p, v, warnings);
		default:
			elog(ERROR, "property %d is no simple one", property);
	}

	if (wrong)
		pcapi_warn(warnings, p->name, wrong);
	else if (text)
	{
		if (note)
			pcapi_warn(warnings, p->name, note);
		pcapi_append_string(buf, p->field, text);
		return true;
	}
	return false;
}
