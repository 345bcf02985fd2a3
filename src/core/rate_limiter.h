/*
 * rate_limiter.h
 *	  A limiter of requests a minute.
 */
#ifndef PCAPI_RATE_LIMITER_H
#define PCAPI_RATE_LIMITER_H

#include <stdint.h>

/*
 * A limiter of requests a minute: a sliding log would need memory by the
 * limit, so this is a token bucket with a small burst.  Times in ms of any
 * monotonic clock, which makes it testable with a simulated one.
 */
typedef struct PcapiLimiter
{
	int			per_minute;
	double		tokens;
	int64_t		refilled_at;
} PcapiLimiter;

extern void pcapi_limiter_set(PcapiLimiter *lim, int per_minute, int64_t now);
extern int64_t pcapi_limiter_wait(PcapiLimiter *lim, int64_t now);	/* ms until one may go; 0: now */
extern void pcapi_limiter_take(PcapiLimiter *lim, int64_t now);

#endif							/* PCAPI_RATE_LIMITER_H */
