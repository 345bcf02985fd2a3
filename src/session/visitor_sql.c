/*
 * visitor_sql.c
 *	  identify, capture_click and forget.
 *
 * identify() is one statement per visitor, by INSERT ... ON CONFLICT, so that of
 * concurrent calls for one visitor none is lost.  A click id is a row of its
 * own, for which nobody waits (visitor.c).
 */
#include "session/event.h"
#include "session/visitor.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "queue/operate.h"
#include "queue/queue.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

static char *
visitor_arg(FunctionCallInfo fcinfo)
{
	char	   *visitor_id = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (visitor_id == NULL || visitor_id[0] == '\0')
		pcapi_bad_call(("visitor_id must not be null or empty"),
					   ("Give the value by which the application knows the visitor, such as a cookie of its own."));
	return visitor_id;
}

static Jsonb *
object_arg(FunctionCallInfo fcinfo, int n, const char *parameter)
{
	Jsonb	   *value = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	if (value && !JB_ROOT_IS_OBJECT(value))
		pcapi_bad_call(("%s must be a JSON object", parameter),
					   ("For example: {\"key\": \"value\"}."));
	return value;
}

/* A value that can't be used is no reason to fail, but the caller should hear of it. */
static void
tell(List *warnings)
{
	ListCell   *lc;

	foreach(lc, warnings)
		ereport(WARNING, (errmsg("%s", (char *) lfirst(lc)), pcapi_hide()));
}

/* ---- identify ---- */

static void
push_string(PcapiJsonb *state, JsonbIteratorToken token, const char *s)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, s);
	v.val.string.len = strlen(s);
	PcapiJsonbPush(state, token, &v);
}

static void
push_pair(PcapiJsonb *state, const char *key, const char *value)
{
	if (value == NULL)
		return;
	push_string(state, WJB_KEY, key);
	push_string(state, WJB_VALUE, value);
}

