/*
 * secret.h
 *	  The stored access token's two halves.
 */
#ifndef PCAPI_SECRET_H
#define PCAPI_SECRET_H

#include "pinterest_capi.h"

/* the token's two halves; text is masked or unmasked in place by XOR */
extern void pcapi_xor(char *data, const char *pad, size_t len);

#endif							/* PCAPI_SECRET_H */
