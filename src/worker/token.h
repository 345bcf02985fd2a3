/*
 * token.h
 *	  Read the access token of a request, from the destination or from a file.
 */
#ifndef PCAPI_TOKEN_H
#define PCAPI_TOKEN_H

#include "pinterest_capi.h"

#include "queue/destination_config.h"

/* Return the destination's token, or NULL and *problem.  palloc'd. */
extern char *pcapi_read_token(const PcapiDestinationConfig *config, char **problem);

#endif							/* PCAPI_TOKEN_H */
