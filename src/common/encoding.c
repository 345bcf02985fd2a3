/*
 * encoding.c
 *	  Convert between the database's encoding and UTF-8 without raising an error.
 *
 * The server's own conversion raises an error that quotes bytes, which may be
 * somebody's name.  Also, one bad row must not stop a whole queue.
 */
#include "pinterest_capi.h"

#include "catalog/namespace.h"
#include "common/encoding.h"
#include "core/normalize.h"
#include "core/text.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

/* Convert a string.  Return NULL if a character has no counterpart in the other encoding. */
static char *
convert(const char *s, size_t len, int from, int to, size_t *outlen)
{
	Oid			proc;
	char	   *out;
	size_t		room;

	if (len > MaxAllocSize / MAX_CONVERSION_GROWTH - 1)
		return NULL;
	proc = FindDefaultConversionProc(from, to);
	if (!OidIsValid(proc))
		return NULL;
	room = len * MAX_CONVERSION_GROWTH + 1;
	out = palloc(room);
	if (pg_do_encoding_conversion_buf(proc, from, to, (unsigned char *) s, (int) len,
									  (unsigned char *) out, (int) room, true) != (int) len)
	{
		pfree(out);
		return NULL;
	}
	*outlen = strlen(out);
	return out;
}

/*
 * Return s itself if there is nothing to convert.  SQL_ASCII does not tell what
 * its bytes mean: there only valid UTF-8 passes.
 */
char *
pcapi_to_utf8(const char *s, size_t len, size_t *outlen)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
		return convert(s, len, encoding, PG_UTF8, outlen);
	if (encoding == PG_SQL_ASCII && !pcapi_utf8_valid(s, len))
		return NULL;
	*outlen = len;
	return unconstify(char *, s);
}

/* Return a copy in any case. */
char *
pcapi_from_utf8(const char *s, size_t len)
{
	int			encoding = GetDatabaseEncoding();

	if (!pcapi_utf8_valid(s, len))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(s, len);
	return convert(s, len, PG_UTF8, encoding, &len);
}

/*
 * Names of events are compared folded by utf8proc and not by lower(), whose
 * result depends on the locale: in a Turkish database SIGNUP would not be signup.
 */
char *
pcapi_fold_name(const char *name)
{
	size_t		len;
	char	   *utf8 = pcapi_to_utf8(name, strlen(name), &len);
	char	   *folded = utf8 ? pcapi_fold(utf8, len) : NULL;
	char	   *result = folded ? pcapi_from_utf8(folded, strlen(folded)) : NULL;

	free(folded);
	if (result == NULL)
	{
		/* The name or its folded form has no counterpart: fold ASCII, the same in all encodings. */
		result = pstrdup(name);
		for (char *c = result; *c; c++)
			*c = (char) pg_ascii_tolower((unsigned char) *c);
	}
	return result;
}
