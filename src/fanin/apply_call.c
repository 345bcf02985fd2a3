/*
 * apply_call.c
 *	  Calls of other databases, where the extension can't be installed.
 *
 * sources/pinterest_capi_source.sql writes a call of track(), identify(),
 * capture_click() or forget() there as a row of _call, and logical replication
 * brings it.  The apply worker is about to insert it here: this trigger makes
 * the call, with the time of its origin, and drops the row.  Rows come in the
 * order of their commits, so a visitor's identify() is before the track() that
 * needs it.
 *
 * Nothing here may fail for what a row holds: an error would stop all that come
 * after it.  What can't be read is a rejected event.
 */
#include "pinterest_capi.h"

#include "catalog/pg_subscription.h"
#include "commands/trigger.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "core/normalize.h"
#include "core/sha256.h"
#include "fanin/apply.h"
#include "fmgr.h"
#include "replication/worker_internal.h"
#include "track/call.h"
#include "track/forget.h"
#include "track/identify.h"
#include "track/track.h"
#include "track/user_data.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* of a source's rows; a later one is read as far as it is the same */
#define VERSION_MIN		1

static const char unreadable[] = "unreadable call";

/* A row of _call. */
typedef struct ReceivedCall
{
	char	   *kind;
	char	   *text;			/* JSON */
	PcapiCall	call;
} ReceivedCall;

/* ---- the JSON of a call ---- */

static JsonbValue *
member(Jsonb *doc, const char *key, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(&doc->root, key, strlen(key), buffer);
}

static char *
text_member(Jsonb *doc, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *v = member(doc, key, &buffer);

	return v && v->type == jbvString ? pnstrdup(v->val.string.val, v->val.string.len) : NULL;
}

static Jsonb *
object_member(Jsonb *doc, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *v = member(doc, key, &buffer);

	return v && v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data) ? JsonbValueToJsonb(v) : NULL;
}

static bool
is_true_member(Jsonb *doc, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *v = member(doc, key, &buffer);

	return v && v->type == jbvBool && v->val.boolean;
}

static bool
has_version(Jsonb *doc)
{
	JsonbValue	buffer;
	JsonbValue *v = member(doc, "version", &buffer);

	return v && v->type == jbvNumeric &&
		DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(v->val.numeric))) >= VERSION_MIN;
}

static List *
texts_member(Jsonb *doc, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *v = member(doc, key, &buffer);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	elem;
	List	   *texts = NIL;

	if (v == NULL || v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
		return NIL;
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &elem, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && elem.type == jbvString)
			texts = lappend(texts, pnstrdup(elem.val.string.val, elem.val.string.len));
	}
	return texts;
}

/* 64 hex digits as 32 bytes; NULL where there are others */
static unsigned char *
digest_member(Jsonb *doc, const char *key)
{
	char	   *hex = text_member(doc, key);
	unsigned char *digest;

	if (hex == NULL || strlen(hex) != PCAPI_HEX_LEN || !pcapi_is_sha256_hex(hex, PCAPI_HEX_LEN))
		return NULL;
	digest = palloc(PCAPI_HEX_LEN / 2);
	(void) hex_decode(hex, PCAPI_HEX_LEN, (char *) digest);
	return digest;
}

/* What the trigger of the source found out; in a subtransaction of its own, since text may be any. */
static void
read_call(void *arg)
{
	ReceivedCall *received = arg;
	PcapiCall  *call = &received->call;
	Jsonb	   *doc = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(received->text)));
	Jsonb	   *marks;

	if (!JB_ROOT_IS_OBJECT(doc) || !has_version(doc))
	{
		call->reject = pstrdup(unreadable);
		return;
	}
	call->properties = object_member(doc, "properties");
	call->user_data = object_member(doc, "user_data");
	call->consent = object_member(doc, "consent");
	call->action_source = text_member(doc, "action_source");
	call->destination = text_member(doc, "destination");
	call->visitor = digest_member(doc, "visitor");
	call->warnings = texts_member(doc, "warnings");
	marks = object_member(doc, "marks");
	if (marks)
	{
		call->reject = text_member(marks, "reject");
		call->bad_event_time = text_member(marks, "bad_event_time");
		call->bad_consent = is_true_member(marks, "bad_consent");
	}
}

/* ---- making it ---- */

static void
make_track(ReceivedCall *received)
{
	PcapiCall  *call = &received->call;

	if (call->event_name == NULL)
		call->event_name = pstrdup("");
	if (call->event_name[0] == '\0' && call->reject == NULL)
		call->reject = pstrdup("missing event name");
	(void) pcapi_track(call);
}

static void
make_call(ReceivedCall *received)
{
	PcapiCall  *call = &received->call;
	List	   *ignored = NIL;

	if (strcmp(received->kind, "track") == 0)
		make_track(received);
	else if (call->reject)
		ereport(LOG,
				(errmsg("a call of %s() from \"%s\" can't be read, and is left out",
						received->kind, call->origin),
				 pcapi_errhide()));
	else if (strcmp(received->kind, "identify") == 0 && call->visitor)
		(void) pcapi_identify(call->visitor, call->user_data, true, call->consent, call->called_at);
	else if (strcmp(received->kind, "capture_click") == 0 && call->visitor)
	{
		PcapiIdentifiers ids;

		pcapi_identifiers_from_jsonb(&ids, call->user_data, call->hashed, &ignored);
		if (ids.texts[PCAPI_CLICK_ID])
			pcapi_capture_click(call->visitor, ids.texts[PCAPI_CLICK_ID], call->called_at);
	}
	else if (strcmp(received->kind, "forget") == 0)
		(void) pcapi_forget(call->visitor, call->user_data, true, &ignored);
}

/* When the call was made, and of when its event is. */
static void
take_times(TriggerData *trigger, PcapiCall *call)
{
	bool		isnull;
	Datum		d = pcapi_row_field(trigger, "called_at", &isnull);

	call->called_at = isnull ? 0 : DatumGetTimestampTz(d);
	d = pcapi_row_field(trigger, "event_time", &isnull);
	call->event_time = isnull ? call->called_at : DatumGetTimestampTz(d);
	call->has_event_time = true;
	if (TIMESTAMP_NOT_FINITE(call->called_at))
		call->called_at = 0;
}

PG_FUNCTION_INFO_V1(pcapi_sql_received_call);
Datum
pcapi_sql_received_call(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ReceivedCall received = {0};
	PcapiCall  *call = &received.call;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("_received_call() must be called as a BEFORE INSERT ROW trigger"),
				 errhint("The extension has made the trigger that needs it."), pcapi_errhide()));
	if (!pcapi_is_from_publisher())
		return PointerGetDatum(NULL);

	pcapi_check_not_a_copy();
	received.kind = pcapi_row_text(trigger, "kind");
	received.text = pcapi_row_text(trigger, "call");
	call->event_name = pcapi_row_text(trigger, "event_name");
	call->event_id = pcapi_row_text(trigger, "event_id");
	take_times(trigger, call);
	call->from_data = true;
	call->hashed = true;
	call->origin = MySubscription->name;
	if (received.kind == NULL || received.text == NULL)
		return PointerGetDatum(NULL);
	if (!pcapi_try_subxact(read_call, &received))
	{
		call->reject = pstrdup(unreadable);
		call->properties = NULL;
		call->user_data = NULL;
		call->consent = NULL;
		call->visitor = NULL;
	}
	make_call(&received);
	return PointerGetDatum(NULL);
}
