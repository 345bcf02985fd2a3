/*
 * visitor.c
 *	  What is known of a visitor, for the events of others to use.
 *
 * The SQL functions that put it there or take it away are in visitor_sql.c.
 * In the table _visitor, user_data maps the API's keys to arrays of SHA-256,
 * and client_ip_address, client_user_agent and partner_id to text.
 */
#include "session/visitor.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "queue/queue.h"
#include "queue/rows.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

void
pcapi_visitor_hash(const char *visitor_id, unsigned char digest[32])
{
	if (!pcapi_sha256(visitor_id, strlen(visitor_id), digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a SHA-256"),
				 errhint("Check the configuration of the server's OpenSSL: SHA-256 must be among what it provides."),
				 pcapi_hide()));
}

Datum
pcapi_visitor_datum(const unsigned char digest[32])
{
	bytea	   *b = palloc(VARHDRSZ + 32);

	SET_VARSIZE(b, VARHDRSZ + 32);
	memcpy(VARDATA(b), digest, 32);
	return PointerGetDatum(b);
}

/* ---- filling an event's identifiers ---- */

static const JsonbValue *
lookup(Jsonb *object, const char *key, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), buffer);
}

static void
fill_hashes(PcapiIdentifiers *ids, PcapiKind kind, Jsonb *user_data, MemoryContext context)
{
	JsonbValue	buffer;
	const JsonbValue *v = lookup(user_data, pcapi_kind_name(kind), &buffer);
	JsonbIterator *it;
	JsonbValue	elem;
	JsonbIteratorToken token;
	MemoryContext old;

	if (v == NULL || v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
		return;
	old = MemoryContextSwitchTo(context);
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &elem, true)) != WJB_DONE)
		if (token == WJB_ELEM && elem.type == jbvString)
			ids->hashes[kind] = lappend(ids->hashes[kind],
										pnstrdup(elem.val.string.val, elem.val.string.len));
	MemoryContextSwitchTo(old);
}

static void
fill_text(char **field, bool cleared, const char *key, Jsonb *user_data, MemoryContext context)
{
	JsonbValue	buffer;
	const JsonbValue *v;
	MemoryContext old;

	if (*field || cleared)
		return;
	v = lookup(user_data, key, &buffer);
	if (v == NULL || v->type != jbvString)
		return;
	old = MemoryContextSwitchTo(context);
	*field = pnstrdup(v->val.string.val, v->val.string.len);
	MemoryContextSwitchTo(old);
}

/* What ids lacks and doesn't refuse, from user_data as it is stored or sent. */
static void
fill(PcapiIdentifiers *ids, Jsonb *user_data, MemoryContext context)
{
	for (int kind = 0; kind < PCAPI_KINDS; kind++)
		if (ids->hashes[kind] == NIL && (ids->cleared & ((uint32) 1 << kind)) == 0)
			fill_hashes(ids, (PcapiKind) kind, user_data, context);
	fill_text(&ids->ip, ids->clear_ip, "client_ip_address", user_data, context);
	fill_text(&ids->user_agent, ids->clear_user_agent, "client_user_agent", user_data, context);
	fill_text(&ids->partner_id, ids->clear_partner_id, "partner_id", user_data, context);
}

void
pcapi_identifiers_from_event(PcapiIdentifiers *ids, Jsonb *event)
{
	JsonbValue	buffer;
	const JsonbValue *v = lookup(event, "user_data", &buffer);
	Jsonb	   *user_data;

	if (v == NULL || v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
		return;
	user_data = JsonbValueToJsonb(unconstify(JsonbValue *, v));
	fill(ids, user_data, CurrentMemoryContext);
	fill_text(&ids->click_id, false, "click_id", user_data, CurrentMemoryContext);
}

/* By its key, whatever the planner believes of the table (pcapi_plan); then close_visitor(). */
static bool
find_visitor(PcapiWalk *walk, const unsigned char *visitor)
{
	ScanKeyData key;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	pcapi_walk_open(walk, PCAPI_T_VISITOR, "_visitor_pkey", 1);
	ScanKeyInit(&key, PCAPI_VISITOR_VISITOR, BTEqualStrategyNumber, F_BYTEAEQ, pcapi_visitor_datum(visitor));
	index_rescan(walk->scan, &key, 1, NULL, 0);
	return pcapi_walk_next(walk);
}

static void
close_visitor(PcapiWalk *walk)
{
	pcapi_walk_close(walk);
	PopActiveSnapshot();
}

/* The click id, or NULL, and *at. */
static char *
stored_click(PcapiWalk *walk, TimestampTz *at)
{
	bool		no_id;
	bool		no_time;
	Datum		id = slot_getattr(walk->slot, PCAPI_VISITOR_CLICK_ID, &no_id);
	Datum		time = slot_getattr(walk->slot, PCAPI_VISITOR_CLICK_ID_AT, &no_time);

	if (no_id || no_time)
		return NULL;
	*at = DatumGetTimestampTz(time);
	return TextDatumGetCString(id);
}

static TimestampTz
clicks_since(void)
{
	Datum		retention = DirectFunctionCall3(interval_in, CStringGetDatum(pcapi_click_id_retention),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()), retention));
}

