/*
 * user_data_json.c
 *	  Identifiers as the JSON of events, and of visitors in the table _visitor.
 *
 * Both have the API's keys: an array of SHA-256 for a hashed key, text for any
 * other.  Which keys there are is in user_data_key.c.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "core/sha256.h"
#include "queue/enqueue.h"
#include "track/jsonb_push.h"
#include "track/property_value.h"
#include "track/user_data_json.h"
#include "track/user_data_key.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* ---- writing ---- */

void
pcapi_append_user_data(StringInfo buf, const PcapiIdentifiers *ids, const PcapiDestination *dest)
{
	pcapi_append_key(buf, "user_data");
	appendStringInfoCharMacro(buf, '{');
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const char *name = pcapi_user_data_fields[key].name;
		ListCell   *lc;

		if (!pcapi_is_given(ids, key) || (dest->withheld & PCAPI_KEY_BIT(key)) != 0)
			continue;
		if (key >= PCAPI_KINDS)
		{
			pcapi_append_string(buf, name, ids->texts[key]);
			continue;
		}
		pcapi_append_key(buf, name);
		foreach(lc, ids->hashes[key])
		{
			appendStringInfoCharMacro(buf, foreach_current_index(lc) == 0 ? '[' : ',');
			appendStringInfoCharMacro(buf, '"');
			appendBinaryStringInfo(buf, (char *) lfirst(lc), PCAPI_HEX_LEN);
			appendStringInfoCharMacro(buf, '"');
		}
		appendStringInfoCharMacro(buf, ']');
	}
	appendStringInfoCharMacro(buf, '}');
}

char
pcapi_carries(const PcapiIdentifiers *ids, const PcapiDestination *dest)
{
	static const struct
	{
		int			key;
		char		bit;
	}			bits[] = {
		{PCAPI_EM, PCAPI_CARRIES_EM},
		{PCAPI_PH, PCAPI_CARRIES_PH},
		{PCAPI_CLICK_ID, PCAPI_CARRIES_CLICK_ID},
		{PCAPI_EXTERNAL_ID, PCAPI_CARRIES_EXTERNAL_ID},
		{PCAPI_MAIDS, PCAPI_CARRIES_MAIDS},
		{PCAPI_CLIENT_IP, PCAPI_CARRIES_IP},
		{PCAPI_CLIENT_USER_AGENT, PCAPI_CARRIES_USER_AGENT}
	};
	char		carries = 0;

	for (int i = 0; i < lengthof(bits); i++)
		if (pcapi_is_given(ids, bits[i].key) && (dest->withheld & PCAPI_KEY_BIT(bits[i].key)) == 0)
			carries |= bits[i].bit;
	return carries;
}

Jsonb *
pcapi_stored_user_data(const PcapiIdentifiers *ids, uint32 withheld)
{
	PcapiJsonb	state = {0};

	PcapiJsonbPush(&state, WJB_BEGIN_OBJECT, NULL);
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];
		ListCell   *lc;

		if (field->storage != PCAPI_IN_USER_DATA || !pcapi_is_given(ids, key) ||
			(withheld & PCAPI_KEY_BIT(key)) != 0)
			continue;
		pcapi_push_string(&state, WJB_KEY, field->name);
		if (key >= PCAPI_KINDS)
		{
			pcapi_push_string(&state, WJB_VALUE, ids->texts[key]);
			continue;
		}
		PcapiJsonbPush(&state, WJB_BEGIN_ARRAY, NULL);
		foreach(lc, ids->hashes[key])
			pcapi_push_string(&state, WJB_ELEM, lfirst(lc));
		PcapiJsonbPush(&state, WJB_END_ARRAY, NULL);
	}
	PcapiJsonbPush(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

Datum
pcapi_cleared_keys(const PcapiIdentifiers *ids, uint32 withheld)
{
	Datum		names[PCAPI_USER_DATA_KEYS];
	int			n = 0;

	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];

		if (field->storage == PCAPI_IN_USER_DATA && ((ids->cleared | withheld) & PCAPI_KEY_BIT(key)) != 0)
			names[n++] = CStringGetTextDatum(field->name);
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- reading ---- */

static const JsonbValue *
member(Jsonb *object, const char *key, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), buffer);
}

/* Return the strings of an array; NIL where the value is none. */
static List *
strings_of(const JsonbValue *v)
{
	List	   *strings = NIL;
	JsonbIterator *it;
	JsonbValue	elem;
	JsonbIteratorToken token;

	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
		return NIL;
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &elem, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && elem.type == jbvString)
			strings = lappend(strings, pnstrdup(elem.val.string.val, elem.val.string.len));
	}
	return strings;
}

void
pcapi_identifiers_add_stored(PcapiIdentifiers *ids, Jsonb *user_data)
{
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];
		JsonbValue	buffer;
		const JsonbValue *v;

		if (field->storage == PCAPI_NOT_STORED || pcapi_is_given(ids, key) ||
			(ids->cleared & PCAPI_KEY_BIT(key)) != 0)
			continue;
		v = member(user_data, field->name, &buffer);
		if (v == NULL)
			continue;
		if (key < PCAPI_KINDS)
			ids->hashes[key] = strings_of(v);
		else if (v->type == jbvString)
			ids->texts[key] = pnstrdup(v->val.string.val, v->val.string.len);
	}
}

void
pcapi_identifiers_add_event(PcapiIdentifiers *ids, Jsonb *event)
{
	JsonbValue	buffer;
	const JsonbValue *v = member(event, "user_data", &buffer);

	if (v != NULL && v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data))
		pcapi_identifiers_add_stored(ids, JsonbValueToJsonb(unconstify(JsonbValue *, v)));
}
