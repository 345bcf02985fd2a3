/*
 * secret.c
 *	  The stored access token's two halves.
 *
 * A token is stored as a random pad and the token XORed with it, in two columns,
 * so that neither column shows the token by itself.
 */
#include "pinterest_capi.h"

#include "common/secret.h"

/* XOR is its own inverse: the same call masks and unmasks. */
void
pcapi_xor(char *data, const char *pad, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] ^= pad[i];
}
