/*
 * backoff.c
 *	  How long to wait: after a failure, at a server's request, for a limit.
 *
 * Clocks and random numbers are the caller's, which makes all of it testable.
 */
#include "core/backoff.h"

#include <curl/curl.h>
#include <string.h>

#include "core/text.h"

#define RETRY_AFTER_MAX		(24 * 60 * 60)
#define HTTP_DATE_MAX		64	/* the longest form has about 40 */

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

/* curl_getdate reads more than HTTP's three forms; all of those begin with a weekday and have a time of day. */
int64_t
pcapi_http_date(const char *value, size_t len)
{
	char		date[HTTP_DATE_MAX + 1];
	int64_t		seconds;

	if (len == 0 || len > HTTP_DATE_MAX || !pcapi_ascii_alpha(value[0]) ||
		memchr(value, ':', len) == NULL)
		return -1;
	memcpy(date, value, len);
	date[len] = '\0';
	seconds = (int64_t) curl_getdate(date, NULL);
	return seconds < 0 ? -1 : seconds;
}

int64_t
pcapi_retry_after(const char *value, int64_t now)
{
	size_t		len;
	int64_t		then;

	while (*value == ' ' || *value == '\t')
		value++;
	len = strcspn(value, "\r\n");
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (len == 0)
		return -1;

	if (strspn(value, "0123456789") >= len)
	{
		int64_t		seconds = 0;

		for (size_t i = 0; i < len && seconds < RETRY_AFTER_MAX; i++)
			seconds = seconds * 10 + (value[i] - '0');
		return seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX;
	}

	then = pcapi_http_date(value, len);
	if (then < 0)
		return -1;
	if (then <= now)
		return 0;
	return then - now < RETRY_AFTER_MAX ? then - now : RETRY_AFTER_MAX;
}
