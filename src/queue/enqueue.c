/*
 * enqueue.c
 *	  Write an event into the log, in the caller's transaction.
 *
 * src/track and src/fanin decide what an event holds; here it becomes a row of _event,
 * which waits to be sent unless it gets one of _outcome as well.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "queue/enqueue.h"
#include "queue/published.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Insert the row of _event.  False: there is one of this event_id, name and destination. */
static bool
insert_event(const PcapiNewEvent *ev, int64 id, TimestampTz now)
{
	PcapiTableWriter writer;
	bool		new_one;

	pcapi_writer_open(&writer, PCAPI_TABLE_EVENT, PCAPI_EVENT_COLUMNS,
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
	/* the publication has rows with a destination's name: an event that is final here is not for the dispatcher */
	if (ev->status == NULL && ev->destination && pcapi_published())
		pcapi_slot_set_text(writer.slot, PCAPI_EVENT_DESTINATION, ev->destination);
	if (ev->payload)
	{
		if (ev->facts.carries != 0)
			pcapi_slot_set(writer.slot, PCAPI_EVENT_CARRIES, CharGetDatum(ev->facts.carries));
		pcapi_slot_set_text(writer.slot, PCAPI_EVENT_CURRENCY, ev->facts.currency);
		pcapi_slot_set_text(writer.slot, PCAPI_EVENT_VALUE, ev->facts.value);
	}

	if (ev->event_id_generated)
		new_one = pcapi_writer_insert(&writer);
	else
		new_one = pcapi_writer_insert_new(&writer);
	pcapi_writer_close(&writer);
	return new_one;
}

/* Insert the row of _outcome of an event that is final at once. */
static void
insert_outcome(const PcapiNewEvent *ev, int64 id, TimestampTz now)
{
	PcapiTableWriter writer;

	pcapi_writer_open(&writer, PCAPI_TABLE_OUTCOME, PCAPI_OUTCOME_COLUMNS, NULL);
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
	 * The worker remembers up to which id it has read, and relies on this: an
	 * id that is drawn after it read belongs to a transaction whose xid is no
	 * older than the next xid at that moment (worker/sender.c).  So the xid
	 * is assigned first, and the id drawn second.
	 *
	 * The sequence is locked before the table: DROP EXTENSION locks them in
	 * the order in which they were created, and a deadlock could abort the
	 * caller's transaction.
	 */
	(void) GetCurrentTransactionId();
	id = nextval_internal(pcapi_table(PCAPI_TABLE_EVENT_SEQUENCE), false);
	if (!insert_event(ev, id, now))
		return false;
	if (ev->status != NULL)
		insert_outcome(ev, id, now);
	CommandCounterIncrement();
	return true;
}
