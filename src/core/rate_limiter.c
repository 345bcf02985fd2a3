/*
 * rate_limiter.c
 *	  A limiter of requests a minute.
 *
 * The clock is the caller's, so a test can simulate one.
 */
#include "core/rate_limiter.h"

#include <stdbool.h>

/*
 * The bucket holds one hundredth of a minute's requests.  It refills so much
 * more slowly that a full bucket and what flows in during any one minute do
 * not exceed the limit together.  Small ones hold a bit more than one, so that
 * a caller who comes late now and then doesn't lose that time.
 */
static double
limiter_burst(int per_minute)
{
	int			whole = per_minute / 100;

	return per_minute < 200 ? 1 + per_minute / 400.0 : whole;
}

static double
limiter_per_ms(int per_minute)
{
	return (per_minute - (limiter_burst(per_minute) - 1)) / 60000.0;
}

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
 * A limiter that is all zero starts with a full bucket.  Setting the limit it
 * has already changes nothing; a new one keeps what is in the bucket.
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

int64_t
pcapi_limiter_wait(PcapiLimiter *lim, int64_t now)
{
	double		missing;
	double		wait;

	limiter_refill(lim, now);

	/* sums of thousandths of tokens are not exact */
	missing = 1.0 - lim->tokens - 1e-9;
	if (missing <= 0)
		return 0;
	wait = missing / limiter_per_ms(lim->per_minute);
	return (int64_t) wait + (wait > (double) (int64_t) wait ? 1 : 0);
}

void
pcapi_limiter_take(PcapiLimiter *lim, int64_t now)
{
	limiter_refill(lim, now);
	lim->tokens -= 1.0;
}
