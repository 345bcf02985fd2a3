/*
 * erase.c
 *	  Empty the events of people who are to be forgotten.
 *
 * forget() empties the rows that it sees.  A transaction that was open meanwhile may
 * commit an event or a visitor of that person later, and may not have seen the list
 * of the forgotten.  So forget() leaves a row in _erasure.  While there is such a row,
 * the worker takes the person's events out of each batch before it is sent.  Once all
 * transactions that may not have seen the list are over, the worker scans once the
 * rows that are newer than forget(), and deletes the row of _erasure.
 */
#include "pinterest_capi.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "fmgr.h"
#include "queue/erase.h"
#include "queue/finalize.h"
#include "queue/outcome.h"
#include "queue/payload.h"
#include "queue/retention.h"
#include "queue/wakeup.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

/*
 * Condition: an event e is the person's.  strpos saves parsing payloads that can't
 * hold the identifier.  A payload that can't be parsed and holds the text counts as
 * the person's.
 */
#define EVENT_OF(visitors, keys, values) \
	" (e.visitor = ANY (" visitors ") OR EXISTS (SELECT FROM unnest(" keys ", " values ") AS p (key, value)" \
	" WHERE strpos(e.payload, to_json(p.value)::text) > 0" \
	" AND CASE WHEN pinterest_capi._readable(e.payload)" \
	" THEN e.payload::jsonb -> 'user_data' -> p.key @> to_jsonb(p.value) ELSE true END))"

/*
 * Statement: lock the chosen rows e of _event in the order of their ids, and empty
 * them.  It is for a bounded number of rows, whose ids it returns as arrays.
 */
#define EMPTY(chosen) \
	"WITH chosen AS (" chosen " ORDER BY e.id FOR NO KEY UPDATE OF e" \
	"), emptied AS (" EMPTY_THOSE("ARRAY(SELECT id FROM chosen)") " RETURNING e.dest, e.id" \
	") SELECT count(*) AS n, coalesce(array_agg(dest), '{}') AS dests, coalesce(array_agg(id), '{}') AS ids FROM emptied"

#define EMPTY_THOSE(ids) \
	" UPDATE pinterest_capi._event AS e SET payload = NULL, visitor = NULL WHERE e.id = ANY (" ids ")"

#define NOT_EMPTY " (e.payload IS NOT NULL OR e.visitor IS NOT NULL)"

/* Conditions: a scan is for a row f of _erasure; a row of the table r is newer than its forget(). */
#define OVER(before)	" age(f.xmin) > age(" before ")"
#define NEWER(r)		" age(" r ".xmin) <= age(f.oldest::xid)"

/* rows that one step of the worker scans */
#define ROWS_PER_STEP "2000"

/*
 * Make the emptied events that are queued final, and clear Pinterest's messages about
 * all of them: its errors and warnings may quote the value that they are about.
 * Warnings of the extension quote nothing and stay.  The rows of _event are emptied
 * before: their locks wait for a replay that isn't committed, whose rows in the queue
 * can be seen then.
 */
static void
end_emptied(Datum dests, Datum ids)
{
	static const char *const ours[] = {PCAPI_WARNING_UNKNOWN, PCAPI_WARNING_LATE, PCAPI_WARNING_IN_REQUEST, PCAPI_WARNING_PUBLISHED};
	Oid			types[2] = {INT4ARRAYOID, INT8ARRAYOID};
	Datum		values[2] = {dests, ids};
	List	   *kept = NIL;

	pcapi_finalize_waiting("suppressed", "forgotten",
						   "SELECT e.dest, e.id FROM unnest($1, $2) AS e (dest, id) ORDER BY e.id",
						   false, lengthof(types), types, values, NULL);
	for (int i = 0; i < lengthof(ours); i++)
		kept = lappend(kept, unconstify(char *, ours[i]));
	types[0] = TEXTARRAYOID;
	values[0] = pcapi_text_array(kept);
	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._outcome SET error = NULL, warnings ="
					   " (SELECT array_agg(w.warning ORDER BY w.n) FROM unnest(warnings) WITH ORDINALITY AS w (warning, n)"
					   " WHERE w.warning = ANY ($1))"
					   " WHERE id = ANY ($2) AND (error IS NOT NULL OR NOT coalesce(warnings <@ $1, true))",
					   2, types, values, NULL, false, 0);
	SPI_finish();
}

/* Do so for the events that EMPTY() has emptied.  Inside SPI.  Return how many, and their ids in *ids. */
static int64
end_chosen(Datum *ids)
{
	int64		n = pcapi_result_int64(0, "n");
	Datum		dests = pcapi_result_array(0, "dests");

	*ids = pcapi_result_array(0, "ids");
	if (n > 0)
		end_emptied(dests, *ids);
	return n;
}

/* ---- in forget()'s session ---- */

FullTransactionId
pcapi_erasure_begin(void)
{
	FullTransactionId oldest;
	bool		isnull;

	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT, "SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest", false);
	oldest = DatumGetFullTransactionId(pcapi_result_datum(0, pcapi_result_column("oldest"), &isnull));
	SPI_finish();
	return oldest;
}

