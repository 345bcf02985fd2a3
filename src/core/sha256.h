/*
 * sha256.h
 *	  SHA-256 and hexadecimal digits.
 */
#ifndef PCAPI_SHA256_H
#define PCAPI_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#define PCAPI_HEX_LEN		64	/* a SHA-256 in hex, without the NUL */

/* SHA-256 with one fetched digest and one context per process */
extern bool pcapi_sha256(const void *data, size_t len, unsigned char digest[32]);
extern void pcapi_hex(const unsigned char *data, size_t len, char *out);	/* 2 * len + NUL */
extern bool pcapi_is_sha256_hex(const char *s, size_t len);

#endif							/* PCAPI_SHA256_H */
