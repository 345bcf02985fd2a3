/*
 * trigger.c
 *	  track_trigger: rows of the application's tables as events.
 *
 * A trigger's mapping is read once per session and kept until its table
 * changes.  Values become JSON in column.c and go the way of any other call.
 * All of it runs as the role that writes to the table; the switch to the
 * extension's owner is in track.c.
 */
#include "session/column.h"
#include "session/event.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"

typedef enum Target
{
	TO_PROPERTIES,
	TO_USER_DATA,
	TO_VISITOR_ID,
	TO_EVENT_ID,
	TO_EVENT_TIME,
	TO_ACTION_SOURCE,
	TO_DESTINATION,
	TO_CONSENT
} Target;

typedef struct Mapping
{
	char	   *key;
	Target		target;
	int			attnum;			/* of a column, else 0 */
	SPIPlanPtr	plan;			/* of an expression, else NULL */
	Datum		constant;		/* of neither */
	PcapiColumnType type;
} Mapping;

typedef struct TriggerMap
{
	MemoryContext context;		/* everything, plans included, goes with it */
	char	   *event_name;
	int			nmappings;
	Mapping		mappings[FLEXIBLE_ARRAY_MEMBER];
} TriggerMap;

typedef struct TriggerKey
{
	Oid			trigger;
	Oid			relation;
} TriggerKey;

typedef struct TriggerEntry
{
	TriggerKey	key;
	bool		valid;			/* cleared when the table changes */
	TriggerMap *map;			/* NULL: not read yet */
} TriggerEntry;

static HTAB *trigger_maps = NULL;

static const struct
{
	const char *key;
	Target		target;
}			call_keys[] =
{
	{"visitor_id", TO_VISITOR_ID},
	{"event_id", TO_EVENT_ID},
	{"event_time", TO_EVENT_TIME},
	{"action_source", TO_ACTION_SOURCE},
	{"destination", TO_DESTINATION},
	{"consent", TO_CONSENT},
};

void
pcapi_trigger_relcache_changed(Oid relation)
{
	HASH_SEQ_STATUS status;
	TriggerEntry *entry;

	if (trigger_maps == NULL)
		return;
	hash_seq_init(&status, trigger_maps);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (relation == InvalidOid || relation == entry->key.relation)
			entry->valid = false;
	}
}

static void
free_plans(void *arg)
{
	TriggerMap *map = arg;

	for (int i = 0; i < map->nmappings; i++)
	{
		if (map->mappings[i].plan)
			SPI_freeplan(map->mappings[i].plan);
	}
}

static bool
target_of(const char *key, Target *target)
{
	size_t		len = strlen(key);

	for (int i = 0; i < lengthof(call_keys); i++)
	{
		if (strcmp(key, call_keys[i].key) == 0)
		{
			*target = call_keys[i].target;
			return true;
		}
	}
	if (pcapi_is_identifier_key(key, len))
		*target = TO_USER_DATA;
	else if (pcapi_property_in(PCAPI_IN_EVENT, key, len) >= 0)
		*target = TO_PROPERTIES;
	else
		return false;
	return true;
}

