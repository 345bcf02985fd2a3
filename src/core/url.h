/*
 * url.h
 *	  Click ids out of URLs and cookies, and what of a URL may leave.
 */
#ifndef PCAPI_URL_H
#define PCAPI_URL_H

#include <stdbool.h>
#include <stddef.h>

typedef enum PcapiUrlDetail
{
	PCAPI_URL_PATH,				/* scheme, host, port, path */
	PCAPI_URL_DOMAIN,			/* scheme, host, port */
	PCAPI_URL_NONE
} PcapiUrlDetail;

/* malloc'd, percent-decoded ('+' stays); NULL when there is none */
extern char *pcapi_epik_from_url(const char *url, size_t len);

/* from the value of the _epik cookie itself, or a whole Cookie header */
extern char *pcapi_epik_from_cookie(const char *cookie, size_t len);

/*
 * What may leave of a page's URL: no user info, query or fragment, and no path
 * that looks like personal data.  malloc'd; NULL where nothing usable is left.
 * *warning says what was wrong, nothing with PCAPI_URL_NONE.
 */
extern char *pcapi_scrub_url(const char *url, size_t len, PcapiUrlDetail detail,
							 const char **warning);

/* https, or http towards localhost, 127.0.0.0/8 or [::1]; no user info, query, fragment */
extern bool pcapi_api_url_ok(const char *url);

#endif							/* PCAPI_URL_H */
