/*
 * retention.c
 *	  What is kept too long goes, a few rows at a time: final events, their
 *	  payloads, visitors' click ids.
 *
 * When to make such a step, and from where, is the worker's (worker/retention.c).
 */
#include "queue/claim.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

bool
pcapi_retention_step(const char *retention, const char *payload_retention, int64 *after,
					 int64 *changed)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[3];
	Datum		top;
	bool		isnull;
	bool		none;

	SPI_connect();
	values[0] = CStringGetTextDatum(retention);
	values[1] = CStringGetTextDatum(payload_retention);
	values[2] = Int64GetDatum(*after);
	SPI_execute_plan(pcapi_plan(&plan,
								"WITH few AS ("
								" SELECT o.id, o.finished_at < clock_timestamp() - $1::interval AS old,"
								" o.finished_at < clock_timestamp() - $2::interval AS stale"
								" FROM pinterest_capi._outcome AS o WHERE o.id > $3 ORDER BY o.id LIMIT 2000"
								"), gone AS ("
								" DELETE FROM pinterest_capi._outcome"
								" WHERE id = ANY (ARRAY(SELECT id FROM few WHERE old)) RETURNING id"
								"), deleted AS ("
								" DELETE FROM pinterest_capi._event WHERE id = ANY (ARRAY(SELECT id FROM gone))"
								"), emptied AS ("
								" UPDATE pinterest_capi._event SET payload = NULL, visitor = NULL"
								" WHERE id = ANY (ARRAY(SELECT id FROM few WHERE stale AND NOT old))"
								" AND payload IS NOT NULL RETURNING id"
								") SELECT max(id), (SELECT count(*) FROM gone) + (SELECT count(*) FROM emptied) FROM few",
								3, types),
					 values, NULL, false, 0);
	top = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		*after = DatumGetInt64(top);
	*changed = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &none));
	SPI_finish();
	return !isnull;
}

bool
pcapi_visitor_place_param(const PcapiVisitorPlace *place, Datum *value)
{
	bytea	   *after;

	if (!place->begun)
		return false;
	after = palloc(VARHDRSZ + place->len);
	SET_VARSIZE(after, VARHDRSZ + place->len);
	memcpy(VARDATA(after), place->after, place->len);
	*value = PointerGetDatum(after);
	return true;
}

/* Inside SPI: the last statement returned the place, or no row where there is nothing behind it. */
void
pcapi_visitor_place_set(PcapiVisitorPlace *place)
{
	bytea	   *last;
	bool		isnull;

	place->begun = false;
	if (SPI_processed == 0)
		return;
	last = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	place->len = VARSIZE_ANY_EXHDR(last);
	/* a longer one we have not written */
	place->begun = place->len <= sizeof(place->after);
	if (place->begun)
		memcpy(place->after, VARDATA_ANY(last), place->len);
}

/*
 * A visitor of whom nothing but the click was known goes as a whole.  Whoever
 * is being written to at this moment is left for the next pass: a transaction
 * that takes its time must not keep this one from the rest.
 */
bool
pcapi_click_retention_step(const char *retention, PcapiVisitorPlace *place)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {TEXTOID, BYTEAOID};
	Datum		values[2] = {0};
	char		nulls[2] = {' ', 'n'};

	SPI_connect();
	values[0] = CStringGetTextDatum(retention);
	if (pcapi_visitor_place_param(place, &values[1]))
		nulls[1] = ' ';
	SPI_execute_plan(pcapi_plan(&plan,
								"WITH few AS ("
								" SELECT v.visitor FROM pinterest_capi._visitor AS v"
								" WHERE v.visitor > coalesce($2, '') ORDER BY v.visitor LIMIT 2000"
								"), old AS ("
								" SELECT v.visitor, v.user_data = '{}' AND v.consent IS NULL AS bare"
								" FROM pinterest_capi._visitor AS v WHERE v.visitor = ANY (ARRAY(SELECT visitor FROM few))"
								" AND v.click_id_at < clock_timestamp() - $1::interval FOR UPDATE SKIP LOCKED"
								"), gone AS ("
								" DELETE FROM pinterest_capi._visitor WHERE visitor = ANY (ARRAY(SELECT visitor FROM old WHERE bare))"
								"), emptied AS ("
								" UPDATE pinterest_capi._visitor SET click_id = NULL, click_id_at = NULL"
								" WHERE visitor = ANY (ARRAY(SELECT visitor FROM old WHERE NOT bare))"
								") SELECT visitor FROM few ORDER BY visitor DESC LIMIT 1",
								2, types),
					 values, nulls, false, 0);
	pcapi_visitor_place_set(place);
	SPI_finish();
	return place->begun;
}
