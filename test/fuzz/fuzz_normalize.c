/*
 * fuzz_normalize.c
 *	  Normalise any bytes as any kind of identifier.  The first byte selects the
 *	  kind; if its highest bit is set, the next two bytes are a country.
 */
#include "check.h"
#include "core/normalize.h"
#include "core/normalize_place.h"
#include "core/sha256.h"
#include "core/text.h"

static const char *const without_warning = "";

/* Check that normalising the result again changes nothing.  A normalised phone number has its calling code, so no country. */
static void
check_stable(PcapiKind kind, const char *value, size_t len, const PcapiIdentifierContext *context)
{
	char	   *again;
	size_t		again_len;
	const char *warning;

	CHECK(pcapi_normalize(kind, value, len, context, &again, &again_len, &warning));
	CHECK(again_len == len && memcmp(again, value, len) == 0);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PcapiKind	kind;
	PcapiIdentifierContext context = {{0}, 0};
	const char *raw;
	char	   *value;
	size_t		len;
	const char *warning = without_warning;
	const char *hash_warning = without_warning;
	char		hex[PCAPI_HEX_LEN + 1];
	bool		ok;

	if (size == 0)
		return 0;
	kind = (PcapiKind) (data[0] % 128 % PCAPI_KINDS);
	raw = (const char *) data + 1;
	size--;
	if (data[0] >= 128 && size >= 2)
	{
		(void) pcapi_country_code(raw, 2, context.country);
		raw += 2;
		size -= 2;
	}

	ok = pcapi_normalize(kind, raw, size, &context, &value, &len, &warning);
	CHECK(warning != without_warning);
	CHECK(ok == (value != NULL));
	CHECK(pcapi_hash_identifier(kind, raw, size, &context, hex, &hash_warning) == ok);
	CHECK(warning == hash_warning || strcmp(warning, hash_warning) == 0);
	if (!ok)
	{
		CHECK(hex[0] == '\0');
		return 0;
	}

	CHECK(len > 0 && value[len] == '\0' && strlen(value) == len);
	CHECK(pcapi_utf8_valid(value, len));
	CHECK(strlen(hex) == PCAPI_HEX_LEN && pcapi_is_sha256_hex(hex, PCAPI_HEX_LEN));
	if (pcapi_is_sha256_hex(value, len))
		CHECK(strcmp(hex, value) == 0);
	else if (kind == PCAPI_PH)
		CHECK(len >= 7 && len <= 15 && strspn(value, "0123456789") == len);
	else if (kind == PCAPI_DB)
		CHECK(len == 8 && strspn(value, "0123456789") == len);
	else if (kind == PCAPI_GE)
		CHECK(len == 1 && strchr("fmn", value[0]) != NULL);

	/* a value may grow beyond the limit */
	if (len <= PCAPI_MAX_IDENTIFIER)
		check_stable(kind, value, len, kind == PCAPI_PH ? NULL : &context);
	free(value);
	return 0;
}
