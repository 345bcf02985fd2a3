/*
 * suppression.c
 *	  People who were forgotten, by visitor and by identifier.
 *
 * forget.c fills the table _suppression; here it is asked.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "core/sha256.h"
#include "executor/spi.h"
#include "track/settings_cache.h"
#include "track/suppression.h"
#include "track/user_data_key.h"
#include "track/visitor.h"
#include "utils/array.h"
#include "utils/snapmgr.h"

/* Add an identifier, unless it is NULL. */
static void
add_identifier(PcapiPerson *person, const char *key, const char *value)
{
	if (value == NULL)
		return;
	person->keys = lappend(person->keys, unconstify(char *, key));
	person->values = lappend(person->values, unconstify(char *, value));
}

void
pcapi_person_add(PcapiPerson *person, const unsigned char *visitor, const PcapiIdentifiers *ids)
{
	if (visitor)
		person->visitors = lappend(person->visitors, unconstify(unsigned char *, visitor));
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];
		ListCell   *lc;

		if (!field->identifies)
			continue;
		if (key >= PCAPI_KINDS)
			add_identifier(person, field->name, ids->texts[key]);
		else
			foreach(lc, ids->hashes[key])
				add_identifier(person, field->name, lfirst(lc));
	}
}

/* Hash a value with its key, so that one person's visitor id is not another's external_id. */
static Datum
suppression_hash(const char *key, const char *value)
{
	unsigned char digest[32];

	pcapi_visitor_hash(psprintf("%s:%s", key, value), digest);
	return pcapi_visitor_datum(digest);
}

Datum
pcapi_person_hashes(const PcapiPerson *person)
{
	Datum	   *hashes = palloc(sizeof(Datum) *
								(list_length(person->visitors) + list_length(person->keys) + 1));
	int			n = 0;
	ListCell   *lc;
	ListCell   *lv;

	foreach(lc, person->visitors)
	{
		char		hex[PCAPI_HEX_LEN + 1];

		pcapi_hex(lfirst(lc), 32, hex);
		hashes[n++] = suppression_hash("visitor", hex);
	}
	forboth(lc, person->keys, lv, person->values)
		hashes[n++] = suppression_hash(lfirst(lc), lfirst(lv));
	return PointerGetDatum(construct_array(hashes, n, BYTEAOID, -1, false, TYPALIGN_INT));
}

/*
 * Read with the newest snapshot, as the settings are: a transaction that began
 * before forget() was called respects it too.
 */
bool
pcapi_is_suppressed(const unsigned char *visitor, const PcapiIdentifiers *ids)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {BYTEAARRAYOID};
	Datum		values[1];
	PcapiPerson person = {0};
	bool		found;

	pcapi_person_add(&person, visitor, ids);
	values[0] = pcapi_person_hashes(&person);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT FROM pinterest_capi._suppression AS s"
							 " WHERE s.hash OPERATOR(pg_catalog.=) ANY ($1)",
							 1, types),
				  values, NULL, true, 1);
	found = (SPI_processed > 0);
	PopActiveSnapshot();
	SPI_finish();
	return found;
}

bool
pcapi_call_is_suppressed(PcapiSettings *settings, const unsigned char *visitor, const PcapiIdentifiers *ids)
{
	PcapiIdentifiers every_form;

	if (!pcapi_any_suppression(settings))
		return false;
	if (ids->national == NIL)
		return pcapi_is_suppressed(visitor, ids);
	every_form = *ids;
	every_form.hashes[PCAPI_PH] = list_copy(ids->hashes[PCAPI_PH]);
	pcapi_hash_national_anywhere(&every_form, settings);
	return pcapi_is_suppressed(visitor, &every_form);
}