/* Empty events whose rows are locked.  A PcapiStep. */
static int64
erase_step(Datum dests, Datum ids, void *arg)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {ids};
	int64		n;

	SPI_connect();
	n = (int64) pcapi_execute(SPI_OK_UPDATE, pcapi_plan(&plan, EMPTY_THOSE("$1"), 1, types), values, NULL, false, 0);
	SPI_finish();
	end_emptied(dests, ids);
	return n;
}

/*
 * Two kinds of rows are missed by the first pass: those that are deleted and inserted
 * again (handover.c) while this waits for their lock, and the copies that a replay
 * makes meanwhile.  So the rows that are newer than forget() are searched until
 * nothing more is found.
 */
int64
pcapi_erase_events(const PcapiErasure *person, FullTransactionId oldest)
{
	Oid			types[4] = {BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, XIDOID};
	Datum		values[4] = {person->visitors, person->keys, person->values};
	int64		n = 0;
	int64		more = 0;

	values[3] = TransactionIdGetDatum(XidFromFullTransactionId(oldest));
	for (int pass = 0; pass < 2 || more > 0; pass++)
	{
		char		nulls[4] = {' ', ' ', ' ', pass == 0 ? 'n' : ' '};

		more = pcapi_in_steps("SELECT e.dest, e.id FROM pinterest_capi._event AS e WHERE" NOT_EMPTY
							  " AND ($4 IS NULL OR age(e.xmin) <= age($4)) AND" EVENT_OF("$1", "$2", "$3")
							  " ORDER BY e.id FOR NO KEY UPDATE OF e",
							  4, types, values, nulls, erase_step, NULL);
		n += more;
	}
	return n;
}

void
pcapi_erasure_record(const PcapiErasure *person, FullTransactionId oldest)
{
	Oid			types[4] = {BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, XID8OID};
	Datum		values[4] = {person->visitors, person->keys, person->values, FullTransactionIdGetDatum(oldest)};

	SPI_connect();
	pcapi_execute_once(SPI_OK_INSERT,
					   "INSERT INTO pinterest_capi._erasure (oldest, visitors, keys, values)"
					   " VALUES ($4, $1, $2, $3)",
					   4, types, values, NULL, false, 0);
	SPI_finish();
	pcapi_wake_at_commit();
}

/* ---- in the worker ---- */

/*
 * Return whether there is a row in _erasure.  It uses the snapshot by which events are
 * read: a snapshot that shows an event committed after a forget() shows its row too.
 */
static bool
erasures_pending(void)
{
	static const PcapiKey key = {1, {PCAPI_ERASURE_ERASURE}};
	PcapiIndexScan scan;
	bool		found;

	/* a changed table: the statement that follows finds out */
	if (!pcapi_index_scan_open(&scan, PCAPI_TABLE_ERASURE, &key, 0))
		return true;
	index_rescan(scan.scan, NULL, 0, NULL, 0);
	found = pcapi_index_scan_next(&scan);
	pcapi_index_scan_close(&scan);
	return found;
}

void
pcapi_erase_claimed(PcapiQueuedEvent *events, int *n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1];
	Datum	   *elems;
	Datum		erased;
	int			n_erased = 0;
	int			kept = 0;

	if (*n == 0 || !erasures_pending())
		return;
	elems = palloc(sizeof(Datum) * *n);
	for (int i = 0; i < *n; i++)
		elems[i] = Int64GetDatum(events[i].id);
	values[0] = pcapi_array(elems, *n, INT8OID);
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 EMPTY("SELECT e.id FROM pinterest_capi._event AS e WHERE e.id = ANY ($1) AND" NOT_EMPTY
								   " AND EXISTS (SELECT FROM pinterest_capi._erasure AS f WHERE"
								   EVENT_OF("f.visitors", "f.keys", "f.values") ")"),
							 1, types),
				  values, NULL, false, 0);
	if (end_chosen(&erased) == 0)
	{
		SPI_finish();
		return;
	}
	SPI_finish();
	deconstruct_array(DatumGetArrayTypeP(erased), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elems, NULL, &n_erased);
	for (int i = 0; i < *n; i++)
	{
		bool		is_erased = false;

		for (int j = 0; j < n_erased && !is_erased; j++)
			is_erased = DatumGetInt64(elems[j]) == events[i].id;
		if (!is_erased)
			events[kept++] = events[i];
	}
	*n = kept;
}

/*
 * Begin a scan for the rows of _erasure whose forget() committed before the oldest
 * running transaction began.  A statement that began earlier than that may have read
 * the list of the forgotten without the person's hashes.  It has its transaction's
 * xid by its end: so what it wrote is committed or rolled back once all transactions
 * are over that have an xid now.
 */
