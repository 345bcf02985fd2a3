/*
 * apply.c
 *	  _received(): enqueue events of other servers, as logical replication brings them.
 *
 * The apply worker is about to insert a row into _event as it is on the server where the
 * event was tracked.  This trigger enqueues the event as if it had been tracked here,
 * which fires no trigger, and drops the row.  So the event gets an id of this server,
 * drawn after its transaction's xid like any other, and the number that its destination
 * has here; and the same event from two servers becomes one.
 *
 * Nothing here may fail for what a row holds: an error would stop all rows that come
 * after it.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "catalog/pg_subscription.h"
#include "commands/trigger.h"
#include "common/extension.h"
#include "common/guc.h"
#include "common/spi.h"
#include "common/table_insert.h"
#include "fanin/apply.h"
#include "fmgr.h"
#include "queue/destination_state.h"
#include "queue/enqueue.h"
#include "queue/payload.h"
#include "queue/published.h"
#include "queue/sending_server.h"
#include "queue/sequence.h"
#include "queue/wakeup.h"
#include "replication/worker_internal.h"
#include "track/settings.h"
#include "track/settings_cache.h"
#include "track/suppression.h"
#include "track/user_data.h"
#include "track/user_data_json.h"
#include "utils/builtins.h"
#include "utils/rel.h"

/*
 * Return whether the row comes through a subscription that subscribe() has made.  Not so
 * in a session, or if another subscription brings a copy of the table.
 */
bool
pcapi_is_from_publisher(void)
{
	ListCell   *lc;

	if (MySubscription == NULL)
		return false;
	foreach(lc, MySubscription->publications)
	{
		if (strcmp(strVal(lfirst(lc)), PCAPI_PUBLICATION) == 0)
			return true;
	}
	return false;
}

/*
 * Raise an error on a copy of a dispatcher, which has its subscriptions.  Rows that it
 * received from their slots would be lost to the dispatcher.  The error stops the
 * subscription before anything is confirmed.
 */
void
pcapi_check_not_a_copy(void)
{
	static bool checked = false;
	const char *remedy;
	char	   *reason;

	if (checked)
		return;
	reason = pcapi_copy_reason(&remedy);
	if (reason)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events of another server are not taken: %s", reason),
				 errhint("%s A copy's subscriptions are dropped after ALTER SUBSCRIPTION ... DISABLE and ALTER SUBSCRIPTION ... SET (slot_name = NONE); their slots stay for the original.", remedy),
				 pcapi_errhide()));
	checked = true;
}

Datum
pcapi_row_field(TriggerData *trigger, const char *name, bool *isnull)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	return heap_getattr(trigger->tg_trigtuple, pcapi_column_number(desc, name), desc, isnull);
}

char *
pcapi_row_text(TriggerData *trigger, const char *name)
{
	bool		isnull;
	Datum		d = pcapi_row_field(trigger, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

/* Return a column as a C value, 0 or NIL if it is null. */
static TimestampTz
time_field(TriggerData *trigger, const char *name)
{
	bool		isnull;
	Datum		d = pcapi_row_field(trigger, name, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(d);
}

static List *
list_field(TriggerData *trigger, const char *name)
{
	bool		isnull;
	Datum		d = pcapi_row_field(trigger, name, &isnull);
	List	   *strings = NIL;
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(d), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			strings = lappend(strings, TextDatumGetCString(elems[i]));
	return strings;
}

/* Return whether the person of an event was forgotten here. */
static bool
is_forgotten(const PcapiNewEvent *ev)
{
	PcapiIdentifiers ids = {0};

	if (ev->payload)
		pcapi_identifiers_add_event(&ids, DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
																			 CStringGetDatum(ev->payload))));
	return pcapi_is_suppressed(ev->visitor, &ids);
}

PG_FUNCTION_INFO_V1(pcapi_sql_received);
Datum
pcapi_sql_received(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	PcapiNewEvent ev = {0};
	PcapiUserContext saved;
	PcapiSettings *settings;
	PcapiDestination *known;
	Datum		visitor;
	char	   *payload;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("_received() must be called as a BEFORE INSERT ROW trigger"),
				 errhint("The extension has made the trigger that needs it."), pcapi_errhide()));
	/* this trigger enqueues the event, and a statement writes its row */
	if (pcapi_inserting_by_sql)
		return PointerGetDatum(trigger->tg_trigtuple);
	if (!pcapi_is_from_publisher())
	{
		pcapi_sequence_pass(DatumGetInt64(pcapi_row_field(trigger, "id", &isnull)));
		return PointerGetDatum(trigger->tg_trigtuple);
	}

	ev.destination = pcapi_row_text(trigger, "destination");
	if (ev.destination == NULL)
		return PointerGetDatum(NULL);	/* not what the publication lets through */

	pcapi_check_not_a_copy();
	pcapi_switch_to_owner(&saved, false);
	settings = pcapi_settings_find(NULL, ev.destination, &known, NULL);
	ev.dest = known && known->no > 0 ? known->no : pcapi_destination_number(ev.destination, true);
	ev.created_at = time_field(trigger, "created_at");
	ev.event_time = time_field(trigger, "event_time");
	ev.event_id = pcapi_row_text(trigger, "event_id");
	ev.event_name = pcapi_row_text(trigger, "event_name");
	ev.sent_as = pcapi_row_text(trigger, "sent_as");
	ev.warnings = list_field(trigger, "warnings");
	ev.origin = MySubscription->name;
	visitor = pcapi_row_field(trigger, "visitor", &isnull);
	if (!isnull)
	{
		bytea	   *b = DatumGetByteaPP(visitor);

		if (VARSIZE_ANY_EXHDR(b) == 32)
			ev.visitor = (unsigned char *) VARDATA_ANY(b);
	}
	payload = pcapi_row_text(trigger, "payload");
	if (payload && !pcapi_is_json_object(payload))
	{
		ev.status = "rejected";
		ev.reason = "invalid payload";
	}
	else
	{
		Datum		carries = pcapi_row_field(trigger, "carries", &isnull);

		ev.payload = payload;
		ev.facts.carries = isnull ? 0 : DatumGetChar(carries);
		ev.facts.currency = pcapi_row_text(trigger, "currency");
		ev.facts.value = pcapi_row_text(trigger, "value");
		if (pcapi_any_suppression(settings) && is_forgotten(&ev))
		{
			ev.status = "suppressed";
			ev.reason = "forgotten";
			ev.payload = NULL;
			ev.visitor = NULL;
		}
	}
	if ((ev.status == NULL || strcmp(ev.status, "suppressed") != 0 || pcapi_log_suppressed) &&
		pcapi_enqueue(&ev) && ev.status == NULL)
		pcapi_wake_at_commit();
	pcapi_restore_user(&saved);
	return PointerGetDatum(NULL);
}
