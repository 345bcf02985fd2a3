/*
 * enqueue.c
 *	  The way into the queue, in the caller's transaction.
 *
 * What an event holds is settled before (src/session); here it only becomes
 * rows.
 */
#include "queue/queue.h"
#include "queue/rows.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

SPIPlanPtr
pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *argtypes)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, nargs, argtypes);

		if (made == NULL)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*plan = made;
	}
	return *plan;
}

/*
 * The number is made once per destination.  Two sessions that make it at the
 * same time meet in the unique index: the second waits and then finds it.  The
 * sequence may be behind, where logical replication has brought destinations.
 */
int
pcapi_destination_number(const char *destination, bool create)
{
	static SPIPlanPtr find_plan = NULL;
	static SPIPlanPtr make_plan = NULL;
	Oid			argtypes[1] = {TEXTOID};
	Datum		values[1];
	int			number = 0;
	bool		isnull;

	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	for (int turn = 0; turn < 9 && number == 0; turn++)
	{
		if (turn % 2 == 1)
		{
			if (!create)
				break;
			(void) pcapi_execute_upsert(PCAPI_T_DESTINATION_STATE,
										pcapi_plan(&make_plan,
												   "INSERT INTO pinterest_capi._destination_state (dest, destination)"
												   " SELECT pg_catalog.int4(GREATEST(pg_catalog.nextval('pinterest_capi._destination_state_dest_seq'),"
												   " (SELECT pg_catalog.max(s.dest) OPERATOR(pg_catalog.+) 1::pg_catalog.int8"
												   " FROM pinterest_capi._destination_state AS s))), $1"
												   " ON CONFLICT DO NOTHING RETURNING dest",
												   1, argtypes),
										values, NULL);
		}
		else
			SPI_execute_plan(pcapi_plan(&find_plan,
										"SELECT dest FROM pinterest_capi._destination_state"
										" WHERE destination OPERATOR(pg_catalog.=) $1",
										1, argtypes),
							 values, NULL, false, 1);
		if (SPI_processed > 0)
			number = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	if (create && number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent configuration of a destination"),
				 errhint("The transaction might succeed if retried."),
				 pcapi_hide()));
	return number;
}

Datum
pcapi_text_array(List *strings)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		elems[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static bool
insert_event(const PcapiNewEvent *ev, int64 id, TimestampTz now)
{
	PcapiWriter writer;
	bool		new_one;

	pcapi_writer_open(&writer, PCAPI_T_EVENT, PCAPI_EVENT_COLUMNS,
					  ev->event_id_generated ? NULL : &pcapi_event_dedup_key);
	pcapi_slot_set(writer.slot, PCAPI_EVENT_ID, Int64GetDatum(id));
	pcapi_slot_set(writer.slot, PCAPI_EVENT_CREATED_AT, TimestampTzGetDatum(ev->created_at ? ev->created_at : now));
	pcapi_slot_set(writer.slot, PCAPI_EVENT_EVENT_TIME, TimestampTzGetDatum(ev->event_time));
	pcapi_slot_set(writer.slot, PCAPI_EVENT_DEST, Int32GetDatum(ev->dest));
	if (ev->visitor)
	{
		bytea	   *v = palloc(VARHDRSZ + 32);

		SET_VARSIZE(v, VARHDRSZ + 32);
		memcpy(VARDATA(v), ev->visitor, 32);
		pcapi_slot_set(writer.slot, PCAPI_EVENT_VISITOR, PointerGetDatum(v));
	}
	pcapi_slot_set_text(writer.slot, PCAPI_EVENT_EVENT_ID, ev->event_id);
	pcapi_slot_set_text(writer.slot, PCAPI_EVENT_EVENT_NAME, ev->event_name);
	pcapi_slot_set_text(writer.slot, PCAPI_EVENT_SENT_AS, ev->sent_as);
	if (ev->warnings != NIL)
		pcapi_slot_set(writer.slot, PCAPI_EVENT_WARNINGS, pcapi_text_array(ev->warnings));
	pcapi_slot_set_text(writer.slot, PCAPI_EVENT_PAYLOAD, ev->payload);
	pcapi_slot_set_text(writer.slot, PCAPI_EVENT_ORIGIN, ev->origin);
	/* a row with a name is published; what is final here concerns nobody else */
	if (ev->status == NULL && ev->destination && pcapi_published())
		pcapi_slot_set_text(writer.slot, PCAPI_EVENT_DESTINATION, ev->destination);

	if (ev->event_id_generated)
		new_one = pcapi_writer_insert(&writer);
	else
		new_one = pcapi_writer_insert_new(&writer);
	pcapi_writer_close(&writer);
	return new_one;
}

static void
insert_queued(const PcapiNewEvent *ev, int64 id)
{
	PcapiWriter writer;

	pcapi_writer_open(&writer, PCAPI_T_QUEUE, PCAPI_QUEUE_COLUMNS, NULL);
	pcapi_writer_leave_out(&writer, PCAPI_QUEUE_DUE_AT);
	pcapi_slot_set(writer.slot, PCAPI_QUEUE_ID, Int64GetDatum(id));
	pcapi_slot_set(writer.slot, PCAPI_QUEUE_DEST, Int32GetDatum(ev->dest));
	pcapi_slot_set(writer.slot, PCAPI_QUEUE_ATTEMPTS, Int32GetDatum(0));
	(void) pcapi_writer_insert(&writer);
	pcapi_writer_close(&writer);
}

static void
insert_outcome(const PcapiNewEvent *ev, int64 id, TimestampTz now)
{
	PcapiWriter writer;

	pcapi_writer_open(&writer, PCAPI_T_OUTCOME, PCAPI_OUTCOME_COLUMNS, NULL);
	pcapi_slot_set(writer.slot, PCAPI_OUTCOME_ID, Int64GetDatum(id));
	pcapi_slot_set(writer.slot, PCAPI_OUTCOME_FINISHED_AT, TimestampTzGetDatum(now));
	pcapi_slot_set(writer.slot, PCAPI_OUTCOME_DEST, Int32GetDatum(ev->dest));
	pcapi_slot_set(writer.slot, PCAPI_OUTCOME_ATTEMPTS, Int32GetDatum(0));
	pcapi_slot_set_text(writer.slot, PCAPI_OUTCOME_STATUS, ev->status);
	pcapi_slot_set_text(writer.slot, PCAPI_OUTCOME_REASON, ev->reason);
	(void) pcapi_writer_insert(&writer);
	pcapi_writer_close(&writer);
}

bool
pcapi_enqueue(const PcapiNewEvent *ev)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		id;

	/*
	 * The worker remembers how far it has read, and trusts that an id drawn
	 * later than it looked belongs to a transaction whose xid is no older
	 * than the next one at that moment (worker/route.c).  So the xid comes
	 * first, the id second.
	 *
	 * The sequence is locked before the table: DROP EXTENSION locks them in
	 * the order in which they were created, and a deadlock could take the
	 * caller's transaction.
	 */
	(void) GetCurrentTransactionId();
	id = nextval_internal(pcapi_table(PCAPI_T_EVENT_SEQUENCE), false);
	if (!insert_event(ev, id, now))
		return false;
	if (ev->status == NULL)
		insert_queued(ev, id);
	else
		insert_outcome(ev, id, now);
	CommandCounterIncrement();
	return true;
}

/* XOR is its own inverse: the same call masks and unmasks. */
void
pcapi_xor(char *data, const char *pad, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] ^= pad[i];
}
