/*
 * column_time.c
 *	  Values of columns as a moment, for the key event_time.
 *
 * Times and dates are taken as the server casts them, in the session's time
 * zone where they have none.  Text and numbers of other types are seconds since
 * 1970 or what timestamptz accepts.
 */
#include "pinterest_capi.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/subxact.h"
#include "common/unix_time.h"
#include "track/column_json.h"
#include "track/column_time.h"
#include "track/column_type.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#define SECONDS_MAX		9.0e12	/* a timestamptz ends in the year 294276 */

/* Days since 2000, 1900 to 2300.  No event lies outside, and a time zone's offset could overflow there. */
#define FIRST_DAY		(-36524)
#define LAST_DAY		109575

/* Convert seconds since 1970; false: out of range. */
static bool
seconds_to_time(double seconds, TimestampTz *out)
{
	if (isnan(seconds) || seconds < -SECONDS_MAX || seconds > SECONDS_MAX)
		return false;
	*out = pcapi_time_of_unix_us((int64) rint(seconds * USECS_PER_SEC));
	return IS_VALID_TIMESTAMP(*out);
}

/* Return whether a text is YYYYMMDD: eight digits, which as seconds would lie before 1974. */
static bool
is_day(const char *text)
{
	return strlen(text) == 8 && strspn(text, "0123456789") == 8;
}

typedef struct TimeInput
{
	char	   *text;
	TimestampTz result;
} TimeInput;

/* Parse as timestamptz, in a subtransaction: the input function raises errors. */
static void
parse_time(void *arg)
{
	TimeInput  *in = arg;

	in->result = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
														 CStringGetDatum(in->text),
														 ObjectIdGetDatum(InvalidOid),
														 Int32GetDatum(-1)));
}

bool
pcapi_column_to_time(const PcapiColumnType *ct, Datum value, TimestampTz *out)
{
	TimeInput	in = {0};
	const char *wrong;
	char	   *end;
	double		seconds;

	switch (ct->type)
	{
		case TIMESTAMPTZOID:
			*out = DatumGetTimestampTz(value);
			return !TIMESTAMP_NOT_FINITE(*out);

		case TIMESTAMPOID:
			/* in the session's time zone */
			*out = DatumGetTimestamp(value);
			if (*out < FIRST_DAY * USECS_PER_DAY || *out > LAST_DAY * USECS_PER_DAY)
				return false;
			*out = DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz, value));
			return true;

		case DATEOID:
			if (DatumGetDateADT(value) < FIRST_DAY || DatumGetDateADT(value) > LAST_DAY)
				return false;
			*out = DatumGetTimestampTz(DirectFunctionCall1(date_timestamptz, value));
			return true;

		default:
			break;
	}

	in.text = pcapi_column_to_text(ct, value, &wrong);
	if (in.text == NULL || in.text[0] == '\0' || strlen(in.text) > MAXDATELEN)
		return false;
	seconds = strtod(in.text, &end);
	if (end != in.text && *end == '\0' && !is_day(in.text))
		return seconds_to_time(seconds, out);
	if (!pcapi_try_subxact(parse_time, &in) || TIMESTAMP_NOT_FINITE(in.result))
		return false;
	*out = in.result;
	return true;
}
