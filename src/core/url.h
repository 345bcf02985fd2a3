/*
 * url.h
 *	  Read click ids from URLs and cookies, and reduce URLs to the parts that may
 *	  be sent.
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

/* Return the click id in a URL, malloc'd and percent-decoded ('+' stays), or NULL. */
extern char *pcapi_epik_from_url(const char *url, size_t len);

/* The same from the value of the cookie _epik, or from a whole Cookie header. */
extern char *pcapi_epik_from_cookie(const char *cookie, size_t len);

/*
 * Return the parts of a page's URL that may be sent, malloc'd: no user info, query
 * or fragment, and no path that looks like personal data.  Return NULL if nothing
 * usable remains.  *warning tells why; it is NULL with PCAPI_URL_NONE.
 */
extern char *pcapi_scrub_url(const char *url, size_t len, PcapiUrlDetail detail,
							 const char **warning);

/*
 * May api_url be this?  It must be https, or http to localhost, 127.0.0.0/8 or
 * [::1], without user info, query and fragment.
 */
extern bool pcapi_api_url_ok(const char *url);

#endif							/* PCAPI_URL_H */