/* An expression, prepared but not kept yet; inside SPI. */
static void
prepare_expression(Mapping *m, const char *expression, Relation rel)
{
	Oid			row_type = rel->rd_rel->reltype;
	char	   *sql = psprintf("SELECT %s", expression);
	MemoryContext context = CurrentMemoryContext;
	List	   *sources;
	CachedPlanSource *source;

	/* SPI_prepare comes back in SPI's own context, which ends with SPI_finish */
	m->plan = SPI_prepare(sql, 1, &row_type);
	MemoryContextSwitchTo(context);
	if (m->plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(m->plan);
	source = list_length(sources) == 1 ? linitial(sources) : NULL;
	if (source == NULL || source->resultDesc == NULL || source->resultDesc->natts != 1 ||
		!SPI_is_cursor_plan(m->plan))
		pcapi_bad_call(("mapping of key \"%s\" is not a single SQL expression", m->key),
					   ("Write key=(expression), where $1 is the row, as in contents=(SELECT jsonb_agg(...) FROM lines WHERE lines.order_id = $1.id)."));
	pcapi_column_type_init(&m->type, TupleDescAttr(source->resultDesc, 0)->atttypid,
						   CurrentMemoryContext);
}

/* 'key=column', 'key:=text' or 'key=(expression)' */
static void
read_mapping(Mapping *m, const char *text, Relation rel)
{
	const char *equals = strchr(text, '=');
	const char *value;
	bool		constant;
	size_t		len;

	if (equals == NULL || equals == text)
		pcapi_bad_call(("mapping argument is not of the form key=column"),
					   ("Write 'key=column', 'key:=text' or 'key=(expression over $1)'."));
	value = equals + 1;
	constant = equals[-1] == ':';
	len = equals - text - (constant ? 1 : 0);
	while (len > 0 && text[len - 1] == ' ')
		len--;
	m->key = pnstrdup(text, len);
	if (!target_of(m->key, &m->target))
		pcapi_bad_call(("unknown key \"%s\" in a mapping", m->key),
					   ("Keys are those of properties and user_data, and visitor_id, event_id, event_time, action_source, destination and consent."));

	if (constant)
	{
		if (m->target == TO_ACTION_SOURCE &&
			strcmp(value, "web") != 0 && strcmp(value, "app_android") != 0 &&
			strcmp(value, "app_ios") != 0 && strcmp(value, "offline") != 0)
			pcapi_bad_call(("unknown action_source"),
						   ("Use web, app_android, app_ios or offline."));
		m->constant = CStringGetTextDatum(value);
		pcapi_column_type_init(&m->type, TEXTOID, CurrentMemoryContext);
		return;
	}
	while (*value == ' ')
		value++;
	if (*value == '(')
	{
		prepare_expression(m, value, rel);
		return;
	}
	m->attnum = SPI_fnumber(RelationGetDescr(rel), value);
	if (m->attnum <= 0)
		pcapi_bad_call(("column \"%s\" of a mapping does not exist in table \"%s\"",
						value, RelationGetRelationName(rel)),
					   ("Write 'key=column' with a column of the table, or 'key:=text' for a constant."));
	pcapi_column_type_init(&m->type, TupleDescAttr(RelationGetDescr(rel), m->attnum - 1)->atttypid,
						   CurrentMemoryContext);
}

/*
 * Read a trigger's arguments.  Made under the current context, so that an
 * error leaves nothing behind, and moved where it stays at the end.
 */
static TriggerMap *
read_trigger(const Trigger *trigger, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi trigger",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	TriggerMap *map;
	MemoryContextCallback *callback;

	if (trigger->tgnargs < 1 || trigger->tgargs[0][0] == '\0')
		pcapi_bad_call(("track_trigger() needs an event name"),
					   ("The first argument is the event's name, the others are mappings such as 'email=customer_email'."));

	SPI_connect();
	old = MemoryContextSwitchTo(context);
	map = palloc0(offsetof(TriggerMap, mappings) + sizeof(Mapping) * trigger->tgnargs);
	map->context = context;
	map->event_name = pstrdup(trigger->tgargs[0]);
	for (int i = 1; i < trigger->tgnargs; i++)
	{
		Mapping    *m = &map->mappings[map->nmappings];

		read_mapping(m, trigger->tgargs[i], rel);
		for (int j = 0; j < map->nmappings; j++)
		{
			if (strcmp(map->mappings[j].key, m->key) == 0)
				pcapi_bad_call(("key \"%s\" is mapped twice", m->key),
							   ("Map each key once; several values of one identifier go as an array, or under its other names."));
		}
		map->nmappings++;
	}
	for (int i = 0; i < map->nmappings; i++)
	{
		if (map->mappings[i].plan)
			SPI_keepplan(map->mappings[i].plan);
	}
	callback = palloc0(sizeof(MemoryContextCallback));
	callback->func = free_plans;
	callback->arg = map;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSetParent(context, CacheMemoryContext);
	MemoryContextSwitchTo(old);
	SPI_finish();
	return map;
}

static TriggerMap *
trigger_map(const Trigger *trigger, Relation rel)
{
	TriggerKey	key;
	TriggerEntry *entry;
	TriggerMap *map;
	bool		found;

	if (trigger_maps == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(TriggerKey), .entrysize = sizeof(TriggerEntry)};

		trigger_maps = hash_create("pinterest_capi triggers", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	key.trigger = trigger->tgoid;
	key.relation = RelationGetRelid(rel);
	entry = hash_search(trigger_maps, &key, HASH_ENTER, &found);
	if (found && entry->valid && entry->map)
		return entry->map;

	/* a firing further out may be using the old one: it ends with the transaction */
	if (found && entry->map)
		MemoryContextSetParent(entry->map->context, TopTransactionContext);
	entry->map = NULL;
	/* before reading: what changes meanwhile must not go unnoticed */
	entry->valid = true;
	map = read_trigger(trigger, rel);

	/* preparing an expression can have fired this trigger, but not moved the entry */
	if (entry->map)
		MemoryContextSetParent(entry->map->context, TopTransactionContext);
	entry->map = map;
	return map;
}

typedef struct Evaluation
{
	Mapping    *mapping;
	Datum		row;
	MemoryContext context;		/* for the result */
	Datum		value;
	bool		isnull;
} Evaluation;

static void
evaluate(void *arg)
{
	Evaluation *ev = arg;
	MemoryContext old;
	Oid			type;

	SPI_connect();
	SPI_execute_plan(ev->mapping->plan, &ev->row, NULL, false, 0);
	ev->isnull = true;
	if (SPI_processed > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one row returned by an expression"),
				 pcapi_hide()));
	if (SPI_processed == 1)
	{
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Form_pg_attribute att = TupleDescAttr(desc, 0);

		type = att->atttypid;
		old = MemoryContextSwitchTo(ev->context);
		ev->value = SPI_getbinval(SPI_tuptable->vals[0], desc, 1, &ev->isnull);
		if (!ev->isnull)
			ev->value = datumCopy(ev->value, att->attbyval, att->attlen);
		if (getBaseType(type) != ev->mapping->type.type)
			ev->isnull = true;	/* a replanned expression of another type */
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

/* The value of a mapping for this row; false when it is absent. */
static bool
mapped_value(Mapping *m, HeapTuple tuple, TupleDesc desc, Datum *row, Datum *value, List **warnings)
{
	bool		isnull;

	if (m->attnum > 0)
	{
		*value = heap_getattr(tuple, m->attnum, desc, &isnull);
		return !isnull;
	}
	if (m->plan)
	{
		Evaluation	ev = {m, 0, CurrentMemoryContext, 0, true};

		if (*row == (Datum) 0)
			*row = heap_copy_tuple_as_datum(tuple, desc);
		ev.row = *row;
		if (!pcapi_guarded(evaluate, &ev))
		{
			pcapi_warn(warnings, m->key, "its expression failed");
			return false;
		}
		*value = ev.value;
		return !ev.isnull;
	}
	*value = m->constant;
	return true;
}

static void
push_pair(PcapiJsonb *state, const char *key, JsonbValue *value)
{
	JsonbValue	k;

	k.type = jbvString;
	k.val.string.val = unconstify(char *, key);
	k.val.string.len = strlen(key);
	PcapiJsonbPush(state, WJB_KEY, &k);
	PcapiJsonbPush(state, WJB_VALUE, value);
}

/* A mapped value into the call. */
static void
put_value(PcapiCall *call, Mapping *m, Datum value,
		  PcapiJsonb *properties, PcapiJsonb *user_data)
{
	JsonbValue	v;
	const char *wrong = NULL;

	switch (m->target)
	{
		case TO_VISITOR_ID:
			call->visitor_id = pcapi_column_to_text(&m->type, value);
			break;
		case TO_EVENT_ID:
			call->event_id = pcapi_column_to_text(&m->type, value);
			break;
		case TO_ACTION_SOURCE:
			call->action_source = pcapi_column_to_text(&m->type, value);
			break;
		case TO_DESTINATION:
			call->destination = pcapi_column_to_text(&m->type, value);
			break;
		case TO_EVENT_TIME:
			if (pcapi_column_to_time(&m->type, value, &call->event_time))
				call->has_event_time = true;
			else
				call->bad_event_time = "invalid event time";
			break;
		default:
			if (!pcapi_column_to_json(&m->type, value, &v, &wrong))
				pcapi_warn(&call->warnings, m->key, wrong);
			else if (m->target == TO_USER_DATA)
				push_pair(user_data, m->key, &v);
			else if (m->target == TO_PROPERTIES)
				push_pair(properties, m->key, &v);
			else if (v.type == jbvBinary && JsonContainerIsObject(v.val.binary.data))
				call->consent = JsonbValueToJsonb(&v);
			else
				pcapi_warn(&call->warnings, m->key, "not a JSON object");
	}
}

PG_FUNCTION_INFO_V1(pcapi_sql_track_trigger);
Datum
pcapi_sql_track_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old;
	TriggerMap *map;
	HeapTuple	tuple;
	TupleDesc	desc;
	Datum		row = (Datum) 0;
	PcapiJsonb	properties = {0};
	PcapiJsonb	user_data = {0};
	PcapiCall	call = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(td->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(td->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("track_trigger() must be used in a row-level AFTER trigger"),
				 errhint("Write CREATE TRIGGER ... AFTER INSERT ON ... FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(...)."),
				 pcapi_hide()));

	map = trigger_map(td->tg_trigger, td->tg_relation);
	tuple = TRIGGER_FIRED_BY_UPDATE(td->tg_event) ? td->tg_newtuple : td->tg_trigtuple;
	desc = RelationGetDescr(td->tg_relation);

	context = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi row",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	call.event_name = map->event_name;
	call.from_data = true;
	PcapiJsonbPush(&properties, WJB_BEGIN_OBJECT, NULL);
	PcapiJsonbPush(&user_data, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < map->nmappings; i++)
	{
		Datum		value;

		if (mapped_value(&map->mappings[i], tuple, desc, &row, &value, &call.warnings))
			put_value(&call, &map->mappings[i], value, &properties, &user_data);
	}
	PcapiJsonbPush(&properties, WJB_END_OBJECT, NULL);
	call.properties = JsonbValueToJsonb(properties.result);
	PcapiJsonbPush(&user_data, WJB_END_OBJECT, NULL);
	call.user_data = JsonbValueToJsonb(user_data.result);
	(void) pcapi_track(&call);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}
