/*
 * identifier_sql.c
 *	  SQL functions that show how an identifier is normalised and hashed.
 *
 * The rules are in src/core; this file converts between the database's encoding and
 * UTF-8.  No message quotes a value, which is personal data.  So the server's own
 * conversion error, which quotes bytes, must not be raised.
 */
#include "pinterest_capi.h"

#include "common/encoding.h"
#include "core/normalize.h"
#include "core/normalize_place.h"
#include "core/sha256.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(pcapi_sql_normalize_identifier);
PG_FUNCTION_INFO_V1(pcapi_sql_hash_identifier);

/* Return a parameter as UTF-8, or NULL if it is null or can be no identifier. */
static char *
utf8_argument(FunctionCallInfo fcinfo, int n, size_t *len)
{
	char	   *raw;
	size_t		raw_len;

	if (PG_ARGISNULL(n))
		return NULL;
	raw = text_to_cstring(PG_GETARG_TEXT_PP(n));
	raw_len = strlen(raw);

	/* GB18030 may take twice UTF-8's bytes; this only bounds the conversion */
	if (raw_len > PCAPI_MAX_IDENTIFIER * MAX_CONVERSION_GROWTH)
		return NULL;
	return pcapi_to_utf8(raw, raw_len, len);
}

/*
 * Read the parameters of either function.  False: the value can't be used.  The country
 * is empty if it is not given, null or unknown.  The date of today is not set: an
 * immutable function must not read the clock.
 */
static bool
arguments(FunctionCallInfo fcinfo, PcapiKind *kind, PcapiIdentifierContext *context,
		  char **value, size_t *len)
{
	char	   *name;
	int			found;
	char	   *country;
	size_t		country_len;

	memset(context, 0, sizeof(*context));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return false;
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	found = pcapi_kind_from_name(name, strlen(name));

	if (found < 0)
		pcapi_error_invalid_parameter(("unknown kind of identifier"),
									  ("Kinds are em, ph, ge, db, ln, fn, ct, st, zp, country, external_id and hashed_maids."));
	*kind = (PcapiKind) found;

	if (PG_NARGS() > 2)
	{
		country = utf8_argument(fcinfo, 2, &country_len);
		if (country)
			(void) pcapi_country_code(country, country_len, context->country);
	}
	*value = utf8_argument(fcinfo, 1, len);
	return *value != NULL;
}

/*
 * UTF-8 is what is hashed.  If composing or lower-casing has led to a character that the
 * database's encoding lacks, there is no text to return: a substitute would be another
 * value than the one hashed.  The hash exists all the same.  So this is a warning and not
 * an error, and a query over many rows continues.
 */
Datum
pcapi_sql_normalize_identifier(PG_FUNCTION_ARGS)
{
	PcapiKind	kind;
	PcapiIdentifierContext context;
	char	   *value;
	size_t		len;
	char	   *normalized;
	size_t		normalized_len;
	const char *warning;
	char	   *utf8;
	char	   *result;

	if (!arguments(fcinfo, &kind, &context, &value, &len) ||
		!pcapi_normalize(kind, value, len, &context, &normalized, &normalized_len, &warning))
		PG_RETURN_NULL();

	/* nothing between here and free() may raise an error, or the memory is lost */
	utf8 = MemoryContextAllocExtended(CurrentMemoryContext, normalized_len + 1, MCXT_ALLOC_NO_OOM);
	if (utf8 != NULL)
		memcpy(utf8, normalized, normalized_len + 1);
	free(normalized);
	if (utf8 == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"), pcapi_errhide()));

	result = pcapi_from_utf8(utf8, normalized_len);
	if (result == NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("normalized identifier has no form in the database's encoding"),
				 errhint("Its hash is right: see hash_identifier."),
				 pcapi_errhide()));
		PG_RETURN_NULL();
	}
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

Datum
pcapi_sql_hash_identifier(PG_FUNCTION_ARGS)
{
	PcapiKind	kind;
	PcapiIdentifierContext context;
	char	   *value;
	size_t		len;
	char		hex[PCAPI_HEX_LEN + 1];
	const char *warning;

	if (!arguments(fcinfo, &kind, &context, &value, &len) ||
		!pcapi_hash_identifier(kind, value, len, &context, hex, &warning))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, PCAPI_HEX_LEN));
}
