/*
 * forget.c
 *	  forget(): erase a person's visitors and events, and suppress the person.
 *
 * The events are erased in queue/erase.c.  Later calls ask suppression.c.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_insert.h"
#include "core/normalize.h"
#include "fmgr.h"
#include "queue/erase.h"
#include "track/call.h"
#include "track/forget.h"
#include "track/settings_cache.h"
#include "track/suppression.h"
#include "track/user_data.h"
#include "track/user_data_json.h"
#include "track/user_data_key.h"
#include "track/visitor.h"
#include "track/warning.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define VISITORS_AT_ONCE	1000

/* Return digests as bytea[]. */
static Datum
digest_array(List *digests)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(digests), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, digests)
		elems[n++] = pcapi_visitor_datum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, BYTEAOID, -1, false, TYPALIGN_INT));
}

/* Add the identifiers of a deleted visitor to the person: its user_data or null, and its click ids. */
static void
add_stored_identifiers(PcapiPerson *person, uint64 row)
{
	PcapiIdentifiers stored = {0};
	bool		isnull;
	Datum		user_data = pcapi_result_datum(row, pcapi_result_column("user_data"), &isnull);
	Datum	   *clicks;
	int			n;

	if (!isnull)
		pcapi_identifiers_add_stored(&stored, DatumGetJsonbPCopy(user_data));
	pcapi_person_add(person, NULL, &stored);
	deconstruct_array(DatumGetArrayTypeP(pcapi_result_datum(row, pcapi_result_column("click_ids"), &isnull)), TEXTOID, -1, false, TYPALIGN_INT,
					  &clicks, NULL, &n);
	memset(&stored, 0, sizeof(stored));
	for (int i = 0; i < n; i++)
	{
		stored.texts[PCAPI_CLICK_ID] = TextDatumGetCString(clicks[i]);
		pcapi_person_add(person, NULL, &stored);
	}
}

/*
 * Delete the visitors who are the person or share an identifier with it, with all
 * their rows, and add them to the person.  Return the number of visitors.  Many may
 * share an identifier: the cursor's result is kept on disk by the server.
 */
static int64
delete_visitors(PcapiPerson *person, bool with_identifiers)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLOID};
	Datum		values[4];
	MemoryContext context = CurrentMemoryContext;
	Portal		cursor;
	uint64		few;
	int64		n = 0;

	values[0] = digest_array(person->visitors);
	values[1] = pcapi_text_array(person->keys);
	values[2] = pcapi_text_array(person->values);
	values[3] = BoolGetDatum(with_identifiers);
	SPI_connect();
	cursor = SPI_cursor_open(NULL,
							 pcapi_plan(&plan,
										"WITH named AS ("
										" SELECT DISTINCT substr(v.visitor, 1, 32) AS digest FROM pinterest_capi._visitor AS v"
										" WHERE" PCAPI_VISITOR_OF("$1", "$2", "$3")
										"), gone AS ("
										" DELETE FROM pinterest_capi._visitor AS v USING named"
										" WHERE substr(v.visitor, 1, 32) = named.digest"
										" RETURNING v.visitor, named.digest, v.user_data, v.click_id"
										") SELECT digest, (array_agg(user_data) FILTER (WHERE $4 AND visitor = digest))[1] AS user_data,"
										" coalesce(array_agg(click_id) FILTER (WHERE $4 AND click_id IS NOT NULL), '{}') AS click_ids"
										" FROM gone GROUP BY digest ORDER BY digest",
										4, types),
							 values, NULL, false);
	do
	{
		SPI_cursor_fetch(cursor, true, VISITORS_AT_ONCE);
		few = SPI_processed;
		for (uint64 i = 0; i < few; i++)
		{
			bool		isnull;
			MemoryContext old = MemoryContextSwitchTo(context);
			bytea	   *digest = DatumGetByteaPCopy(pcapi_result_datum(i, pcapi_result_column("digest"), &isnull));

			if (VARSIZE_ANY_EXHDR(digest) == 32)
				person->visitors = lappend(person->visitors, VARDATA_ANY(digest));
			if (with_identifiers)
				add_stored_identifiers(person, i);
			MemoryContextSwitchTo(old);
		}
		n += (int64) few;
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	} while (few > 0);
	SPI_cursor_close(cursor);
	SPI_finish();
	return n;
}

