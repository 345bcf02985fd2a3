/*
 * preview.c
 *	  The whole way of an event without writing anything.
 */
#include "session/event.h"

#include "funcapi.h"
#include "queue/queue.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(pcapi_sql_preview);
Datum
pcapi_sql_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PcapiIdentity saved;
	PcapiCall	call;
	List	   *decisions;
	ListCell   *lc;
	char	   *event_id;
	bool		generated;
	TimestampTz event_time;
	unsigned char *visitor;
	char	   *click_id;
	bool	   *exists;

	InitMaterializedSRF(fcinfo, 0);
	pcapi_call_from_args(&call, fcinfo);

	pcapi_become_owner(&saved, false);
	decisions = pcapi_decide(&call, &event_id, &generated, &event_time, &visitor, &click_id);
	exists = palloc0(sizeof(bool) * list_length(decisions));
	foreach(lc, decisions)
	{
		PcapiDecision *d = lfirst(lc);

		exists[foreach_current_index(lc)] = !generated &&
			pcapi_event_exists(event_id, d->event_name, d->destination ? d->destination->no : 0);
	}
	pcapi_become_caller(&saved);

	foreach(lc, decisions)
	{
		PcapiDecision *d = lfirst(lc);
		Datum		values[6] = {0};
		bool		nulls[6] = {false};

		if (d->destination)
			values[0] = CStringGetTextDatum(d->destination->name);
		else
			nulls[0] = true;
		values[1] = CStringGetTextDatum(d->status ? d->status : "queued");
		if (d->reason)
			values[2] = CStringGetTextDatum(d->reason);
		else
			nulls[2] = true;
		if (d->sent_as)
			values[3] = CStringGetTextDatum(d->sent_as);
		else
			nulls[3] = true;
		if (d->status == NULL)
			values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(d->payload));
		else
			nulls[4] = true;
		if (exists[foreach_current_index(lc)])
			pcapi_warn(&d->warnings, "event_id", "there is an event of this id already, so track would add none");
		if (d->warnings != NIL)
			values[5] = pcapi_text_array(d->warnings);
		else
			nulls[5] = true;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
