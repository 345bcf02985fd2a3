/*
 * handover.c
 *	  Make the events of a published database final once the dispatchers have them.
 *
 * The worker does so for some thousand rows at a time.  It chooses them in a
 * transaction that writes.  The rows that it sees had committed before: so once each
 * dispatcher's slot has confirmed the end of that transaction's commit record, all
 * dispatchers have them.  Rows that a slot cannot have carried (queued before the slot
 * or the publication existed, or queued again) are inserted once more in that same
 * transaction.
 */
#include "pinterest_capi.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/handover.h"
#include "queue/statistics.h"
#include "queue/outcome.h"
#include "queue/waiting.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* rows that are handed over together */
#define ROWS_PER_HANDOVER 10000
#define ROWS_LIMIT	"10000"

/*
 * How far the events that were never tried are handed over, of all destinations:
 *
 *          done      low_water       last
 *            |           |             |
 *    --------+-----------+-------------+------> ids
 *    all are |   rows may wait,        | not chosen yet
 *    final   |   or still be committed |
 *
 * Up to low_water all rows are visible or will never be, for the reason that enqueue.c
 * gives.  The rows behind last are read each time, and for one twentieth of the time those
 * behind done.  So if a transaction is open for long, what is handed over meanwhile costs
 * nothing.
 */
typedef struct Progress
{
	bool		begun;			/* done is read from the table */
	int64		done;
	int64		low_water;
	int64		last;
	int64		mark;			/* becomes low_water once all transactions older than mark_xid are over */
	TransactionId mark_xid;		/* invalid: there is no mark */
	TimestampTz full_at;		/* when to read from done on again */
	int64		written;		/* done, as it stands in the tables */
	TimestampTz write_at;
} Progress;

static Progress progress;

/* how often done is written into the tables, where it is the done_below of all destinations */
#define WRITE_INTERVAL	(60 * USECS_PER_SEC)
#define WRITE_AFTER		100000	/* ids: at once */

/* ---- choosing ---- */

/* Read where to begin, and the state of the sequence. */
static void
begin_or_move(Snapshot snapshot)
{
	int64		drawn;

	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT q.last_value - (NOT q.is_called)::int AS drawn, coalesce((SELECT min(s.done_below) FROM pinterest_capi._destination_state AS s), 0) AS done"
					  " FROM pinterest_capi._event_id_seq AS q",
					  true);
	drawn = pcapi_result_int64(0, "drawn");
	/* somebody has emptied the tables and set the sequence back */
	if (drawn < progress.low_water)
		memset(&progress, 0, sizeof(Progress));
	if (!progress.begun)
	{
		progress.begun = true;
		progress.done = progress.low_water = progress.last = progress.written = Min(pcapi_result_int64(0, "done"), drawn);
	}
	if (TransactionIdIsValid(progress.mark_xid) && TransactionIdPrecedesOrEquals(progress.mark_xid, snapshot->xmin))
	{
		progress.low_water = progress.mark;
		progress.mark_xid = InvalidTransactionId;
	}
	if (!TransactionIdIsValid(progress.mark_xid) && drawn > progress.low_water)
	{
		progress.mark = drawn;
		progress.mark_xid = XidFromFullTransactionId(ReadNextFullTransactionId());
	}
}

/* the rows that one transaction chooses */
typedef struct Choice
{
	PcapiHandover *rows;
	bool	   *emit;			/* for each: a slot may not have carried it */
} Choice;

/* Add the rows of the last statement, but for those of leases. */
static void
add_rows(Choice *choice)
{
	PcapiHandover *rows = choice->rows;
	int			dest;
	int			id;
	int			xmin;
	int			emit;
	int			leased;
	bool		isnull;

	if (SPI_processed == 0)
		return;
	dest = pcapi_result_column("dest");
	id = pcapi_result_column("id");
	xmin = pcapi_result_column("queued_by");
	emit = pcapi_result_column("emit");
	leased = pcapi_result_column("leased");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		if (DatumGetBool(pcapi_result_datum(i, leased, &isnull)))
			continue;
		rows->dests[rows->n] = pcapi_result_datum(i, dest, &isnull);
		rows->ids[rows->n] = pcapi_result_datum(i, id, &isnull);
		rows->xmins[rows->n] = pcapi_result_datum(i, xmin, &isnull);
		choice->emit[rows->n++] = DatumGetBool(pcapi_result_datum(i, emit, &isnull));
	}
	if (SPI_processed >= ROWS_PER_HANDOVER)
		rows->full = true;
}

