/*
 * fuzz_pii.c
 *	  Search any bytes as free text.
 */
#include "check.h"
#include "core/pii.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char address[] = "\n<jane@shop.example>";
	const char *found = pcapi_pii_find((const char *) data, size);
	char	   *text = malloc(size + sizeof(address));

	CHECK(found == NULL || found[0] == 'a');
	/* fewer kinds are searched for in an id */
	CHECK(found != NULL || pcapi_pii_find_in_id((const char *) data, size) == NULL);

	/* an address on a line of its own is found after any text */
	memcpy(text, data, size);
	memcpy(text + size, address, sizeof(address));
	found = pcapi_pii_find(text, size + sizeof(address) - 1);
	CHECK(found != NULL);
	free(text);
	return 0;
}
