/*
 * fuzz_backoff.c
 *	  Compute backoff and run the rate limiter with any numbers and times.
 */
#include "check.h"
#include "core/backoff.h"
#include "core/rate_limiter.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t		numbers[3] = {0};
	int64_t		wait;
	PcapiLimiter lim = {0};

	memcpy(numbers, data, size < sizeof(numbers) ? size : sizeof(numbers));
	wait = pcapi_backoff_ms((int) numbers[0], (uint64_t) numbers[1]);
	CHECK(wait >= PCAPI_BACKOFF_MIN_MS / 2 && wait <= PCAPI_BACKOFF_MAX_MS);

	/* a machine's clock never gets near the ends of 64 bits */
	pcapi_limiter_set(&lim, (int) numbers[0], numbers[1] / 4);
	pcapi_limiter_take(&lim, numbers[1] / 4);
	wait = pcapi_limiter_wait(&lim, numbers[2] / 4);
	CHECK(wait >= 0 && wait <= 60000);
	if (wait > 0)
		CHECK(pcapi_limiter_wait(&lim, numbers[2] / 4 + wait) == 0);
	return 0;
}