static Jsonb *
stored_form(const PcapiIdentifiers *ids, PcapiSettings *settings)
{
	PcapiJsonb	state = {0};

	PcapiJsonbPush(&state, WJB_BEGIN_OBJECT, NULL);
	for (int kind = 0; kind < PCAPI_KINDS; kind++)
	{
		ListCell   *lc;

		if (ids->hashes[kind] == NIL)
			continue;
		push_string(&state, WJB_KEY, pcapi_kind_name((PcapiKind) kind));
		PcapiJsonbPush(&state, WJB_BEGIN_ARRAY, NULL);
		foreach(lc, ids->hashes[kind])
			push_string(&state, WJB_ELEM, lfirst(lc));
		PcapiJsonbPush(&state, WJB_END_ARRAY, NULL);
	}
	push_pair(&state, "partner_id", ids->partner_id);
	if (pcapi_any_ip(settings))
		push_pair(&state, "client_ip_address", ids->ip);
	if (pcapi_any_user_agent(settings))
		push_pair(&state, "client_user_agent", ids->user_agent);
	PcapiJsonbPush(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* what was null, and what no destination sends any more */
static Datum
cleared_keys(const PcapiIdentifiers *ids, PcapiSettings *settings)
{
	Datum		keys[PCAPI_KINDS + 3];
	int			n = 0;

	for (int kind = 0; kind < PCAPI_KINDS; kind++)
		if (ids->cleared & ((uint32) 1 << kind))
			keys[n++] = CStringGetTextDatum(pcapi_kind_name((PcapiKind) kind));
	if (ids->clear_partner_id)
		keys[n++] = CStringGetTextDatum("partner_id");
	if (ids->clear_ip || !pcapi_any_ip(settings))
		keys[n++] = CStringGetTextDatum("client_ip_address");
	if (ids->clear_user_agent || !pcapi_any_user_agent(settings))
		keys[n++] = CStringGetTextDatum("client_user_agent");
	return PointerGetDatum(construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* A time without a click id, where it was null: older ones don't count any more. */
static void
store_visitor(const unsigned char *visitor, const PcapiIdentifiers *ids,
			  PcapiSettings *settings, Jsonb *consent)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[6] = {BYTEAOID, JSONBOID, JSONBOID, TEXTOID, TEXTARRAYOID, BOOLOID};
	Datum		values[6];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};

	SPI_connect();
	values[0] = pcapi_visitor_datum(visitor);
	values[1] = JsonbPGetDatum(stored_form(ids, settings));
	if (consent)
		values[2] = JsonbPGetDatum(consent);
	else
		nulls[2] = 'n';
	if (ids->click_id)
		values[3] = CStringGetTextDatum(ids->click_id);
	else
		nulls[3] = 'n';
	values[4] = cleared_keys(ids, settings);
	values[5] = BoolGetDatum(ids->clear_click_id);
	(void) pcapi_execute_upsert(PCAPI_T_VISITOR,
								pcapi_plan(&plan,
										   "INSERT INTO pinterest_capi._visitor AS v"
										   " (visitor, user_data, consent, click_id, click_id_at, updated_at)"
										   " SELECT $1, $2, $3, $4, CASE WHEN $4 IS NOT NULL OR $6 THEN c.now END, c.now"
										   " FROM pg_catalog.clock_timestamp() AS c (now)"
										   " ON CONFLICT (visitor) DO UPDATE SET"
										   " user_data = (v.user_data OPERATOR(pg_catalog.-) $5) OPERATOR(pg_catalog.||) excluded.user_data,"
										   " consent = coalesce(excluded.consent, v.consent),"
										   " click_id = CASE WHEN $6 THEN NULL ELSE coalesce(excluded.click_id, v.click_id) END,"
										   " click_id_at = coalesce(excluded.click_id_at, v.click_id_at),"
										   " updated_at = excluded.updated_at",
										   6, types),
								values, nulls);
	SPI_finish();
	if (ids->click_id || ids->clear_click_id)
		pcapi_visitor_drop_clicks(visitor);
}

static bool
is_suppressed(const unsigned char *visitor, PcapiIdentifiers ids, PcapiSettings *settings)
{
	if (ids.national != NIL)
	{
		ids.hashes[PCAPI_PH] = list_copy(ids.hashes[PCAPI_PH]);
		pcapi_hash_national_anywhere(&ids, settings);
	}
	return pcapi_is_suppressed(visitor, &ids);
}

/*
 * What is stored is hashed now and for all destinations: of these, only a
 * country on which they agree can stand in for the call's own.
 */
static const char *
country_of(PcapiIdentifiers *ids, PcapiSettings *settings)
{
	const char *country = pcapi_known_country(ids);

	if (country[0] == '\0' && list_length(pcapi_default_countries(settings)) == 1)
		country = linitial(pcapi_default_countries(settings));
	return country;
}

PG_FUNCTION_INFO_V1(pcapi_sql_identify);
Datum
pcapi_sql_identify(PG_FUNCTION_ARGS)
{
	char	   *visitor_id = visitor_arg(fcinfo);
	Jsonb	   *user_data = object_arg(fcinfo, 1, "user_data");
	Jsonb	   *consent = object_arg(fcinfo, 2, "consent");
	PcapiIdentifiers ids;
	List	   *warnings = NIL;
	unsigned char visitor[32];
	PcapiIdentity saved;
	PcapiSettings *settings;

	pcapi_check_writable("identify()");
	pcapi_become_owner(&saved, false);
	settings = pcapi_settings();
	pcapi_visitor_hash(visitor_id, visitor);
	pcapi_identifiers_from_jsonb(&ids, user_data, &warnings);
	if (ids.customer_type)
		pcapi_warn(&warnings, "customer_type", "is an event's and not stored");
	if (!(pcapi_any_suppression(settings) && is_suppressed(visitor, ids, settings)))
	{
		if (ids.national != NIL)
			pcapi_hash_national(&ids, country_of(&ids, settings), &warnings);
		store_visitor(visitor, &ids, settings, consent);
	}
	pcapi_become_caller(&saved);
	tell(warnings);
	PG_RETURN_VOID();
}

/* ---- capture_click ---- */

static char *
click_id_from(FunctionCallInfo fcinfo, int n, char *(*find) (const char *, size_t))
{
	char	   *given;
	size_t		len;
	char	   *found;
	char	   *click_id = NULL;

	if (PG_ARGISNULL(n) || toast_raw_datum_size(PG_GETARG_DATUM(n)) > PCAPI_CLICK_SOURCE_MAX)
		return NULL;
	given = text_to_cstring(PG_GETARG_TEXT_PP(n));
	given = pcapi_to_utf8(given, strlen(given), &len);
	found = given ? find(given, len) : NULL;
	if (found)
	{
		given = pcapi_from_utf8(found, strlen(found));
		free(found);
		if (given)
			(void) pcapi_take_click_id(&click_id, given, strlen(given));
	}
	return click_id;
}

PG_FUNCTION_INFO_V1(pcapi_sql_capture_click);
Datum
pcapi_sql_capture_click(PG_FUNCTION_ARGS)
{
	char	   *visitor_id = visitor_arg(fcinfo);
	char	   *click_id;
	PcapiIdentifiers ids;
	unsigned char visitor[32];
	PcapiIdentity saved;

	pcapi_check_writable("capture_click()");
	click_id = click_id_from(fcinfo, 1, pcapi_epik_from_url);
	if (click_id == NULL)
		click_id = click_id_from(fcinfo, 2, pcapi_epik_from_cookie);
	if (click_id == NULL)
		PG_RETURN_NULL();

	memset(&ids, 0, sizeof(ids));
	ids.click_id = click_id;
	pcapi_visitor_hash(visitor_id, visitor);
	pcapi_become_owner(&saved, false);
	if (!(pcapi_any_suppression(pcapi_settings()) && pcapi_is_suppressed(visitor, &ids)))
		pcapi_visitor_store_click(visitor, click_id, GetCurrentTimestamp());
	pcapi_become_caller(&saved);
	PG_RETURN_TEXT_P(cstring_to_text(click_id));
}

/* ---- forget ---- */

#define VISITORS_AT_ONCE	1000

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

/* What is stored of one visitor, as if it had been given: user_data or null, and click ids. */
static void
learn(PcapiPerson *person, HeapTuple row, TupleDesc desc)
{
	PcapiIdentifiers stored;
	List	   *ignored = NIL;
	bool		isnull;
	Datum		user_data = SPI_getbinval(row, desc, 2, &isnull);
	Datum	   *clicks;
	int			n;

	/* hashes pass as they are */
	pcapi_identifiers_from_jsonb(&stored, isnull ? NULL : DatumGetJsonbPCopy(user_data), &ignored);
	pcapi_person_add(person, NULL, &stored);
	deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, 3, &isnull)), TEXTOID, -1, false, TYPALIGN_INT,
					  &clicks, NULL, &n);
	memset(&stored, 0, sizeof(stored));
	for (int i = 0; i < n; i++)
	{
		stored.click_id = TextDatumGetCString(clicks[i]);
		pcapi_person_add(person, NULL, &stored);
	}
}