void
pcapi_visitor_fill(const unsigned char *visitor, PcapiIdentifiers *ids, Jsonb **consent)
{
	PcapiWalk	walk;

	if (find_visitor(&walk, visitor))
	{
		bool		isnull;
		Datum		d = slot_getattr(walk.slot, PCAPI_VISITOR_USER_DATA, &isnull);
		char	   *click_id;
		TimestampTz at;

		fill(ids, DatumGetJsonbP(d), CurrentMemoryContext);
		d = slot_getattr(walk.slot, PCAPI_VISITOR_CONSENT, &isnull);
		if (!isnull)
			*consent = DatumGetJsonbPCopy(d);
		click_id = stored_click(&walk, &at);
		if (click_id && ids->click_id == NULL && !ids->clear_click_id && at >= clicks_since())
			ids->click_id = click_id;
	}
	close_visitor(&walk);
}

/*
 * The newest wins.  Nothing is written where nothing changes, so that a
 * visitor's many page views don't queue for one row.
 */
void
pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {BYTEAOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];
	PcapiWalk	walk;
	TimestampTz stored_at;
	char	   *stored = find_visitor(&walk, visitor) ? stored_click(&walk, &stored_at) : NULL;

	close_visitor(&walk);
	if (stored && (strcmp(stored, click_id) == 0 || stored_at > at))
		return;

	SPI_connect();
	values[0] = pcapi_visitor_datum(visitor);
	values[1] = CStringGetTextDatum(click_id);
	values[2] = TimestampTzGetDatum(at);
	SPI_execute_plan(pcapi_plan(&plan,
								"INSERT INTO pinterest_capi._visitor AS v (visitor, click_id, click_id_at, updated_at)"
								" VALUES ($1, $2, $3, pg_catalog.clock_timestamp())"
								" ON CONFLICT (visitor) DO UPDATE SET click_id = excluded.click_id,"
								" click_id_at = excluded.click_id_at, updated_at = excluded.updated_at"
								" WHERE v.click_id_at IS NULL OR v.click_id_at OPERATOR(pg_catalog.<=) excluded.click_id_at",
								3, types),
					 values, NULL, false, 0);
	SPI_finish();
}

/* ---- people who are to be forgotten ---- */

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
	static const PcapiKind kinds[] = {PCAPI_EM, PCAPI_PH, PCAPI_EXTERNAL_ID, PCAPI_MAIDS};

	if (visitor)
		person->visitors = lappend(person->visitors, unconstify(unsigned char *, visitor));
	for (int i = 0; i < lengthof(kinds); i++)
	{
		ListCell   *lc;

		foreach(lc, ids->hashes[kinds[i]])
			add_identifier(person, pcapi_kind_name(kinds[i]), lfirst(lc));
	}
	add_identifier(person, "click_id", ids->click_id);
	add_identifier(person, "partner_id", ids->partner_id);
}

/* Hashed with the key, so that one person's visitor id is not another's external_id. */
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
 * With the newest snapshot, as the settings are read: who wants to be forgotten
 * does not wait for the end of a transaction that began before.
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
	SPI_execute_plan(pcapi_plan(&plan,
								"SELECT FROM pinterest_capi._suppression AS s"
								" WHERE s.hash OPERATOR(pg_catalog.=) ANY ($1)",
								1, types),
					 values, NULL, true, 1);
	found = (SPI_processed > 0);
	PopActiveSnapshot();
	SPI_finish();
	return found;
}