/* an event of a number that no destination has goes nowhere */
#define KNOWN(dest) " " dest " = ANY (ARRAY(SELECT s.dest FROM pinterest_capi._destination_state AS s))"
#define LEASED(id)	" " id " = ANY (ARRAY(SELECT unnest(l.ids) FROM pinterest_capi._lease AS l)) AS leased"

/* Choose rows of _retry: slots may have carried their events, but not for that they were queued again. */
static void
choose_retries(Choice *choice)
{
	static SPIPlanPtr plan = NULL;

	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT q.dest, q.id, q.xmin AS queued_by, true AS emit," LEASED("q.id") " FROM pinterest_capi._retry AS q"
							 " WHERE" KNOWN("q.dest") " AND" PCAPI_NOT_FINAL("q.id")
							 " AND (SELECT true FROM pinterest_capi._event AS e WHERE e.id = q.id)"
							 " ORDER BY q.dest, q.id LIMIT " ROWS_LIMIT,
							 0, NULL),
				  NULL, NULL, true, 0);
	add_rows(choice);
}

/* Choose events that were never tried, in the order of their ids. */
static void
choose_new(Choice *choice, int64 emit_below)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {0, Int64GetDatum(emit_below)};
	TimestampTz begun_at = GetCurrentTimestamp();
	bool		full = begun_at >= progress.full_at;
	int64		first = 0;
	int64		last = 0;

	values[0] = Int64GetDatum(full ? progress.done : progress.last);
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT w.dest, w.id, '0'::xid AS queued_by, e.destination IS NULL OR w.id <= $2 AS emit," LEASED("w.id")
							 " FROM (SELECT n.dest, n.id FROM pinterest_capi._event AS n"
							 " WHERE n.id > $1 AND" KNOWN("(n.dest + 0)") " AND" PCAPI_NOT_FINAL("n.id")
							 " AND n.id >" PCAPI_DONE_BELOW("n.dest") " AND NOT" PCAPI_IS_RETRIED("n.dest", "n.id")
							 " ORDER BY n.id LIMIT " ROWS_LIMIT ") AS w"
							 " CROSS JOIN LATERAL (SELECT v.destination FROM pinterest_capi._event AS v WHERE v.id = w.id OFFSET 0) AS e"
							 " ORDER BY w.id",
							 2, types),
				  values, NULL, true, 0);
	if (SPI_processed > 0)
	{
		first = pcapi_result_int64(0, "id");
		last = pcapi_result_int64(SPI_processed - 1, "id");
	}
	add_rows(choice);
	if (full)
	{
		int64		done = first > 0 ? Min(progress.low_water, first - 1) : progress.low_water;

		progress.done = Max(progress.done, done);
		progress.full_at = begun_at + 20 * (GetCurrentTimestamp() - begun_at);
	}
	progress.last = Max(progress.last, Max(last, progress.done));
}

/* Write done into the tables from time to time: another worker begins there, and views read from there on. */
static void
write_done(void)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(progress.done)};
	TimestampTz now = GetCurrentTimestamp();

	if (progress.done <= progress.written ||
		(progress.done < progress.written + WRITE_AFTER && now < progress.write_at && progress.write_at < now + WRITE_INTERVAL))
		return;
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state AS u SET done_below = $1 WHERE u.dest = ANY (ARRAY("
					   "SELECT s.dest FROM pinterest_capi._destination_state AS s WHERE s.done_below < $1 FOR UPDATE SKIP LOCKED))",
					   1, types, values, NULL, false, 0);
	progress.written = progress.done;
	progress.write_at = now + WRITE_INTERVAL;
}

/* Return the names of the dispatchers' slots, or NULL. */
static char *
subscribers(void)
{
	/* slots that were dropped with their subscriptions, or that a failover has left on the other server */
	pcapi_execute_sql(SPI_OK_DELETE,
					  "DELETE FROM pinterest_capi._subscriber AS u"
					  " WHERE NOT EXISTS (SELECT FROM pg_replication_slots AS l WHERE l.slot_name = u.slot)",
					  false);
	pcapi_execute_sql(SPI_OK_UPDATE, "UPDATE pinterest_capi._subscriber SET looked_at = clock_timestamp()", false);
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT string_agg(u.slot, ' ' ORDER BY u.slot) AS slots FROM pinterest_capi._subscriber AS u",
					  true);
	return pcapi_result_text(0, "slots");
}

/* ---- rows that no slot can have carried ---- */

/* rows to be inserted once more, for emit() */
typedef struct Emission
{
	Datum	   *ids;
	int			n;
	bool	   *emitted;		/* those that were */
} Emission;