/* Insert the person's hashes into _suppression, ordered, so that two calls can't deadlock. */
static void
suppress(const PcapiPerson *person)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {BYTEAARRAYOID};
	Datum		values[1] = {pcapi_person_hashes(person)};

	SPI_connect();
	(void) pcapi_execute_upsert(PCAPI_TABLE_SUPPRESSION,
								pcapi_plan(&plan,
										   "INSERT INTO pinterest_capi._suppression (hash, created_at)"
										   " SELECT n.h, clock_timestamp() FROM (SELECT DISTINCT h FROM unnest($1) AS h) AS n"
										   " ORDER BY n.h ON CONFLICT (hash) DO NOTHING",
										   1, types),
								values, NULL);
	SPI_finish();
}

/*
 * The stored identifiers of the visitors that the call names, or that have an
 * identifier it names, are the person's.  Visitors that share one of those are the
 * same person's other browsers and are deleted too, but their other identifiers are
 * not added: over an identifier that many share by mistake, such as an external_id
 * of "guest", that would have no end.
 */
int64
pcapi_forget(unsigned char *visitor, Jsonb *user_data, bool hashed, List **warnings)
{
	PcapiIdentifiers ids;
	PcapiPerson person = {0};
	PcapiErasure erasure;
	FullTransactionId oldest;
	PcapiUserContext saved;
	int64		rows;

	pcapi_identifiers_from_jsonb(&ids, user_data, hashed, warnings);
	if (ids.national != NIL)
	{
		pcapi_switch_to_owner(&saved, true);
		(void) pcapi_known_country(&ids);
		pcapi_hash_national_anywhere(&ids, pcapi_settings());
		pcapi_restore_user(&saved);
		if (ids.hashes[PCAPI_PH] == NIL)
			*warnings = lappend(*warnings, "phone: not a phone number");
	}
	pcapi_person_add(&person, visitor, &ids);
	if (person.visitors == NIL && person.keys == NIL)
		return -1;

	pcapi_switch_to_owner(&saved, true);
	oldest = pcapi_erasure_begin();
	rows = delete_visitors(&person, true);
	rows += delete_visitors(&person, false);
	suppress(&person);
	erasure.visitors = digest_array(person.visitors);
	erasure.keys = pcapi_text_array(person.keys);
	erasure.values = pcapi_text_array(person.values);
	rows += pcapi_erase_events(&erasure, oldest);
	pcapi_erasure_record(&erasure, oldest);
	pcapi_restore_user(&saved);
	return rows;
}

PG_FUNCTION_INFO_V1(pcapi_sql_forget);
Datum
pcapi_sql_forget(PG_FUNCTION_ARGS)
{
	char	   *visitor_id = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *user_data = pcapi_object_arg(fcinfo, 1, "user_data");
	bool		has_visitor = visitor_id != NULL && visitor_id[0] != '\0';
	unsigned char visitor[32];
	List	   *warnings = NIL;
	int64		rows;

	pcapi_check_writable("forget()");
	if (has_visitor)
		pcapi_visitor_hash(visitor_id, visitor);
	rows = pcapi_forget(has_visitor ? visitor : NULL, user_data, false, &warnings);
	if (rows < 0)
		pcapi_error_invalid_parameter(("forget() needs a visitor_id or an identifier in user_data"),
									  ("Identifiers are %s.", pcapi_identifying_keys()));
	pcapi_show_warnings(warnings);
	PG_RETURN_INT64(rows);
}
