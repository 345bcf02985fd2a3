/*
 * payload.c
 *	  The payload of a queued event, read within a budget of bytes.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "common/jsonapi.h"
#include "common/subxact.h"
#include "mb/pg_wchar.h"
#include "queue/payload.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* a stored payload, for detoast() */
typedef struct Stored
{
	Datum		payload;
	text	   *text;			/* once it is read */
} Stored;

/* Fetch and decompress. */
static void
detoast(void *arg)
{
	Stored	   *stored = arg;

	stored->text = DatumGetTextPP(stored->payload);
}

/*
 * Read a payload.  One that is stored out of line or compressed may be damaged while
 * the row is not.  So it is read in a subtransaction: that event is put off, and the
 * others are sent.
 */
static text *
read_stored(PcapiQueuedEvent *event, Datum payload)
{
	Stored		stored = {.payload = payload};

	if (VARATT_IS_EXTERNAL(DatumGetPointer(payload)) || VARATT_IS_COMPRESSED(DatumGetPointer(payload)))
		event->problem = pcapi_subxact_error(detoast, &stored);
	else
		detoast(&stored);
	return event->problem ? NULL : stored.text;
}

void
pcapi_read_payload(PcapiPayloadBudget *budget, PcapiQueuedEvent *event, Datum payload, bool isnull)
{
	Size		len;
	text	   *t;

	event->unread = budget->full || budget->skip(budget->arg, event->id);
	if (event->unread || isnull)
		return;

	/* the size is known without fetching what is stored out of line */
	len = toast_raw_datum_size(payload) - VARHDRSZ;
	if (budget->any && len > budget->room)
	{
		event->unread = budget->full = true;
		return;
	}
	t = read_stored(event, payload);
	if (t == NULL)
		return;
	budget->any = true;
	budget->room -= Min(len, budget->room);
	event->payload_len = VARSIZE_ANY_EXHDR(t);
	event->payload = palloc(event->payload_len + 1);
	memcpy(event->payload, VARDATA_ANY(t), event->payload_len);
	event->payload[event->payload_len] = '\0';
	if ((Pointer) t != DatumGetPointer(payload))
		pfree(t);
}

bool
pcapi_is_json_object(char *json)
{
	JsonLexContext *lex = PcapiJsonLexer(json, strlen(json), GetDatabaseEncoding());

	return pg_parse_json(lex, &nullSemAction) == JSON_SUCCESS && json[0] == '{';
}

/* _readable(), for statements that cast a payload to jsonb */
PG_FUNCTION_INFO_V1(pcapi_sql_readable);
Datum
pcapi_sql_readable(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pcapi_is_json_object(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
