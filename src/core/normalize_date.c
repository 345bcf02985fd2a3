/*
 * normalize_date.c
 *	  Normalise dates of birth.
 *
 * No birth date is later than today.  If the caller gives no date for today, the
 * result must not depend on the clock; then NO_BIRTH_YET refuses certain mistakes.
 */
#include "core/normalize_date.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"

#define NO_BIRTH_YET	21000101	/* 1 January 2100 */

/* Read up to max digits at *s and advance it; return how many there were. */
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

/* Does the Gregorian calendar have this date? */
static bool
real_date(int year, int month, int day)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (year < 1 || month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Does the rest hold nothing, or "T" or blanks and the beginning of a time of day? */
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

/* Write YYYYMMDD of a date in year, month, day order, with a time of day or without. */
bool
pcapi_normalize_date(const char *in, size_t len, int today, PcapiText *out,
					 const char **warning)
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
	if (year * 10000 + month * 100 + day > (today > 0 ? today : NO_BIRTH_YET))
	{
		*warning = "in the future";
		return false;
	}
	out->len = (size_t) snprintf(out->data, out->size, "%04d%02d%02d", year, month, day);
	return true;
}