/*
 * Delete the visitors who are the person or have an identifier in common with
 * it, with all their rows, and add them to it.  Return how many visitors.  There
 * may be any number of them, over an identifier that many share: the server
 * keeps what the cursor returns on disk.
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
										") SELECT digest, (array_agg(user_data) FILTER (WHERE $4 AND visitor = digest))[1],"
										" coalesce(array_agg(click_id) FILTER (WHERE $4 AND click_id IS NOT NULL), '{}')"
										" FROM gone GROUP BY digest ORDER BY digest",
										4, types),
							 values, NULL, false);
	do
	{
		SPI_cursor_fetch(cursor, true, VISITORS_AT_ONCE);
		few = SPI_processed;
		for (uint64 i = 0; i < few; i++)
		{
			HeapTuple	row = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			bool		isnull;
			MemoryContext old = MemoryContextSwitchTo(context);
			bytea	   *digest = DatumGetByteaPCopy(SPI_getbinval(row, desc, 1, &isnull));

			if (VARSIZE_ANY_EXHDR(digest) == 32)
				person->visitors = lappend(person->visitors, VARDATA_ANY(digest));
			if (with_identifiers)
				learn(person, row, desc);
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

/* In order, so that two calls don't wait for each other in a circle. */
static void
suppress(const PcapiPerson *person)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {BYTEAARRAYOID};
	Datum		values[1] = {pcapi_person_hashes(person)};

	SPI_connect();
	(void) pcapi_execute_upsert(PCAPI_T_SUPPRESSION,
								pcapi_plan(&plan,
										   "INSERT INTO pinterest_capi._suppression (hash, created_at)"
										   " SELECT n.h, clock_timestamp() FROM (SELECT DISTINCT h FROM unnest($1) AS h) AS n"
										   " ORDER BY n.h ON CONFLICT (hash) DO NOTHING",
										   1, types),
								values, NULL);
	SPI_finish();
}

/*
 * What is stored of the visitors who were named, or have what was named, counts
 * as the person's.  Visitors who have one of these in common are the same
 * person's other browsers and go too, but what else is stored of them is not
 * learned: over an identifier that many share by mistake, such as an
 * external_id of "guest", that would go on for ever.
 */
PG_FUNCTION_INFO_V1(pcapi_sql_forget);
Datum
pcapi_sql_forget(PG_FUNCTION_ARGS)
{
	char	   *visitor_id = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *user_data = object_arg(fcinfo, 1, "user_data");
	PcapiIdentifiers ids;
	List	   *warnings = NIL;
	unsigned char visitor[32];
	bool		has_visitor = visitor_id != NULL && visitor_id[0] != '\0';
	PcapiPerson person = {0};
	PcapiErasure erasure;
	FullTransactionId oldest;
	PcapiIdentity saved;
	int64		rows;

	pcapi_check_writable("forget()");
	pcapi_identifiers_from_jsonb(&ids, user_data, &warnings);
	if (has_visitor)
		pcapi_visitor_hash(visitor_id, visitor);
	if (ids.national != NIL)
	{
		pcapi_become_owner(&saved, true);
		(void) pcapi_known_country(&ids);
		pcapi_hash_national_anywhere(&ids, pcapi_settings());
		pcapi_become_caller(&saved);
		if (ids.hashes[PCAPI_PH] == NIL)
			warnings = lappend(warnings, "phone: not a phone number");
	}
	pcapi_person_add(&person, has_visitor ? visitor : NULL, &ids);
	if (person.visitors == NIL && person.keys == NIL)
		pcapi_bad_call(("forget() needs a visitor_id or an identifier in user_data"),
					   ("Identifiers are em, ph, external_id, hashed_maids, click_id and partner_id."));

	pcapi_become_owner(&saved, true);
	oldest = pcapi_erasure_begin();
	rows = delete_visitors(&person, true);
	rows += delete_visitors(&person, false);
	suppress(&person);
	erasure.visitors = digest_array(person.visitors);
	erasure.keys = pcapi_text_array(person.keys);
	erasure.values = pcapi_text_array(person.values);
	rows += pcapi_erase_events(&erasure, oldest);
	pcapi_erasure_record(&erasure, oldest);
	pcapi_become_caller(&saved);
	tell(warnings);
	PG_RETURN_INT64(rows);
}
