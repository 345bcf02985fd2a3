/*
 * normalize_parts.c
 *	  Telephone numbers and dates of birth.
 *
 * normalize.c trims and checks before, and knows the kinds without a syntax.
 */
#include "core/normalize.h"

#include <stdio.h>
#include <string.h>

#define PHONE_MIN_DIGITS 7
#define PHONE_MAX_DIGITS 15

/* where an extension begins: "x12", "ext. 12", ";ext=12", "#12", full-width too */
static bool
starts_extension(int32_t c)
{
	return c == 'x' || c == 'X' || c == '#' ||
		c == 0xFF58 || c == 0xFF38 || c == 0xFF03;
}

bool
pcapi_normalize_phone(const char *in, size_t len, PcapiText *out, const char **warning)
{
	const char *end = in + len;
	bool		plus = false;
	int			seen = 0;		/* digits, leading zeros among them */
	int			zeros = 0;		/* leading ones */

	while (in < end)
	{
		int32_t		c = pcapi_next_char(&in, end);
		int			digit = pcapi_digit_value(c);

		if (digit < 0)
		{
			if (seen == 0 && (c == '+' || c == 0xFF0B))
				plus = true;

			/* before the first digit it is a word such as "fax" */
			if (seen > 0 && starts_extension(c))
				break;
			continue;
		}

		if (digit == 0 && zeros == seen)
			zeros++;
		else if (out->len < PHONE_MAX_DIGITS)
			out->data[out->len++] = (char) ('0' + digit);
		else
		{
			*warning = "not a phone number";
			return false;
		}
		seen++;
	}

	if (out->len < PHONE_MIN_DIGITS)
	{
		*warning = "not a phone number";
		return false;
	}
	if (!plus && zeros < 2)
		*warning = "country code seems to be missing";
	return true;
}

/* up to max digits at *s, which advances; returns how many */
static int
read_digits(const char **s, const char *end, int max, int *value)
{
	int			n = 0;

	*value = 0;
	while (n < max && *s < end && pcapi_ascii_digit(**s))
	{
		*value = *value * 10 + (**s - '0');
		(*s)++;
		n++;
	}
	return n;
}

static bool
real_date(int year, int month, int day)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (year < 1 || month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* nothing, or "T" or blanks and what begins like a time of day */
static bool
time_or_nothing(const char *s, const char *end)
{
	int			value;
	int			n;

	if (s == end)
		return true;
	if (*s == 'T' || *s == 't')
		s++;
	else
	{
		const char *next = s;

		if (!pcapi_is_blank(pcapi_next_char(&next, end)))
			return false;
		while (next < end)
		{
			s = next;
			if (!pcapi_is_blank(pcapi_next_char(&next, end)))
				break;
		}
	}

	n = read_digits(&s, end, 6, &value);
	if (s < end && pcapi_ascii_digit(*s))
		return false;
	if (s < end && *s == ':')
		return n == 1 || n == 2;
	return n == 2 || n == 4 || n == 6;
}

bool
pcapi_normalize_date(const char *in, size_t len, PcapiText *out, const char **warning)
{
	const char *end = in + len;
	int			year;
	int			month;
	int			day;
	bool		ok = read_digits(&in, end, 4, &year) == 4;

	if (ok && in < end && (*in == '-' || *in == '/'))
	{
		char		separator = *in++;

		ok = read_digits(&in, end, 2, &month) > 0 &&
			in < end && *in++ == separator &&
			read_digits(&in, end, 2, &day) > 0;
	}
	else
		ok = ok && read_digits(&in, end, 2, &month) == 2 &&
			read_digits(&in, end, 2, &day) == 2;

	if (!ok || !time_or_nothing(in, end) || !real_date(year, month, day))
	{
		*warning = "not a date, or its order can't be told";
		return false;
	}
	out->len = (size_t) snprintf(out->data, out->size, "%04d%02d%02d", year, month, day);
	return true;
}