/* Delete rows of _event that no other transaction has locked, and insert them again.  A PcapiPartWork. */
static void
emit(void *arg, int from, int n)
{
	Emission   *e = arg;
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {pcapi_array(e->ids + from, n, INT8OID)};
	int			at = 0;
	int			column = 0;

	SPI_connect();
	if (pcapi_execute_once(SPI_OK_INSERT_RETURNING,
						   "WITH free AS MATERIALIZED (SELECT v.id FROM pinterest_capi._event AS v"
						   " WHERE v.id = ANY ($1) FOR UPDATE SKIP LOCKED), deleted AS"
						   " (DELETE FROM pinterest_capi._event WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING *)"
						   " INSERT INTO pinterest_capi._event (id, created_at, event_time, dest, visitor,"
						   " event_id, event_name, sent_as, warnings, payload, origin, destination, carries, currency, value)"
						   " SELECT g.id, g.created_at, g.event_time, g.dest, g.visitor, g.event_id, g.event_name,"
						   " g.sent_as, g.warnings, g.payload, g.origin, s.destination, g.carries, g.currency, g.value"
						   " FROM deleted AS g LEFT JOIN pinterest_capi._destination_state AS s ON s.dest = g.dest"
						   " RETURNING id",
						   1, types, values, NULL, false, 0) > 0)
		column = pcapi_result_column("id");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(pcapi_result_datum(row, column, &isnull));

		/* both are in nearly the same order: search from the last one on */
		for (int k = 0; k < n; k++, at = (at + 1) % n)
			if (DatumGetInt64(e->ids[from + at]) == id)
			{
				e->emitted[from + at] = true;
				break;
			}
	}
	SPI_finish();
}

/* Insert rows once more where that is needed, and keep those for which it could be done, and the others. */
static void
emit_rows(Choice *choice)
{
	PcapiHandover *rows = choice->rows;
	int			n = rows->n;
	int			at = 0;
	Emission	e = {.ids = palloc(sizeof(Datum) * n), .emitted = palloc0(sizeof(bool) * n)};

	for (int i = 0; i < n; i++)
		if (choice->emit[i])
			e.ids[e.n++] = rows->ids[i];
	(void) pcapi_by_halves(emit, &e, 0, e.n);
	rows->n = 0;
	for (int i = 0; i < n; i++)
	{
		if (choice->emit[i] && !e.emitted[at++])
			continue;
		rows->dests[rows->n] = rows->dests[i];
		rows->ids[rows->n] = rows->ids[i];
		rows->xmins[rows->n++] = rows->xmins[i];
	}
}

/*
 * Choose the next rows.  False: there is no dispatcher, or nothing is queued.  The
 * strings and arrays are in the current memory context.
 */
bool
pcapi_handover_choose(PcapiHandover *rows)
{
	Choice		choice = {.rows = rows};
	int64		emit_below;
	int			level;

	memset(rows, 0, sizeof(PcapiHandover));
	rows->dests = palloc(sizeof(Datum) * 2 * ROWS_PER_HANDOVER);
	rows->ids = palloc(sizeof(Datum) * 2 * ROWS_PER_HANDOVER);
	rows->xmins = palloc(sizeof(Datum) * 2 * ROWS_PER_HANDOVER);
	choice.emit = palloc(sizeof(bool) * 2 * ROWS_PER_HANDOVER);
	SPI_connect();

	/* leases of requests from before publish() are settled first */
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT max(u.emit_below) AS below FROM pinterest_capi._subscriber AS u"
					  " WHERE NOT EXISTS (SELECT FROM pinterest_capi._lease WHERE problem IS NULL)",
					  true);
	if (pcapi_result_is_null(0, "below"))
	{
		SPI_finish();
		return false;
	}
	emit_below = pcapi_result_int64(0, "below");
	level = pcapi_plan_by_key();
	begin_or_move(GetActiveSnapshot());
	choose_retries(&choice);
	choose_new(&choice, emit_below);
	AtEOXact_GUC(true, level);
	write_done();
	if (rows->n > 0 && (rows->slots = subscribers()) == NULL)
		rows->n = 0;
	SPI_finish();
	if (rows->n > 0)
		emit_rows(&choice);
	return rows->n > 0;
}

/* ---- finishing ---- */

