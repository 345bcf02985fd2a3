/*
 * backoff.c
 *	  How long to wait after a failed attempt.
 *
 * The random number is the caller's, so a test can choose it.  A wait that a
 * server asks for is read in worker/transfer.c.
 */
#include "core/backoff.h"

/* Return the wait after so many failed attempts. */
int64_t
pcapi_backoff_ms(int attempts, uint64_t random)
{
	const int64_t floor_ms = PCAPI_BACKOFF_MIN_MS / 2;
	int64_t		ceiling = PCAPI_BACKOFF_MIN_MS;

	for (int i = 1; i < attempts && ceiling < PCAPI_BACKOFF_MAX_MS; i++)
		ceiling *= 2;
	if (ceiling > PCAPI_BACKOFF_MAX_MS)
		ceiling = PCAPI_BACKOFF_MAX_MS;

	return floor_ms + (int64_t) (random % (uint64_t) (ceiling - floor_ms + 1));
}
