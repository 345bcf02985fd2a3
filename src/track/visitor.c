/*
 * visitor.c
 *	  A visitor's stored identifiers, consent and click id.
 *
 * They are stored by identify() and capture_click() (identify.c), and click ids
 * by events as well; forget() (forget.c) deletes them.  The form of the column
 * user_data is in user_data_json.c.  A visitor may have several rows, see below.
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
 * identify() writes one row, under the visitor's digest.  A click id has a row of
 * its own, under the digest and CLICK_KEY random bytes: so a session that stores
 * a click id never waits for another transaction, whatever that does to the same
 * visitor.  The newest click id counts.  Older ones are deleted when a newer one
 * is stored, except those that another transaction has deleted.
 */
#define CLICK_KEY	8

typedef struct VisitorScan
{
	PcapiIndexScan index;
	bool		by_sql;			/* then the rows are those below, in the scan's slot */
	SPITupleTable *rows;
	uint64		n;
	uint64		next;
} VisitorScan;

typedef struct StoredClicks
{
	char	   *newest;			/* NULL: none, or cleared by identify() */
	TimestampTz at;				/* when the newest was clicked, or cleared */
	TimestampTz stored_at;		/* decides between two of one time */
	List	   *tids;			/* of ItemPointer: the click rows */
	List	   *keys;			/* of bytea *: their keys */
} StoredClicks;

/* Scan by a statement, where the table isn't as the install script made it.  The rows last until SPI ends. */
static void
open_visitor_by_sql(VisitorScan *scan, Datum from, Datum below)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {BYTEAOID, BYTEAOID};
	Datum		values[2] = {from, below};
	MemoryContext context = CurrentMemoryContext;

	scan->by_sql = true;
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT v.visitor, v.user_data, v.consent, v.click_id, v.click_id_at, v.updated_at"
							 " FROM pinterest_capi._visitor AS v WHERE v.visitor OPERATOR(pg_catalog.>=) $1"
							 " AND v.visitor OPERATOR(pg_catalog.<) $2",
							 2, types),
				  values, NULL, true, 0);
	MemoryContextSwitchTo(context);
	scan->rows = SPI_tuptable;
	scan->n = SPI_processed;
	scan->index.slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
}

/* Scan a visitor's rows by key, whatever the planner believes of the table (pcapi_plan).  Ends with close_visitor(). */
static void
open_visitor(VisitorScan *scan, const unsigned char *visitor)
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
	memset(scan, 0, sizeof(VisitorScan));
	if (!pcapi_index_scan_open(&scan->index, PCAPI_TABLE_VISITOR, &pcapi_visitor_key, 2))
	{
		open_visitor_by_sql(scan, pcapi_visitor_datum(visitor), PointerGetDatum(upper));
		return;
	}
	ScanKeyInit(&keys[0], PCAPI_VISITOR_VISITOR, BTGreaterEqualStrategyNumber, F_BYTEAGE, pcapi_visitor_datum(visitor));
	ScanKeyInit(&keys[1], PCAPI_VISITOR_VISITOR, BTLessStrategyNumber, F_BYTEALT, PointerGetDatum(upper));
	index_rescan(scan->index.scan, keys, 2, NULL, 0);
}

/* Move to the visitor's next row. */
static bool
next_row(VisitorScan *scan)
{
	if (!scan->by_sql)
		return pcapi_index_scan_next(&scan->index);
	if (scan->next >= scan->n)
		return false;
	ExecStoreHeapTuple(scan->rows->vals[scan->next++], scan->index.slot, false);
	return true;
}

static void
close_visitor(VisitorScan *scan)
{
	if (scan->by_sql)
	{
		ExecDropSingleTupleTableSlot(scan->index.slot);
		SPI_finish();
	}
	else
		pcapi_index_scan_close(&scan->index);
	PopActiveSnapshot();
}

