/*
 * rate_limiter.c
 *	  Limit the requests a minute.
 *
 * The clock is the caller's, so a test can simulate one.
 */
#include "core/rate_limiter.h"

#include <stdbool.h>

/*
 * Return how many requests the bucket holds: one hundredth of a minute's.  The
 * bucket of a limit below 200 holds a bit more than one request, so that a caller
 * who is late now and then doesn't lose that time.
 */
static double
limiter_burst(int per_minute)
{
	int			whole = per_minute / 100;

	return per_minute < 200 ? 1 + per_minute / 400.0 : whole;
}

/*
 * Return how many requests flow into the bucket in a millisecond: so few that a
 * full bucket and the inflow of any one minute together stay within the limit.
 */
static double
limiter_per_ms(int per_minute)
{
	return (per_minute - (limiter_burst(per_minute) - 1)) / 60000.0;
}

/* Add what has flowed into the bucket since the last call. */
static void
limiter_refill(PcapiLimiter *lim, int64_t now)
{
	double		burst = limiter_burst(lim->per_minute);

	if (now > lim->refilled_at)
		lim->tokens += (double) (now - lim->refilled_at) * limiter_per_ms(lim->per_minute);
	if (lim->tokens > burst)
		lim->tokens = burst;
	lim->refilled_at = now;
}

/*
 * Set the limit.  A limiter that is all zero starts with a full bucket.  The same
 * limit again changes nothing; another limit keeps the bucket's contents.
 */
void
pcapi_limiter_set(PcapiLimiter *lim, int per_minute, int64_t now)
{
	bool		fresh = lim->per_minute <= 0;

	if (per_minute < 1)
		per_minute = 1;
	if (lim->per_minute == per_minute)
		return;
	if (fresh)
	{
		lim->tokens = limiter_burst(per_minute);
		lim->refilled_at = now;
	}
	else
		limiter_refill(lim, now);
	lim->per_minute = per_minute;
	if (lim->tokens > limiter_burst(per_minute))
		lim->tokens = limiter_burst(per_minute);
}

/* Return the milliseconds until a request may start, rounded up. */
int64_t
pcapi_limiter_wait(PcapiLimiter *lim, int64_t now)
{
	double		missing;
	double		wait;

	limiter_refill(lim, now);

	/* sums of fractions of tokens are not exact */
	missing = 1.0 - lim->tokens - 1e-9;
	if (missing <= 0)
		return 0;
	wait = missing / limiter_per_ms(lim->per_minute);
	return (int64_t) wait + (wait > (double) (int64_t) wait ? 1 : 0);
}

/* Take one request out of the bucket. */
void
pcapi_limiter_take(PcapiLimiter *lim, int64_t now)
{
	limiter_refill(lim, now);
	lim->tokens -= 1.0;
}
