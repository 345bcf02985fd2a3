/*
 * unix_time.h
 *	  Between a timestamptz and Unix time in microseconds.
 *
 * For whole seconds of a time after 2000 the server has timestamptz_to_time_t()
 * and time_t_to_timestamptz().
 */
#ifndef PCAPI_UNIX_TIME_H
#define PCAPI_UNIX_TIME_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

#define PCAPI_UNIX_EPOCH_OFFSET \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Return a time as microseconds since 1970. */
static inline int64
pcapi_unix_us(TimestampTz t)
{
	return t + PCAPI_UNIX_EPOCH_OFFSET;
}

/* Return the time that is so many microseconds after 1970; far from the ends of int64. */
static inline TimestampTz
pcapi_time_of_unix_us(int64 us)
{
	return us - PCAPI_UNIX_EPOCH_OFFSET;
}

#endif							/* PCAPI_UNIX_TIME_H */
