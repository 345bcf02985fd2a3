/*
 * event_id.c
 *	  Make an event_id, or check one that was given.
 */
#include "pinterest_capi.h"

#include "common/encoding.h"
#include "common/spi.h"
#include "common/unix_time.h"
#include "core/pii.h"
#include "core/sha256.h"
#include "fmgr.h"
#include "queue/event_id.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * A call for random bytes costs more than the bytes, so a session asks for those of 64
 * ids at once.
 */
void
pcapi_random_bytes(unsigned char *to, size_t len)
{
	static unsigned char pool[640];
	static size_t used = sizeof(pool);

	if (used + len > sizeof(pool))
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values"),
					 errhint("Check the server's source of randomness: OpenSSL's, or /dev/urandom."),
					 pcapi_errhide()));
		used = 0;
	}
	memcpy(to, pool + used, len);
	used += len;
}

/*
 * A UUID of version 7 (RFC 9562, section 5.7): 48 bits of Unix time in ms, so that ids
 * made one after the other stay together in the index, and 74 random bits.
 */
char *
pcapi_make_event_id(TimestampTz now)
{
	unsigned char raw[16];
	char		hex[33];
	uint64		ms = (uint64) pcapi_unix_us(now) / 1000;

	pcapi_random_bytes(raw + 6, 10);
	for (int i = 0; i < 6; i++)
		raw[i] = (unsigned char) (ms >> (8 * (5 - i)));
	raw[6] = (raw[6] & 0x0F) | 0x70;
	raw[8] = (raw[8] & 0x3F) | 0x80;
	pcapi_hex(raw, sizeof(raw), hex);
	return psprintf("%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Return why an id cannot be stored as it is, or NULL. */
static const char *
not_storable(const char *given, size_t len)
{
	size_t		utf8_len;
	char	   *utf8;
	const char *found;

	if (len > PCAPI_EVENT_ID_MAX)
		return "longer than 200 bytes, its SHA-256 stands in";
	utf8 = pcapi_to_utf8(given, len, &utf8_len);
	if (utf8 == NULL)
		return "not valid in UTF-8, its SHA-256 stands in";
	/* no address is without these; other personal data is not searched for, as most ids that look like it are ids */
	if (memchr(utf8, '@', utf8_len) == NULL && memchr(utf8, '%', utf8_len) == NULL)
		return NULL;
	found = pcapi_pii_find_in_id(utf8, utf8_len);
	return found && strcmp(found, "an e-mail address") == 0 ?
		"looks like an e-mail address, its SHA-256 stands in" : NULL;
}

char *
pcapi_stored_event_id(char *given, const char **why)
{
	size_t		len = strlen(given);
	unsigned char digest[32];
	char	   *hex;

	*why = not_storable(given, len);
	if (*why == NULL)
		return given;
	if (!pcapi_sha256(given, len, digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a SHA-256"),
				 errhint("Check the configuration of the server's OpenSSL: SHA-256 must be among what it provides."),
				 pcapi_errhide()));
	hex = palloc(PCAPI_HEX_LEN + 1);
	pcapi_hex(digest, sizeof(digest), hex);
	return hex;
}

bool
pcapi_event_exists(const char *event_id, const char *event_name, int dest)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, TEXTOID, INT4OID};
	Datum		values[3];
	bool		found;

	values[0] = CStringGetTextDatum(event_id);
	values[1] = CStringGetTextDatum(event_name);
	values[2] = Int32GetDatum(dest);
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan, "SELECT FROM pinterest_capi._event"
							 " WHERE event_id OPERATOR(pg_catalog.=) $1 AND event_name OPERATOR(pg_catalog.=) $2"
							 " AND dest OPERATOR(pg_catalog.=) $3", 3, types),
				  values, NULL, true, 1);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/* _new_event_id(), for replay's statement */
PG_FUNCTION_INFO_V1(pcapi_sql_new_event_id);
Datum
pcapi_sql_new_event_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(pcapi_make_event_id(GetCurrentTimestamp())));
}
