/*
 * rate_limiter.h
 *	  Limit the requests a minute.
 */
#ifndef PCAPI_RATE_LIMITER_H
#define PCAPI_RATE_LIMITER_H

#include <stdint.h>

/*
 * A token bucket with a small burst: a sliding log would need memory in
 * proportion to the limit.  Times are milliseconds of any monotonic clock.
 */
typedef struct PcapiLimiter
{
	int			per_minute;
	double		tokens;
	int64_t		refilled_at;
} PcapiLimiter;

/* Set the limit; a limiter that is all zero starts with a full bucket. */
extern void pcapi_limiter_set(PcapiLimiter *lim, int per_minute, int64_t now);

/* Return the milliseconds until a request may start; 0: it may start now. */
extern int64_t pcapi_limiter_wait(PcapiLimiter *lim, int64_t now);

/* Take one request out of the bucket, when it starts. */
extern void pcapi_limiter_take(PcapiLimiter *lim, int64_t now);

#endif							/* PCAPI_RATE_LIMITER_H */
