/*
 * sha256.c
 *	  Hash with SHA-256, and write hexadecimal digits.
 *
 * Fetching a digest and creating a context cost more in OpenSSL 3 than hashing
 * an identifier, so a process does both once and keeps them until it exits.
 */
#include "core/sha256.h"

#include <openssl/evp.h>

/* Hash; false: OpenSSL has no SHA-256, or no memory. */
bool
pcapi_sha256(const void *data, size_t len, unsigned char digest[32])
{
	static EVP_MD *md = NULL;
	static EVP_MD_CTX *context = NULL;

	if (md == NULL && (md = EVP_MD_fetch(NULL, "SHA256", NULL)) == NULL)
		return false;
	if (context == NULL && (context = EVP_MD_CTX_new()) == NULL)
		return false;

	return EVP_DigestInit_ex2(context, md, NULL) == 1 &&
		EVP_DigestUpdate(context, data, len) == 1 &&
		EVP_DigestFinal_ex(context, digest, NULL) == 1;
}

/* Write hexadecimal digits in lower case, and a NUL. */
void
pcapi_hex(const unsigned char *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++)
	{
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 0x0F];
	}
	*out = '\0';
}

/* Is it 64 hexadecimal digits, in any case? */
bool
pcapi_is_sha256_hex(const char *s, size_t len)
{
	if (len != PCAPI_HEX_LEN)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = s[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
			  (c >= 'A' && c <= 'F')))
			return false;
	}
	return true;
}
