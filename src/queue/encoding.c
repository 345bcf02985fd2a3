/*
 * encoding.c
 *	  Between the database's encoding and UTF-8, without raising an error.
 *
 * The server's own conversion raises one that quotes bytes, which may be
 * somebody's name; and one bad row must not stop a whole queue.
 */
#include "pinterest_capi.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

/*
 * Convert without raising an error.  Returns s itself where there is nothing
 * to convert, NULL where some character has no equivalent.  SQL_ASCII says
 * nothing about its bytes: they go as they are, and the rules refuse what is
 * no UTF-8.
 */
char *
pcapi_convert(char *s, int len, int from, int to, int *outlen)
{
	Oid			proc;
	char	   *out;
	Size		size;

	*outlen = len;
	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII || len == 0)
		return s;

	proc = FindDefaultConversionProc(from, to);
	if (!OidIsValid(proc))
		return NULL;

	size = (Size) len * MAX_CONVERSION_GROWTH + 1;
	out = palloc(size);
	if (pg_do_encoding_conversion_buf(proc, from, to, (unsigned char *) s, len,
									  (unsigned char *) out, (int) size, true) != len)
	{
		pfree(out);
		return NULL;
	}
	*outlen = (int) strlen(out);
	return out;
}
