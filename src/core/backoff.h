/*
 * backoff.h
 *	  How long to wait after a failed attempt.
 */
#ifndef PCAPI_BACKOFF_H
#define PCAPI_BACKOFF_H

#include <stdint.h>

#define PCAPI_BACKOFF_MIN_MS	1000
#define PCAPI_BACKOFF_MAX_MS	(15 * 60 * 1000)

/*
 * Return the wait after so many failed attempts, with full jitter: uniform
 * between 0.5 s and a ceiling of 1 s * 2^(attempts - 1), at most 15 min.  random
 * is any 64 random bits.
 */
extern int64_t pcapi_backoff_ms(int attempts, uint64_t random);

#endif							/* PCAPI_BACKOFF_H */
