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

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/handover.h"
#include "queue/statistics.h"
#include "queue/outcome.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

/* rows that are handed over together */
#define ROWS_PER_HANDOVER 10000

/*
 * Return the names of the dispatchers' slots, or NULL.  *emit_below: events up to this
 * id are older than one of the slots.
 */
static char *
subscribers(int64 *emit_below)
{
	/* slots that were dropped with their subscriptions, or that a failover has left on the other server */
	pcapi_execute_sql(SPI_OK_DELETE,
					  "DELETE FROM pinterest_capi._subscriber AS u"
					  " WHERE NOT EXISTS (SELECT FROM pg_replication_slots AS l WHERE l.slot_name = u.slot)",
					  false);
	pcapi_execute_sql(SPI_OK_UPDATE, "UPDATE pinterest_capi._subscriber SET looked_at = clock_timestamp()", false);
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT string_agg(u.slot, ' ' ORDER BY u.slot) AS slots, max(u.emit_below) AS below"
					  " FROM pinterest_capi._subscriber AS u",
					  true);
	*emit_below = pcapi_result_int64(0, "below");
	return pcapi_result_text(0, "slots");
}

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

/* Keep the rows of the last statement, except those that had to be inserted once more and could not be. */
static void
keep_rows(PcapiHandover *rows, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	int			n = (int) SPI_processed;
	int			dest = pcapi_result_column("dest");
	int			id = pcapi_result_column("id");
	int			xmin = pcapi_result_column("xmin");
	int			again = pcapi_result_column("emit");
	Emission	e = {.ids = palloc(sizeof(Datum) * n), .emitted = palloc0(sizeof(bool) * n)};
	bool	   *wanted = palloc(sizeof(bool) * n);
	bool		isnull;
	int			at = 0;

	rows->dests = palloc(sizeof(Datum) * n);
	rows->ids = palloc(sizeof(Datum) * n);
	rows->xmins = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
	{
		wanted[i] = DatumGetBool(pcapi_result_datum(i, again, &isnull));
		if (wanted[i])
			e.ids[e.n++] = pcapi_result_datum(i, id, &isnull);
	}
	(void) pcapi_by_halves(emit, &e, 0, e.n);
	for (int i = 0; i < n; i++)
	{
		if (wanted[i] && !e.emitted[at++])
			continue;
		rows->dests[rows->n] = pcapi_result_datum(i, dest, &isnull);
		rows->ids[rows->n] = pcapi_result_datum(i, id, &isnull);
		rows->xmins[rows->n++] = pcapi_result_datum(i, xmin, &isnull);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Choose the next rows.  False: there is no dispatcher, or nothing is queued.  The
 * strings and arrays are in the current memory context.
 */
bool
pcapi_handover_choose(PcapiHandover *rows)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		values[2];
	int64		emit_below = 0;

	memset(rows, 0, sizeof(PcapiHandover));
	SPI_connect();

	/* leases of requests from before publish() are settled first */
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT FROM pinterest_capi._queue AS q, pinterest_capi._subscriber AS u"
					  " WHERE NOT EXISTS (SELECT FROM pinterest_capi._lease WHERE problem IS NULL) LIMIT 1",
					  true);
	if (SPI_processed > 0)
		rows->slots = subscribers(&emit_below);
	if (rows->slots == NULL)
	{
		SPI_finish();
		return false;
	}
	values[0] = Int64GetDatum(emit_below);
	values[1] = Int32GetDatum(ROWS_PER_HANDOVER);
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT w.dest, w.id, w.xmin AS xmin, e.destination IS NULL OR w.due_at IS NOT NULL OR w.id <= $1 AS emit"
					   " FROM (SELECT q.dest, q.id, q.xmin, q.due_at FROM pinterest_capi._queue AS q"
					   " WHERE q.id <> ALL (ARRAY(SELECT unnest(l.ids) FROM pinterest_capi._lease AS l))"
					   " ORDER BY q.dest, q.id LIMIT $2) AS w"
					   " CROSS JOIN LATERAL (SELECT v.destination FROM pinterest_capi._event AS v WHERE v.id = w.id OFFSET 0) AS e",
					   2, types, values, NULL, true, 0);
	rows->full = (SPI_processed >= ROWS_PER_HANDOVER);
	keep_rows(rows, context);
	SPI_finish();
	return rows->n > 0;
}

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

/* Make rows final, unless they have changed or another transaction has locked them.  A PcapiPartWork. */
static void
finalize(void *arg, int from, int n)
{
	static SPIPlanPtr plans[2];
	const PcapiHandover *rows = arg;
	Oid			types[3] = {INT4ARRAYOID, INT8ARRAYOID, XIDARRAYOID};
	Datum		values[3];
	Datum	   *ids = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *retried = palloc(sizeof(bool) * Max(n, 1));
	int			written;

	values[0] = pcapi_array(rows->dests + from, n, INT4OID);
	values[1] = pcapi_array(rows->ids + from, n, INT8OID);
	values[2] = pcapi_array(rows->xmins + from, n, XIDOID);
	SPI_connect();
	pcapi_execute(SPI_OK_INSERT_RETURNING,
				  pcapi_outcome_plan(plans, "WITH free AS MATERIALIZED (SELECT r.dest, r.id FROM unnest($1, $2, $3) AS r (dest, id, xmin)"
									 " JOIN pinterest_capi._queue AS q ON" PCAPI_QUEUED_AS("r")
									 " WHERE q.xmin = r.xmin FOR UPDATE OF q SKIP LOCKED),"
									 " dequeued AS (DELETE FROM pinterest_capi._queue AS q"
									 " USING free AS r WHERE" PCAPI_QUEUED_AS("r") " RETURNING q.*)"
									 " INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")"
									 " SELECT g.id, clock_timestamp(), g.last_attempt_at, g.dest, g.attempts, g.http_status,"
									 " 'queued', 'handed over to the dispatcher', g.error, g.warnings, NULL FROM dequeued AS g%s"
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
