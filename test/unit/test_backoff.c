/*
 * test_backoff.c
 *	  Backoff: bounds and spread.  Rate limiter: requests under a simulated clock.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "core/backoff.h"
#include "core/rate_limiter.h"
#include "tap.h"

/* Return a random number by xorshift64* (Vigna, 2014); the fixed seed makes failures repeatable. */
static uint64_t
next_random(void)
{
	static uint64_t state = 88172645463325252U;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 2685821657736338717U;
}

/* Draw waits for each number of attempts: within bounds, over the whole range, evenly. */
static void
test_backoff(void)
{
	static const int attempts[] = {INT_MIN, 0, 1, 2, 3, 5, 10, 11, 30, 63, 64, 65, 1000, INT_MAX};

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
	{
		int			n = attempts[i];
		int64_t		ceiling = n <= 1 ? 1000 : n > 10 ? PCAPI_BACKOFF_MAX_MS :
			(int64_t) 1000 << (n - 1);
		int64_t		lowest = INT64_MAX;
		int64_t		highest = 0;
		double		sum = 0;

		if (ceiling > PCAPI_BACKOFF_MAX_MS)
			ceiling = PCAPI_BACKOFF_MAX_MS;
		for (int k = 0; k < 10000; k++)
		{
			int64_t		ms = pcapi_backoff_ms(n, next_random());

			lowest = ms < lowest ? ms : lowest;
			highest = ms > highest ? ms : highest;
			sum += (double) ms;
		}
		tap_ok(lowest >= 500 && highest <= ceiling, "attempt %d: %" PRId64 " to %" PRId64
			   " ms are within bounds", n, lowest, highest);
		tap_ok(lowest < 500 + (ceiling - 500) / 20 && highest > ceiling - (ceiling - 500) / 20,
			   "attempt %d: the whole range is used", n);
		tap_ok(sum / 10000 > 500 + (double) (ceiling - 500) * 0.48 &&
			   sum / 10000 < 500 + (double) (ceiling - 500) * 0.52, "attempt %d: evenly", n);
	}
	tap_ok(pcapi_backoff_ms(1, 0) == 500 && pcapi_backoff_ms(1, 500) == 1000, "the ends are reached");
}

/* Send whenever the limiter allows it for so long; return how many, and in *most how many within any minute. */
static int
simulate(PcapiLimiter *lim, int64_t start, int64_t ms, int *most)
{
	static int64_t sent[60000];
	int			n = 0;
	int			first = 0;

	*most = 0;
	for (int64_t now = start; now < start + ms;)
	{
		int64_t		wait = pcapi_limiter_wait(lim, now);

		if (wait > 0)
		{
			now += wait;
			continue;
		}
		pcapi_limiter_take(lim, now);
		sent[n++] = now;
		while (sent[first] <= now - 60000)
			first++;
		if (n - first > *most)
			*most = n - first;
		if (n == sizeof(sent) / sizeof(sent[0]))
			break;
	}
	return n;
}

/* Two minutes at each limit: the limit is used, and never exceeded. */
static void
test_limiter(void)
{
	static const int limits[] = {1, 2, 10, 60, 199, 200, 1000, 5000, 20000};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		PcapiLimiter lim = {0};
		int			limit = limits[i];
		int			most;
		int			n;

		pcapi_limiter_set(&lim, limit, 1000000);
		n = simulate(&lim, 1000000, 120000, &most);
		tap_ok(n <= 2 * limit && n >= 2 * limit * 0.98 - 1, "%d a minute: %d in two minutes", limit, n);
		tap_ok(most <= limit, "%d a minute: at most %d in any minute", limit, most);
	}
}

/* Change the limit and the clock. */
static void
test_limiter_changes(void)
{
	PcapiLimiter lim = {0};
	int64_t		now = 5000;
	int			n = 0;

	pcapi_limiter_set(&lim, 5000, now);
	while (n < 1000 && pcapi_limiter_wait(&lim, now) == 0)
	{
		pcapi_limiter_take(&lim, now);
		n++;
	}
	tap_ok(n == 50, "a burst is a hundredth of the limit: %d", n);
	pcapi_limiter_set(&lim, 5000, now);
	tap_ok(pcapi_limiter_wait(&lim, now) > 0, "setting the same limit again refills nothing");
	pcapi_limiter_set(&lim, 6000, now);
	tap_ok(pcapi_limiter_wait(&lim, now) > 0, "nor does another one");

	tap_ok(pcapi_limiter_wait(&lim, now - 100000) > 0, "a clock that goes back gives nothing");
	now += 24 * 60 * 60 * 1000;
	for (n = 0; n < 1000 && pcapi_limiter_wait(&lim, now) == 0; n++)
		pcapi_limiter_take(&lim, now);
	tap_ok(n == 60, "a day of silence saves up one burst: %d", n);

	pcapi_limiter_set(&lim, 1, now + 60000);
	tap_ok(pcapi_limiter_wait(&lim, now + 60000) == 0, "a lower limit keeps what it may hold");
	pcapi_limiter_take(&lim, now + 60000);
	tap_ok(pcapi_limiter_wait(&lim, now + 60000) == 60000, "and then waits by the new rate");
	tap_ok(pcapi_limiter_wait(&lim, now + 120000) == 0, "no longer than it said");

	pcapi_limiter_set(&lim, 0, now + 120000);
	tap_ok(lim.per_minute == 1, "a limit is at least one");
}

int
main(void)
{
	test_backoff();
	test_limiter();
	test_limiter_changes();
	return tap_done();
}
