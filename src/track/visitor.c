/*
 * visitor.c
 *	  What is known of a visitor, for the events of others to use.
 *
 * The SQL functions that put it there or take it away are in identify.c.
 * In the table _visitor, user_data maps the API's keys to arrays of SHA-256,
 * and client_ip_address, client_user_agent and partner_id to text.  A visitor
 * may have several rows: see open_visitor().
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/guc.h"
#include "common/spi.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "common/table_layout.h"
#include "core/normalize.h"
#include "core/sha256.h"
#include "executor/tuptable.h"
#include "queue/event_id.h"
#include "track/user_data.h"
#include "track/user_data_json.h"
#include "track/visitor.h"
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
				 pcapi_errhide()));
}

Datum
pcapi_visitor_datum(const unsigned char digest[32])
{
	bytea	   *b = palloc(VARHDRSZ + 32);

	SET_VARSIZE(b, VARHDRSZ + 32);
	memcpy(VARDATA(b), digest, 32);
	return PointerGetDatum(b);
}

/* ---- a visitor's rows ---- */

/*
 * What identify() stored is one row, under the visitor's digest.  A click id is
 * a row of its own, under the digest and CLICK_KEY random bytes: so nobody who
 * tracks a click ever waits for somebody else's transaction, whatever that
 * does to the same visitor.  The newest counts; older ones are deleted when a
 * newer one is stored, but for those that another transaction has deleted.
 */
#define CLICK_KEY	8

typedef struct VisitorWalk
{
	PcapiIndexScan walk;
	bool		by_sql;			/* then the rows are these, and the slot is the walk's all the same */
	SPITupleTable *rows;
	uint64		n;
	uint64		next;
} VisitorWalk;

typedef struct StoredClicks
{
	char	   *newest;			/* NULL: none, or taken back by identify() */
	TimestampTz at;				/* of the newest, or of its being taken back */
	TimestampTz stored_at;		/* decides between two of one time */
	List	   *places;			/* of ItemPointer: where click rows are */
	List	   *keys;			/* of bytea *: their keys */
} StoredClicks;

/* Where the table isn't as the install script made it.  The rows stay until SPI ends. */
static void
open_visitor_by_sql(VisitorWalk *walk, Datum from, Datum below)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {BYTEAOID, BYTEAOID};
	Datum		values[2] = {from, below};
	MemoryContext context = CurrentMemoryContext;

	walk->by_sql = true;
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT v.visitor, v.user_data, v.consent, v.click_id, v.click_id_at, v.updated_at"
							 " FROM pinterest_capi._visitor AS v WHERE v.visitor OPERATOR(pg_catalog.>=) $1"
							 " AND v.visitor OPERATOR(pg_catalog.<) $2",
							 2, types),
				  values, NULL, true, 0);
	MemoryContextSwitchTo(context);
	walk->rows = SPI_tuptable;
	walk->n = SPI_processed;
	walk->walk.slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
}

/* By key, whatever the planner believes of the table (pcapi_plan); then close_visitor(). */
static void
open_visitor(VisitorWalk *walk, const unsigned char *visitor)
{
	ScanKeyData keys[2];
	unsigned char above[32 + CLICK_KEY + 1];
	bytea	   *upper = palloc(VARHDRSZ + sizeof(above));

	memcpy(above, visitor, 32);
	memset(above + 32, 0xFF, CLICK_KEY + 1);
	SET_VARSIZE(upper, VARHDRSZ + sizeof(above));
	memcpy(VARDATA(upper), above, sizeof(above));

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	memset(walk, 0, sizeof(VisitorWalk));
	if (!pcapi_index_scan_open(&walk->walk, PCAPI_TABLE_VISITOR, &pcapi_visitor_key, 2))
	{
		open_visitor_by_sql(walk, pcapi_visitor_datum(visitor), PointerGetDatum(upper));
		return;
	}
	ScanKeyInit(&keys[0], PCAPI_VISITOR_VISITOR, BTGreaterEqualStrategyNumber, F_BYTEAGE, pcapi_visitor_datum(visitor));
	ScanKeyInit(&keys[1], PCAPI_VISITOR_VISITOR, BTLessStrategyNumber, F_BYTEALT, PointerGetDatum(upper));
	index_rescan(walk->walk.scan, keys, 2, NULL, 0);
}

static bool
next_row(VisitorWalk *walk)
{
	if (!walk->by_sql)
		return pcapi_index_scan_next(&walk->walk);
	if (walk->next >= walk->n)
		return false;
	ExecStoreHeapTuple(walk->rows->vals[walk->next++], walk->walk.slot, false);
	return true;
}

static void
close_visitor(VisitorWalk *walk)
{
	if (walk->by_sql)
	{
		ExecDropSingleTupleTableSlot(walk->walk.slot);
		SPI_finish();
	}
	else
		pcapi_index_scan_close(&walk->walk);
	PopActiveSnapshot();
}