PcapiHandoverState
pcapi_handover_state(const PcapiHandover *rows)
{
	Oid			types[2] = {TEXTOID, PG_LSNOID};
	Datum		values[2] = {CStringGetTextDatum(rows->slots), LSNGetDatum(rows->committed)};
	PcapiHandoverState state = PCAPI_HANDOVER_STALE;

	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT bool_and(l.confirmed_flush_lsn >= $2) AS confirmed"
					   " FROM pinterest_capi._subscriber AS u LEFT JOIN pg_replication_slots AS l ON l.slot_name = u.slot"
					   " HAVING string_agg(u.slot, ' ' ORDER BY u.slot) = $1 AND count(*) = count(l.slot_name)",
					   2, types, values, NULL, true, 0);
	if (SPI_processed > 0)
		state = pcapi_result_bool(0, "confirmed") ?
			PCAPI_HANDOVER_CONFIRMED : PCAPI_HANDOVER_WAITS;
	SPI_finish();
	return state;
}

/* Make rows final, unless they have changed or another transaction is making them final.  A PcapiPartWork. */
static void
finalize(void *arg, int from, int n)
{
	static SPIPlanPtr plans[2];
	const PcapiHandover *rows = arg;
	PcapiOutcomeLook *look = pcapi_outcome_look_begin();
	Oid			types[3] = {INT4ARRAYOID, INT8ARRAYOID, XIDARRAYOID};
	Datum		values[3];
	Datum	   *columns[3];
	int			free = 0;
	Datum	   *ids = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *retried = palloc(sizeof(bool) * Max(n, 1));
	int			written;

	for (int c = 0; c < 3; c++)
		columns[c] = palloc(sizeof(Datum) * n);
	for (int i = from; i < from + n; i++)
	{
		if (look && pcapi_outcome_look(look, DatumGetInt64(rows->ids[i])) != PCAPI_OUTCOME_NONE)
			continue;
		columns[0][free] = rows->dests[i];
		columns[1][free] = rows->ids[i];
		columns[2][free++] = rows->xmins[i];
	}
	if (look)
		pcapi_outcome_look_end(look);
	for (int c = 0; c < 3; c++)
		values[c] = pcapi_array(columns[c], free, c == 0 ? INT4OID : c == 1 ? INT8OID : XIDOID);
	SPI_connect();
	pcapi_execute(SPI_OK_INSERT_RETURNING,
				  pcapi_outcome_plan(plans,
									 "WITH chosen AS MATERIALIZED (SELECT r.dest, r.id, r.queued_by, q.*"
									 " FROM (SELECT u.dest, u.id, u.queued_by FROM unnest($1, $2, $3) AS u (dest, id, queued_by) ORDER BY u.id OFFSET 0) AS r"
									 " LEFT JOIN LATERAL (SELECT w.xmin AS now_by, w.attempts, w.http_status, w.last_attempt_at, w.error, w.warnings"
									 " FROM pinterest_capi._retry AS w WHERE w.dest = r.dest AND w.id = r.id OFFSET 0) AS q ON true"
									 " WHERE CASE WHEN r.queued_by = '0'::xid THEN q.now_by IS NULL ELSE q.now_by = r.queued_by END"
									 " AND" PCAPI_NOT_FINAL("r.id") "),"
									 " free AS MATERIALIZED (SELECT q.dest, q.id FROM chosen AS r"
									 " JOIN pinterest_capi._retry AS q ON" PCAPI_RETRY_AS("r") " FOR UPDATE OF q SKIP LOCKED),"
									 " gone AS (DELETE FROM pinterest_capi._retry AS q USING free AS r WHERE" PCAPI_RETRY_AS("r") ")"
									 " INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")"
									 " SELECT g.id, clock_timestamp(), g.last_attempt_at, g.dest, coalesce(g.attempts, 0), g.http_status,"
									 " 'queued', 'handed over to the dispatcher', g.error, g.warnings, NULL FROM chosen AS g"
									 " WHERE g.queued_by = '0'::xid OR (g.dest, g.id) IN (SELECT f.dest, f.id FROM free AS f)%s"
									 " RETURNING id, attempts",
									 3, types),
				  values, NULL, false, 0);
	written = Min((int) SPI_processed, n);
	for (int i = 0; i < written; i++)
	{
		ids[i] = Int64GetDatum(pcapi_result_int64(i, "id"));
		retried[i] = pcapi_result_int32(i, "attempts") > 0;
	}
	SPI_finish();
	pcapi_statistics_ended(ids, retried, written);
}

/*
 * The outcome is "queued": what the dispatcher makes of the event is not known here.
 * Rows that have changed since they were chosen, or can't be written, are chosen again.
 */
void
pcapi_handover_finish(const PcapiHandover *rows)
{
	(void) pcapi_by_halves(finalize, unconstify(PcapiHandover *, rows), 0, rows->n);
}
