/*
 * secret.h
 *	  The stored access token's two halves.
 */
#ifndef PCAPI_SECRET_H
#define PCAPI_SECRET_H

#include "pinterest_capi.h"

/* XOR data with pad in place: mask the token, or unmask it. */
extern void pcapi_xor(char *data, const char *pad, size_t len);

#endif							/* PCAPI_SECRET_H */
