/*
 * erase.c
 *	  Empty the events of people who are to be forgotten.
 *
 * forget() empties what it can see.  A transaction that was open meanwhile may
 * commit an event or a visitor of that person later, without having known of
 * the list of the forgotten.  So forget() leaves a row in _erasure, and the
 * worker does two things while one is there: it takes events of that person out
 * of what is about to be sent, and once every transaction is over that may not
 * have known, it looks once through all rows that are newer than forget().
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
 * Whether an event e, a visitor v is the person's.  strpos only saves taking
 * payloads apart that can't have it.  One that can't be read and holds the text
 * counts as the person's.
 */
#define EVENT_OF(visitors, keys, values) \
	" (e.visitor = ANY (" visitors ") OR EXISTS (SELECT FROM unnest(" keys ", " values ") AS p (key, value)" \
	" WHERE strpos(e.payload, to_json(p.value)::text) > 0" \
	" AND CASE WHEN pinterest_capi._readable(e.payload)" \
	" THEN e.payload::jsonb -> 'user_data' -> p.key @> to_jsonb(p.value) ELSE true END))"

/*
 * Lock the chosen rows e of _event in the order of their ids, and empty them.
 * For a bounded number of rows: their ids come back as arrays.
 */
#define EMPTY(chosen) \
	"WITH chosen AS (" chosen " ORDER BY e.id FOR NO KEY UPDATE OF e" \
	"), emptied AS (" EMPTY_THOSE("ARRAY(SELECT id FROM chosen)") " RETURNING e.dest, e.id" \
	") SELECT count(*) AS n, coalesce(array_agg(dest), '{}') AS dests, coalesce(array_agg(id), '{}') AS ids FROM emptied"

#define EMPTY_THOSE(ids) \
	" UPDATE pinterest_capi._event AS e SET payload = NULL, visitor = NULL WHERE e.id = ANY (" ids ")"

#define NOT_EMPTY " (e.payload IS NOT NULL OR e.visitor IS NOT NULL)"

/* Rows f of _erasure that a scan is for, and what of the table r is newer than their forget(). */
#define OVER(before)	" age(f.xmin) > age(" before ")"
#define NEWER(r)		" age(" r ".xmin) <= age(f.oldest::xid)"

/* rows a step of the worker's looks at */
#define FEW "2000"

/*
 * End those of the emptied events that wait, and clear Pinterest's words about
 * all of them: its errors and warnings may quote what they are about.  Warnings
 * of our own quote nothing and stay.  The rows of _event come before, which
 * waits for a replay of them that isn't committed; then what it has put back
 * into the queue can be seen.
 */
static void
end_emptied(Datum dests, Datum ids)
{
	static const char *const ours[] = {PCAPI_WARNING_UNKNOWN, PCAPI_WARNING_LATE, PCAPI_WARNING_IN_REQUEST, PCAPI_WARNING_PUBLISHED};
	Oid			types[2] = {INT4ARRAYOID, INT8ARRAYOID};
	Datum		values[2] = {dests, ids};
	List	   *kept = NIL;

	pcapi_finalize_waiting("suppressed", "forgotten",
						   "(SELECT * FROM unnest($3, $4) AS e (dest, id) ORDER BY e.dest, e.id OFFSET 0) AS r"
						   " JOIN pinterest_capi._queue AS q ON" PCAPI_QUEUED_AS("r"),
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

/* Inside SPI, after EMPTY().  Leaves *ids in the caller's memory context. */
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
 * A row that is deleted and inserted again while its lock is waited for
 * (handover.c), or was copied by a replay that was waited for, is found by
 * searching what is new once more.
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

/* By the snapshot by which events are read: who sees an event that was committed after a forget() sees its row. */
static bool
erasures_pending(void)
{
	static const PcapiKey key = {1, {1}};
	PcapiIndexScan walk;
	bool		found;

	/* somebody has changed the table: the statement that asks for rows will tell */
	if (!pcapi_index_scan_open(&walk, PCAPI_TABLE_ERASURE, &key, 0))
		return true;
	index_rescan(walk.scan, NULL, 0, NULL, 0);
	found = pcapi_index_scan_next(&walk);
	pcapi_index_scan_close(&walk);
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
	values[0] = PointerGetDatum(construct_array(elems, *n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
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
 * Begin a scan for those whose forget() no statement can have begun before.  A
 * statement that did may have looked at the list of the forgotten without its
 * hashes, but has its transaction's id by its end: so what it wrote is
 * committed or gone once the transactions are over that have one by now.
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

/* False: there are no more. */
static bool
scan_events(PcapiErasureScan *scan)
{
	static SPIPlanPtr few_plan = NULL;
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT8OID, INT8OID, XIDOID};
	Datum		values[3] = {Int64GetDatum(scan->after), 0, TransactionIdGetDatum(scan->before)};
	Datum		ids;
	bool		none;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&few_plan,
							 "SELECT max(n.id) AS top FROM (SELECT e.id FROM pinterest_capi._event AS e"
							 " WHERE e.id > $1 ORDER BY e.id LIMIT " FEW ") AS n",
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

/* likewise, of visitors */
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
							 "WITH few AS ("
							 " SELECT v.visitor FROM pinterest_capi._visitor AS v"
							 " WHERE v.visitor > coalesce($1, '') ORDER BY v.visitor LIMIT " FEW
							 "), gone AS ("
							 " DELETE FROM pinterest_capi._visitor AS v"
							 " WHERE v.visitor = ANY (ARRAY(SELECT visitor FROM few))"
							 " AND EXISTS (SELECT FROM pinterest_capi._erasure AS f WHERE" OVER("$2")
							 " AND" NEWER("v") " AND" PCAPI_VISITOR_OF("f.visitors", "f.keys", "f.values") ")"
							 ") SELECT visitor FROM few ORDER BY visitor DESC LIMIT 1",
							 2, types),
				  values, nulls, false, 0);
	pcapi_visitor_place_set(&scan->place);
	SPI_finish();
	return scan->place.begun;
}

/*
 * The last error of a destination may quote what an event of the person's was
 * refused for, also one that retention has deleted since.  It is cleared here
 * and not by forget(), whose transaction would keep the worker from the row.
 * What a destination is paused for, or waits for, is about no event.
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
