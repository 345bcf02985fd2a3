/*
 * sha256.h
 *	  Hash with SHA-256, and write hexadecimal digits.
 */
#ifndef PCAPI_SHA256_H
#define PCAPI_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#define PCAPI_HEX_LEN		64	/* a SHA-256 in hex, without the NUL */

/* Hash; false: OpenSSL has no SHA-256, or no memory. */
extern bool pcapi_sha256(const void *data, size_t len, unsigned char digest[32]);

/* Write 2 * len hexadecimal digits in lower case, and a NUL. */
extern void pcapi_hex(const unsigned char *data, size_t len, char *out);

/* Is it 64 hexadecimal digits, in any case? */
extern bool pcapi_is_sha256_hex(const char *s, size_t len);

#endif							/* PCAPI_SHA256_H */
