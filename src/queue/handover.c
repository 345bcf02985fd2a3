/*
 * handover.c
 *	  The worker of a published database: what a dispatcher has got, this server
 *	  is done with.
 *
 * A few rows at a time.  They are chosen in a transaction that writes; whatever
 * it saw had committed before, so once every dispatcher's slot has confirmed
 * the end of that transaction's commit record, they have it.  Rows that no slot
 * can have carried (queued before the slot or the publication was there, or
 * queued again) are first inserted once more in that same transaction.
 */
#include "queue/handover.h"
#include "queue/queue.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

#define FEW 10000

static Datum
kept_array(int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
	MemoryContext old = MemoryContextSwitchTo(context);

	d = isnull ? (Datum) 0 : PointerGetDatum(DatumGetArrayTypePCopy(d));
	MemoryContextSwitchTo(old);
	return d;
}

/* Dispatchers whose slot is there, and up to which id what waits is older than one of the slots. */
static char *
subscribers(MemoryContext context, int64 *emit_below)
{
	char	   *names;
	bool		isnull;
	Datum		below;

	/* dropped with its subscription, or left behind on the server that failed over to this one */
	SPI_execute("DELETE FROM pinterest_capi._subscriber AS u"
				" WHERE NOT EXISTS (SELECT FROM pg_replication_slots AS l WHERE l.slot_name = u.slot)",
				false, 0);
	SPI_execute("UPDATE pinterest_capi._subscriber SET looked_at = clock_timestamp()", false, 0);
	SPI_execute("SELECT string_agg(u.slot, ' ' ORDER BY u.slot), max(u.emit_below)"
				" FROM pinterest_capi._subscriber AS u", true, 0);
	names = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	below = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	*emit_below = isnull ? 0 : DatumGetInt64(below);
	return names ? MemoryContextStrdup(context, names) : NULL;
}

/*
 * The next few, with what is needed to know later that they have arrived; false
 * when nobody takes them or nothing waits.  The strings and arrays are in the
 * current memory context.
 */
bool
pcapi_handover_choose(PcapiHandover *few)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		values[2];
	int64		emit_below = 0;
	bool		isnull;

	memset(few, 0, sizeof(PcapiHandover));
	SPI_connect();

	/* what is in a request from before publish() is settled first */
	SPI_execute("SELECT FROM pinterest_capi._queue AS q, pinterest_capi._subscriber AS u"
				" WHERE NOT EXISTS (SELECT FROM pinterest_capi._lease) LIMIT 1", true, 1);
	if (SPI_processed > 0)
		few->slots = subscribers(context, &emit_below);
	if (few->slots == NULL)
	{
		SPI_finish();
		return false;
	}
	values[0] = Int64GetDatum(emit_below);
	values[1] = Int32GetDatum(FEW);
	SPI_execute_with_args("SELECT array_agg(w.dest), array_agg(w.id), count(*),"
						  " array_agg(w.id) FILTER (WHERE e.destination IS NULL OR w.due_at IS NOT NULL OR w.id <= $1)"
						  " FROM (SELECT q.dest, q.id, q.due_at FROM pinterest_capi._queue AS q"
						  " ORDER BY q.dest, q.id LIMIT $2) AS w"
						  " CROSS JOIN LATERAL (SELECT v.destination FROM pinterest_capi._event AS v WHERE v.id = w.id OFFSET 0) AS e",
						  2, types, values, NULL, true, 0);
	few->n = (int) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	few->full = (few->n >= FEW);
	if (few->n > 0)
	{
		Oid			emit_types[1] = {INT8ARRAYOID};
		Datum		emit;

		few->dests = kept_array(1, context);
		few->ids = kept_array(2, context);
		emit = kept_array(4, context);
		if (emit != (Datum) 0)
			SPI_execute_with_args("WITH gone AS (DELETE FROM pinterest_capi._event WHERE id = ANY ($1) RETURNING *)"
								  " INSERT INTO pinterest_capi._event (id, created_at, event_time, dest, visitor,"
								  " event_id, event_name, sent_as, warnings, payload, origin, destination)"
								  " SELECT g.id, g.created_at, g.event_time, g.dest, g.visitor, g.event_id, g.event_name,"
								  " g.sent_as, g.warnings, g.payload, g.origin, s.destination"
								  " FROM gone AS g LEFT JOIN pinterest_capi._destination_state AS s ON s.dest = g.dest",
								  1, emit_types, &emit, NULL, false, 0);
	}
	SPI_finish();
	return few->n > 0;
}

/* What has become of them; the slots must be the same ones. */
PcapiHandoverState
pcapi_handover_state(const PcapiHandover *few)
{
	Oid			types[2] = {TEXTOID, PG_LSNOID};
	Datum		values[2] = {CStringGetTextDatum(few->slots), LSNGetDatum(few->committed)};
	PcapiHandoverState state = PCAPI_HANDOVER_STALE;
	bool		isnull;

	SPI_connect();
	SPI_execute_with_args("SELECT bool_and(l.confirmed_flush_lsn >= $2)"
						  " FROM pinterest_capi._subscriber AS u LEFT JOIN pg_replication_slots AS l ON l.slot_name = u.slot"
						  " HAVING string_agg(u.slot, ' ' ORDER BY u.slot) = $1 AND count(*) = count(l.slot_name)",
						  2, types, values, NULL, true, 0);
	if (SPI_processed > 0)
		state = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) && !isnull ?
			PCAPI_HANDOVER_CONFIRMED : PCAPI_HANDOVER_WAITS;
	SPI_finish();
	return state;
}

/* "queued" is as far as this server can tell. */
void
pcapi_handover_finish(const PcapiHandover *few)
{
	Oid			types[2] = {INT4ARRAYOID, INT8ARRAYOID};
	Datum		values[2] = {few->dests, few->ids};

	SPI_connect();
	SPI_execute_with_args("WITH gone AS (DELETE FROM pinterest_capi._queue AS q"
						  " USING unnest($1, $2) AS r (dest, id) WHERE" PCAPI_QUEUED_AS("r") " RETURNING q.*)"
						  " INSERT INTO pinterest_capi._outcome (id, finished_at, last_attempt_at, dest,"
						  " attempts, http_status, status, reason, error, warnings)"
						  " SELECT g.id, clock_timestamp(), g.last_attempt_at, g.dest, g.attempts, g.http_status,"
						  " 'queued', 'handed over to the dispatcher', g.error, g.warnings FROM gone AS g",
						  2, types, values, NULL, false, 0);
	SPI_finish();
}