/* Note the row's click id; true if the row holds nothing else. */
static bool
read_click(VisitorWalk *visitor, StoredClicks *clicks)
{
	PcapiIndexScan *walk = &visitor->walk;
	bool		isnull;
	Datum		key = slot_getattr(walk->slot, PCAPI_VISITOR_VISITOR, &isnull);
	bool		click_row = VARSIZE_ANY_EXHDR(DatumGetPointer(key)) > 32;
	Datum		d = slot_getattr(walk->slot, PCAPI_VISITOR_CLICK_ID_AT, &isnull);
	TimestampTz at;
	TimestampTz stored_at;

	if (click_row)
	{
		ItemPointer place = palloc(sizeof(ItemPointerData));

		*place = walk->slot->tts_tid;
		clicks->places = lappend(clicks->places, place);
		clicks->keys = lappend(clicks->keys, DatumGetByteaPCopy(key));
	}
	if (isnull)
		return click_row;
	at = DatumGetTimestampTz(d);
	stored_at = DatumGetTimestampTz(slot_getattr(walk->slot, PCAPI_VISITOR_UPDATED_AT, &isnull));
	if (clicks->at != 0 && (at < clicks->at || (at == clicks->at && stored_at < clicks->stored_at)))
		return click_row;
	clicks->at = at;
	clicks->stored_at = stored_at;
	d = slot_getattr(walk->slot, PCAPI_VISITOR_CLICK_ID, &isnull);
	clicks->newest = isnull ? NULL : TextDatumGetCString(d);
	return click_row;
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
	VisitorWalk walk;
	StoredClicks clicks = {0};

	open_visitor(&walk, visitor);
	while (next_row(&walk))
	{
		bool		isnull;
		Datum		d;

		if (read_click(&walk, &clicks))
			continue;
		d = slot_getattr(walk.walk.slot, PCAPI_VISITOR_USER_DATA, &isnull);
		pcapi_identifiers_add_stored(ids, DatumGetJsonbP(d));
		d = slot_getattr(walk.walk.slot, PCAPI_VISITOR_CONSENT, &isnull);
		if (!isnull)
			*consent = DatumGetJsonbPCopy(d);
	}
	close_visitor(&walk);
	if (clicks.newest && !pcapi_is_given(ids, PCAPI_CLICK_ID) &&
		(ids->cleared & PCAPI_KEY_BIT(PCAPI_CLICK_ID)) == 0 && clicks.at >= clicks_since())
		ids->texts[PCAPI_CLICK_ID] = clicks.newest;
}

/* The same by a statement, for who may have added a trigger. */
static void
delete_clicks_by_sql(List *keys)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {BYTEAARRAYOID};
	Datum		values[1];
	Datum	   *elems = palloc(sizeof(Datum) * list_length(keys));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, keys)
		elems[n++] = PointerGetDatum(lfirst(lc));
	values[0] = PointerGetDatum(construct_array(elems, n, BYTEAOID, -1, false, TYPALIGN_INT));
	SPI_connect();
	pcapi_execute(SPI_OK_DELETE,
				  pcapi_plan(&plan,
							 "DELETE FROM pinterest_capi._visitor AS v WHERE v.visitor OPERATOR(pg_catalog.=) ANY (ARRAY("
							 " SELECT w.visitor FROM pinterest_capi._visitor AS w"
							 " WHERE w.visitor OPERATOR(pg_catalog.=) ANY ($1) FOR UPDATE SKIP LOCKED))",
							 1, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/*
 * Delete click rows that are superseded, while the snapshot that shows them is
 * held.  Whatever somebody else is about to delete, or has deleted, is passed
 * by: this neither waits nor fails, whichever level the transaction has.
 */
static void
delete_clicks(const VisitorWalk *walk, const StoredClicks *clicks)
{
	Relation	rel;
	ListCell   *lc;

	if (clicks->keys == NIL)
		return;
	rel = table_open(pcapi_table(PCAPI_TABLE_VISITOR), RowExclusiveLock);
	if (walk->by_sql || !pcapi_writes_directly(PCAPI_TABLE_VISITOR, rel))
		delete_clicks_by_sql(clicks->keys);
	else
		foreach(lc, clicks->places)
	{
		TM_FailureData failure;

		(void) PcapiTupleDelete(rel, lfirst(lc), GetCurrentCommandId(true), GetActiveSnapshot(), false, &failure);
	}
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* The newest wins.  Nothing is written where nothing changes. */
void
pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {BYTEAOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];
	VisitorWalk walk;
	StoredClicks clicks = {0};
	bool		new_one;
	bytea	   *key;

	open_visitor(&walk, visitor);
	while (next_row(&walk))
		(void) read_click(&walk, &clicks);
	new_one = clicks.at <= at && (clicks.newest == NULL || strcmp(clicks.newest, click_id) != 0);
	if (new_one)
		delete_clicks(&walk, &clicks);
	close_visitor(&walk);
	if (!new_one)
		return;

	key = palloc(VARHDRSZ + 32 + CLICK_KEY);
	SET_VARSIZE(key, VARHDRSZ + 32 + CLICK_KEY);
	memcpy(VARDATA(key), visitor, 32);
	pcapi_random_bytes((unsigned char *) VARDATA(key) + 32, CLICK_KEY);
	SPI_connect();
	values[0] = PointerGetDatum(key);
	values[1] = CStringGetTextDatum(click_id);
	values[2] = TimestampTzGetDatum(at);
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_plan(&plan,
							 "INSERT INTO pinterest_capi._visitor (visitor, click_id, click_id_at, updated_at)"
							 " VALUES ($1, $2, $3, pg_catalog.clock_timestamp())",
							 3, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/* identify() has stored a newer click id, or taken back all there were. */
void
pcapi_visitor_drop_clicks(const unsigned char *visitor)
{
	VisitorWalk walk;
	StoredClicks clicks = {0};

	open_visitor(&walk, visitor);
	while (next_row(&walk))
		(void) read_click(&walk, &clicks);
	delete_clicks(&walk, &clicks);
	close_visitor(&walk);
}