static void
begin_scan(PcapiErasureScan *scan)
{
	Oid			types[1] = {XIDOID};
	Datum		values[1];
	TransactionId before = GetOldestTransactionIdConsideredRunning();

	values[0] = TransactionIdGetDatum(before);
	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT FROM pinterest_capi._erasure AS f WHERE" OVER("$1") " LIMIT 1",
					   1, types, values, NULL, true, 1);
	if (SPI_processed > 0)
	{
		memset(scan, 0, sizeof(PcapiErasureScan));
		scan->before = before;
		scan->wait_for = XidFromFullTransactionId(ReadNextFullTransactionId());
	}
	SPI_finish();
}

/* Empty the persons' events among the next rows.  False: there are no more. */
static bool
scan_events(PcapiErasureScan *scan)
{
	static SPIPlanPtr top_plan = NULL;
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT8OID, INT8OID, XIDOID};
	Datum		values[3] = {Int64GetDatum(scan->after), 0, TransactionIdGetDatum(scan->before)};
	Datum		ids;
	bool		none;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&top_plan,
							 "SELECT max(n.id) AS top FROM (SELECT e.id FROM pinterest_capi._event AS e"
							 " WHERE e.id > $1 ORDER BY e.id LIMIT " ROWS_PER_STEP ") AS n",
							 1, types),
				  values, NULL, false, 0);
	none = pcapi_result_is_null(0, "top");
	if (!none)
	{
		scan->after = pcapi_result_int64(0, "top");
		values[1] = Int64GetDatum(scan->after);
		pcapi_execute(SPI_OK_SELECT,
					  pcapi_plan(&plan,
								 EMPTY("SELECT e.id FROM pinterest_capi._event AS e WHERE e.id > $1 AND e.id <= $2 AND" NOT_EMPTY
									   " AND EXISTS (SELECT FROM pinterest_capi._erasure AS f WHERE" OVER("$3")
									   " AND" NEWER("e") " AND" EVENT_OF("f.visitors", "f.keys", "f.values") ")"),
								 3, types),
					  values, NULL, false, 0);
		(void) end_chosen(&ids);
	}
	SPI_finish();
	return !none;
}

/* Delete the persons' visitors among the next rows.  False: there are no more. */
static bool
scan_visitors(PcapiErasureScan *scan)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {BYTEAOID, XIDOID};
	Datum		values[2] = {0, TransactionIdGetDatum(scan->before)};
	char		nulls[2] = {'n', ' '};

	if (pcapi_visitor_place_param(&scan->place, &values[0]))
		nulls[0] = ' ';
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "WITH next AS ("
							 " SELECT v.visitor FROM pinterest_capi._visitor AS v"
							 " WHERE v.visitor > coalesce($1, '') ORDER BY v.visitor LIMIT " ROWS_PER_STEP
							 "), deleted AS ("
							 " DELETE FROM pinterest_capi._visitor AS v"
							 " WHERE v.visitor = ANY (ARRAY(SELECT visitor FROM next))"
							 " AND EXISTS (SELECT FROM pinterest_capi._erasure AS f WHERE" OVER("$2")
							 " AND" NEWER("v") " AND" PCAPI_VISITOR_OF("f.visitors", "f.keys", "f.values") ")"
							 ") SELECT visitor FROM next ORDER BY visitor DESC LIMIT 1",
							 2, types),
				  values, nulls, false, 0);
	pcapi_visitor_place_set(&scan->place);
	SPI_finish();
	return scan->place.begun;
}

/*
 * End a scan: delete the rows of _erasure that it was for, and clear the last errors of
 * destinations.  These may quote a value for which an event of a person was refused,
 * also an event that retention has deleted since.  forget() does not clear them, as
 * its transaction would keep the worker from the row.  The reason of a pause or a
 * backoff is about no event, and stays.
 */
static void
end_scan(PcapiErasureScan *scan)
{
	Oid			types[1] = {XIDOID};
	Datum		values[1] = {TransactionIdGetDatum(scan->before)};

	SPI_connect();
	pcapi_execute_sql(SPI_OK_UPDATE,
					  "UPDATE pinterest_capi._destination_state AS s SET last_error = NULL WHERE s.last_error IS NOT NULL"
					  " AND s.last_error IS DISTINCT FROM s.paused_reason AND s.last_error IS DISTINCT FROM s.backoff_reason",
					  false);
	pcapi_execute_once(SPI_OK_DELETE,
					   "DELETE FROM pinterest_capi._erasure AS f WHERE" OVER("$1"),
					   1, types, values, NULL, false, 0);
	SPI_finish();
	memset(scan, 0, sizeof(PcapiErasureScan));
}

bool
pcapi_erasure_step(PcapiErasureScan *scan)
{
	if (!TransactionIdIsValid(scan->before))
	{
		if (erasures_pending())
			begin_scan(scan);
		return false;
	}
	if (!TransactionIdPrecedesOrEquals(scan->wait_for, GetTransactionSnapshot()->xmin))
		return false;
	if (!scan->events_done)
		scan->events_done = !scan_events(scan);
	else if (!scan_visitors(scan))
	{
		end_scan(scan);
		return false;
	}
	return true;
}
