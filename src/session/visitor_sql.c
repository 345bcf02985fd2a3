/*
 * visitor_sql.c
 *	  identify, capture_click and forget.
 *
 * Each is one statement per visitor, by INSERT ... ON CONFLICT, so that
 * concurrent calls for one visitor neither deadlock nor lose one.
 */
#include "session/event.h"
#include "session/visitor.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "queue/operate.h"
#include "queue/queue.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
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
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *s)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, s);
	v.val.string.len = strlen(s);
	pushJsonbValue(state, token, &v);
}

static void
push_pair(JsonbParseState **state, const char *key, const char *value)
{
	if (value == NULL)
		return;
	push_string(state, WJB_KEY, key);
	push_string(state, WJB_VALUE, value);
}

static Jsonb *
stored_form(const PcapiIdentifiers *ids, const PcapiSettings *settings)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int kind = 0; kind < PCAPI_KINDS; kind++)
	{
		ListCell   *lc;

		if (ids->hashes[kind] == NIL)
			continue;
		push_string(&state, WJB_KEY, pcapi_kind_name((PcapiKind) kind));
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		foreach(lc, ids->hashes[kind])
			push_string(&state, WJB_ELEM, lfirst(lc));
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	push_pair(&state, "partner_id", ids->partner_id);
	if (settings->any_ip)
		push_pair(&state, "client_ip_address", ids->ip);
	if (settings->any_user_agent)
		push_pair(&state, "client_user_agent", ids->user_agent);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static Datum
cleared_keys(const PcapiIdentifiers *ids)
{
	Datum		keys[PCAPI_KINDS + 3];
	int			n = 0;

	for (int kind = 0; kind < PCAPI_KINDS; kind++)
		if (ids->cleared & ((uint32) 1 << kind))
			keys[n++] = CStringGetTextDatum(pcapi_kind_name((PcapiKind) kind));
	if (ids->clear_partner_id)
		keys[n++] = CStringGetTextDatum("partner_id");
	if (ids->clear_ip)
		keys[n++] = CStringGetTextDatum("client_ip_address");
	if (ids->clear_user_agent)
		keys[n++] = CStringGetTextDatum("client_user_agent");
	return PointerGetDatum(construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
store_visitor(const unsigned char *visitor, const PcapiIdentifiers *ids,
			  const PcapiSettings *settings, Jsonb *consent)
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
	values[4] = cleared_keys(ids);
	values[5] = BoolGetDatum(ids->clear_click_id);
	SPI_execute_plan(pcapi_plan(&plan,
								"INSERT INTO pinterest_capi._visitor AS v"
								" (visitor, user_data, consent, click_id, click_id_at, updated_at)"
								" SELECT $1, $2, $3, $4, CASE WHEN $4 IS NOT NULL THEN c.now END, c.now"
								" FROM pg_catalog.clock_timestamp() AS c (now)"
								" ON CONFLICT (visitor) DO UPDATE SET"
								" user_data = (v.user_data OPERATOR(pg_catalog.-) $5) OPERATOR(pg_catalog.||) excluded.user_data,"
								" consent = coalesce(excluded.consent, v.consent),"
								" click_id = CASE WHEN $6 THEN NULL ELSE coalesce(excluded.click_id, v.click_id) END,"
								" click_id_at = CASE WHEN $6 THEN NULL ELSE coalesce(excluded.click_id_at, v.click_id_at) END,"
								" updated_at = excluded.updated_at",
								6, types),
					 values, nulls, false, 0);
	SPI_finish();
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
	if (!(settings->any_suppression && pcapi_is_suppressed(visitor, &ids)))
		store_visitor(visitor, &ids, settings, consent);
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

	if (PG_ARGISNULL(n))
		return NULL;
	given = text_to_cstring(PG_GETARG_TEXT_PP(n));
	given = pcapi_to_utf8(given, strlen(given), &len);
	found = given ? find(given, len) : NULL;
	if (found)
	{
		given = pcapi_from_utf8(found, strlen(found));
		free(found);
		if (given)
			click_id = pcapi_clean_click_id(given, strlen(given));
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
	if (!(pcapi_settings()->any_suppression && pcapi_is_suppressed(visitor, &ids)))
		pcapi_visitor_store_click(visitor, click_id, GetCurrentTimestamp());
	pcapi_become_caller(&saved);
	PG_RETURN_TEXT_P(cstring_to_text(click_id));
}

/* ---- forget ---- */

/*
 * What is stored of the visitors that are forgotten becomes part of what the
 * person is recognised by.
 */
static void
add_stored(List **visitors, PcapiIdentifiers *all, Datum hashes, Datum texts)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {BYTEAARRAYOID, TEXTARRAYOID};
	Datum		values[2] = {hashes, texts};
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"DELETE FROM pinterest_capi._visitor AS v WHERE v.visitor = ANY ($1)"
								" OR v.click_id = ANY ($2)"
								" OR EXISTS (SELECT FROM unnest($2) AS t (text) WHERE strpos(v.user_data::text, '\"' || t.text || '\"') > 0)"
								" RETURNING v.visitor, v.user_data, v.click_id",
								2, types),
					 values, NULL, false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		bytea	   *digest = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		Jsonb	   *user_data = DatumGetJsonbP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		MemoryContext old = MemoryContextSwitchTo(context);
		PcapiIdentifiers stored;
		List	   *ignored = NIL;

		/* hashes pass as they are */
		pcapi_identifiers_from_jsonb(&stored, user_data, &ignored);
		for (int kind = 0; kind < PCAPI_KINDS; kind++)
			all->hashes[kind] = list_concat(all->hashes[kind], stored.hashes[kind]);
		if (VARSIZE_ANY_EXHDR(digest) == 32)
			*visitors = lappend(*visitors, memcpy(palloc(32), VARDATA_ANY(digest), 32));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

/* what stands in payloads and stored visitors: 64 hex digits, or the click id and partner id themselves */
static Datum
person_texts(const PcapiIdentifiers *ids)
{
	static const PcapiKind kinds[] = {PCAPI_EM, PCAPI_PH, PCAPI_EXTERNAL_ID, PCAPI_MAIDS};
	List	   *texts = NIL;
	ListCell   *lc;
	Datum	   *elems;
	int			n = 0;

	for (int i = 0; i < lengthof(kinds); i++)
		texts = list_concat(texts, ids->hashes[kinds[i]]);
	if (ids->click_id)
		texts = lappend(texts, ids->click_id);
	if (ids->partner_id)
		texts = lappend(texts, ids->partner_id);
	elems = palloc(sizeof(Datum) * Max(list_length(texts), 1));
	foreach(lc, texts)
		elems[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

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

static void
suppress(Datum hashes)
{
	Oid			types[1] = {BYTEAARRAYOID};
	Datum		values[1] = {hashes};

	SPI_connect();
	SPI_execute_with_args("INSERT INTO pinterest_capi._suppression (hash, created_at)"
						  " SELECT DISTINCT h, clock_timestamp() FROM unnest($1) AS h ON CONFLICT (hash) DO NOTHING",
						  1, types, values, NULL, false, 0);
	SPI_finish();
}

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
	List	   *visitors = NIL;
	PcapiIdentity saved;
	Datum		hashes;
	int64		rows;

	pcapi_check_writable("forget()");
	pcapi_identifiers_from_jsonb(&ids, user_data, &warnings);
	if (has_visitor)
		pcapi_visitor_hash(visitor_id, visitor);
	hashes = pcapi_person_hashes(has_visitor ? visitor : NULL, &ids);
	if (ARR_NDIM(DatumGetArrayTypeP(hashes)) == 0)
		pcapi_bad_call(("forget() needs a visitor_id or an identifier in user_data"),
					   ("Identifiers are em, ph, external_id, hashed_maids, click_id and partner_id."));

	pcapi_become_owner(&saved, true);
	suppress(hashes);
	add_stored(&visitors, &ids, hashes, person_texts(&ids));
	rows = list_length(visitors);
	suppress(pcapi_person_hashes(NULL, &ids));
	suppress(digest_array(visitors));
	if (has_visitor)
		visitors = lappend(visitors, visitor);
	rows += pcapi_forget_events(digest_array(visitors), person_texts(&ids));

	/* every session looks at the list from now on */
	CacheInvalidateRelcacheByRelid(pcapi_table(PCAPI_T_SUPPRESSION));
	pcapi_become_caller(&saved);
	tell(warnings);
	PG_RETURN_INT64(rows);
}
