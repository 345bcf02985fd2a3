/*
 * backoff.h
 *	  How long to wait: after a failure, at a server's request, for a limit.
 */
#ifndef PCAPI_BACKOFF_H
#define PCAPI_BACKOFF_H

#include <stddef.h>
#include <stdint.h>

#define PCAPI_BACKOFF_MIN_MS	1000
#define PCAPI_BACKOFF_MAX_MS	(15 * 60 * 1000)

/*
 * Full jitter: uniform between min/2 and the ceiling 1 s * 2^(attempts - 1),
 * at most 15 min.  random is any 64 random bits.
 */
extern int64_t pcapi_backoff_ms(int attempts, uint64_t random);

/* Unix time of an HTTP date; -1 when it can't be read */
extern int64_t pcapi_http_date(const char *value, size_t len);

/*
 * Retry-After: seconds from now (Unix time) of a number or an HTTP date, 0 for
 * one in the past, -1 when it can't be read; never more than a day.
 */
extern int64_t pcapi_retry_after(const char *value, int64_t now);

#endif							/* PCAPI_BACKOFF_H */
