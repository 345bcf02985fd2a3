/*
 * egress.h
 *	  Read the settings proxy and ca_file for each request, check them and
 *	  give them to libcurl.
 */
#ifndef PCAPI_EGRESS_H
#define PCAPI_EGRESS_H

#include "pinterest_capi.h"

/* The proxy and the authorities of one request. */
typedef struct PcapiEgress
{
	char	   *proxy;			/* may hold a password; not to be logged */
	char	   *authorities;	/* PEM, or NULL: the system's */
	size_t		authorities_len;
	char	   *problem;		/* or NULL */
} PcapiEgress;

/* Read both settings; false: one can't be used, and problem tells why. */
extern bool pcapi_egress_read(PcapiEgress *egress);

/* Give the settings to libcurl; false: it refuses one. */
extern bool pcapi_egress_set(void *easy, const PcapiEgress *egress);

/* Free them, and overwrite the password. */
extern void pcapi_egress_free(PcapiEgress *egress);

/* Remove user info from the URLs in a message, in place. */
extern void pcapi_egress_scrub(char *message);

#endif							/* PCAPI_EGRESS_H */
