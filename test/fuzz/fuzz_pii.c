/*
 * fuzz_pii.c
 *	  Any bytes as free text.
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
	/* an id is looked at for less */
	CHECK(found != NULL || pcapi_pii_find_in_id((const char *) data, size) == NULL);

	/* whatever stands before, an address on a line of its own is found */
	memcpy(text, data, size);
	memcpy(text + size, address, sizeof(address));
	found = pcapi_pii_find(text, size + sizeof(address) - 1);
	CHECK(found != NULL);
	free(text);
	return 0;
}