/* Note the row's click id; true if the row has nothing else. */
static bool
read_click(VisitorScan *visitor, StoredClicks *clicks)
{
	PcapiIndexScan *scan = &visitor->index;
	bool		isnull;
	Datum		key = slot_getattr(scan->slot, PCAPI_VISITOR_VISITOR, &isnull);
	bool		click_row = VARSIZE_ANY_EXHDR(DatumGetPointer(key)) > 32;
	Datum		d = slot_getattr(scan->slot, PCAPI_VISITOR_CLICK_ID_AT, &isnull);
	TimestampTz at;
	TimestampTz stored_at;

	if (click_row)
	{
		ItemPointer tid = palloc(sizeof(ItemPointerData));

		*tid = scan->slot->tts_tid;
		clicks->tids = lappend(clicks->tids, tid);
		clicks->keys = lappend(clicks->keys, DatumGetByteaPCopy(key));
	}
	if (isnull)
		return click_row;
	at = DatumGetTimestampTz(d);
	stored_at = DatumGetTimestampTz(slot_getattr(scan->slot, PCAPI_VISITOR_UPDATED_AT, &isnull));
	if (clicks->at != 0 && (at < clicks->at || (at == clicks->at && stored_at < clicks->stored_at)))
		return click_row;
	clicks->at = at;
	clicks->stored_at = stored_at;
	d = slot_getattr(scan->slot, PCAPI_VISITOR_CLICK_ID, &isnull);
	clicks->newest = isnull ? NULL : TextDatumGetCString(d);
	return click_row;
}

/* Return the time before which click ids no longer count. */
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
	VisitorScan scan;
	StoredClicks clicks = {0};

	open_visitor(&scan, visitor);
	while (next_row(&scan))
	{
		bool		isnull;
		Datum		d;

		if (read_click(&scan, &clicks))
			continue;
		d = slot_getattr(scan.index.slot, PCAPI_VISITOR_USER_DATA, &isnull);
		pcapi_identifiers_add_stored(ids, DatumGetJsonbP(d));
		d = slot_getattr(scan.index.slot, PCAPI_VISITOR_CONSENT, &isnull);
		if (!isnull)
			*consent = DatumGetJsonbPCopy(d);
	}
	close_visitor(&scan);
	if (clicks.newest && !pcapi_is_given(ids, PCAPI_CLICK_ID) &&
		(ids->cleared & PCAPI_KEY_BIT(PCAPI_CLICK_ID)) == 0 && clicks.at >= clicks_since())
		ids->texts[PCAPI_CLICK_ID] = clicks.newest;
}

/* Delete click rows by a statement, where the table may have a trigger. */
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
 * held.  Rows that another transaction is deleting or has deleted are skipped:
 * this neither waits nor fails, at any isolation level.
 */
static void
delete_clicks(const VisitorScan *scan, const StoredClicks *clicks)
{
	Relation	rel;
	ListCell   *lc;

	if (clicks->keys == NIL)
		return;
	rel = table_open(pcapi_table(PCAPI_TABLE_VISITOR), RowExclusiveLock);
	if (scan->by_sql || !pcapi_writes_directly(PCAPI_TABLE_VISITOR, rel))
		delete_clicks_by_sql(clicks->keys);
	else
		foreach(lc, clicks->tids)
	{
		TM_FailureData failure;

		(void) PcapiTupleDelete(rel, lfirst(lc), GetCurrentCommandId(true), GetActiveSnapshot(), false, &failure);
	}
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* The newest click id wins.  The same one is not written again. */
void
pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {BYTEAOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];
	VisitorScan scan;
	StoredClicks clicks = {0};
	bool		new_one;
	bytea	   *key;

	open_visitor(&scan, visitor);
	while (next_row(&scan))
		(void) read_click(&scan, &clicks);
	new_one = clicks.at <= at && (clicks.newest == NULL || strcmp(clicks.newest, click_id) != 0);
	if (new_one)
		delete_clicks(&scan, &clicks);
	close_visitor(&scan);
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

/* identify() has stored a newer click id, or cleared all. */
void
pcapi_visitor_drop_clicks(const unsigned char *visitor)
{
	VisitorScan scan;
	StoredClicks clicks = {0};

	open_visitor(&scan, visitor);
	while (next_row(&scan))
		(void) read_click(&scan, &clicks);
	delete_clicks(&scan, &clicks);
	close_visitor(&scan);
}
