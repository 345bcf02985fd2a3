/*
 * egress.h
 *	  Through whom requests leave and whom they trust: the settings proxy and ca_file, checked and read for each request.
 */
#ifndef PCAPI_EGRESS_H
#define PCAPI_EGRESS_H

#include "pinterest_capi.h"

typedef struct PcapiEgress
{
	char	   *proxy;			/* may hold a password; not to be logged */
	char	   *authorities;	/* PEM, or NULL: the system's */
	size_t		authorities_len;
	char	   *problem;		/* or NULL */
} PcapiEgress;

extern bool pcapi_egress_read(PcapiEgress *egress);
extern bool pcapi_egress_set(void *easy, const PcapiEgress *egress);
extern void pcapi_egress_free(PcapiEgress *egress);
extern void pcapi_egress_scrub(char *message);

#endif							/* PCAPI_EGRESS_H */
