/*
 * preview.c
 *	  Decide about a call without writing anything.
 */
#include "pinterest_capi.h"

#include "common/extension.h"
#include "common/spi.h"
#include "funcapi.h"
#include "queue/event_id.h"
#include "track/call.h"
#include "track/preview.h"
#include "track/track.h"
#include "track/warning.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

List *
pcapi_preview(PcapiCall *call)
{
	PcapiUserContext saved;
	List	   *decisions;
	char	   *event_id;
	bool		generated;
	TimestampTz event_time;
	unsigned char *visitor;
	char	   *click_id;
	ListCell   *lc;

	pcapi_switch_to_owner(&saved, false);
	decisions = pcapi_decide(call, &event_id, &generated, &event_time, &visitor, &click_id);
	foreach(lc, decisions)
	{
		PcapiDecision *d = lfirst(lc);

		if (!generated &&
			pcapi_event_exists(event_id, d->event_name, d->destination ? d->destination->no : 0))
			pcapi_warn(&d->warnings, "event_id", "there is an event of this id already, so track would add none");
	}
	pcapi_restore_user(&saved);
	return decisions;
}

static void
set_text(Datum *value, bool *isnull, const char *s)
{
	*isnull = s == NULL;
	if (s)
		*value = CStringGetTextDatum(s);
}

void
pcapi_preview_row(const PcapiDecision *d, Datum *values, bool *nulls)
{
	set_text(&values[0], &nulls[0], d->destination ? d->destination->name : NULL);
	set_text(&values[1], &nulls[1], d->status ? d->status : "queued");
	set_text(&values[2], &nulls[2], d->reason);
	set_text(&values[3], &nulls[3], d->sent_as);
	nulls[4] = d->status != NULL;
	if (d->status == NULL)
		values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(d->payload));
	nulls[5] = d->warnings == NIL;
	if (d->warnings != NIL)
		values[5] = pcapi_text_array(d->warnings);
}

PG_FUNCTION_INFO_V1(pcapi_sql_preview);
Datum
pcapi_sql_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PcapiCall	call;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	pcapi_call_from_args(&call, fcinfo);
	foreach(lc, pcapi_preview(&call))
	{
		Datum		values[PCAPI_PREVIEW_COLUMNS] = {0};
		bool		nulls[PCAPI_PREVIEW_COLUMNS];

		pcapi_preview_row(lfirst(lc), values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
