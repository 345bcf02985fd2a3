/*
 * mapping.c
 *	  Read the arguments of a track_trigger trigger.
 *
 * A wrong argument raises no error here: it must not fail the statement that
 * fires the trigger.  It becomes a fault that track_trigger.c records and
 * doctor() shows.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "track/call.h"
#include "track/column_type.h"
#include "track/mapping.h"
#include "track/property.h"
#include "track/row_argument.h"
#include "track/user_data_key.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#define KEYS_HINT \
	"Keys are those of properties and user_data, and visitor_id, event_id, event_time, action_source, destination and consent."
#define FORM_HINT \
	"Write 'key=column', 'key:=text' or 'key=(expression over $1)'."

static const struct
{
	const char *key;
	PcapiMappingTarget target;
}			call_keys[] =
{
	{"visitor_id", PCAPI_TO_VISITOR_ID},
	{"event_id", PCAPI_TO_EVENT_ID},
	{"event_time", PCAPI_TO_EVENT_TIME},
	{"action_source", PCAPI_TO_ACTION_SOURCE},
	{"destination", PCAPI_TO_DESTINATION},
	{"consent", PCAPI_TO_CONSENT},
};

/* Free the plans of a map whose memory context ends. */
static void
free_plans(void *arg)
{
	PcapiTriggerMap *map = arg;

	for (int i = 0; i < map->nmappings; i++)
	{
		if (map->mappings[i].plan)
			SPI_freeplan(map->mappings[i].plan);
	}
}

/* Find what a key belongs to; false: there is no such key. */
static bool
target_of(const char *key, PcapiMappingTarget *target)
{
	size_t		len = strlen(key);
	const char *name;

	for (int i = 0; i < lengthof(call_keys); i++)
	{
		if (strcmp(key, call_keys[i].key) == 0)
		{
			*target = call_keys[i].target;
			return true;
		}
	}
	if (pcapi_user_data_key(key, len, &name) >= 0)
		*target = PCAPI_TO_USER_DATA;
	else if (pcapi_property_in(PCAPI_IN_EVENT, key, len) >= 0)
		*target = PCAPI_TO_PROPERTIES;
	else
		return false;
	return true;
}

/* Return the form that a key takes: it decides which of a type's casts is used. */
static PcapiColumnUse
use_of(const PcapiMapping *m)
{
	if (m->target == PCAPI_TO_CONSENT)
		return PCAPI_COLUMN_AS_JSON;
	if (m->target != PCAPI_TO_PROPERTIES)
		return PCAPI_COLUMN_AS_TEXT;
	switch (pcapi_property(pcapi_property_in(PCAPI_IN_EVENT, m->key, strlen(m->key)))->type)
	{
		case PCAPI_TYPE_DECIMAL:
		case PCAPI_TYPE_INTEGER:
			return PCAPI_COLUMN_AS_NUMBER;
		case PCAPI_TYPE_TOKENS:
		case PCAPI_TYPE_CONTENTS:
		case PCAPI_TYPE_APP_INFO:
		case PCAPI_TYPE_DEVICE_INFO:
			return PCAPI_COLUMN_AS_JSON;
		default:
			return PCAPI_COLUMN_AS_TEXT;
	}
}

/* Return a key as a fault may quote it: only if it looks like a name, since anything else may be personal data. */
static const char *
shown_key(const char *key, size_t len, int number)
{
	bool		is_name = len > 0 && len < NAMEDATALEN;

	for (size_t i = 0; i < len && is_name; i++)
		is_name = (key[i] >= 'a' && key[i] <= 'z') || (key[i] >= 'A' && key[i] <= 'Z') ||
			(key[i] >= '0' && key[i] <= '9') || key[i] == '_';
	return is_name ? pnstrdup(key, len) : psprintf("argument %d", number);
}

static void
add_fault(PcapiTriggerMap *map, const char *key, const char *what, const char *hint)
{
	PcapiMappingFault *fault = palloc(sizeof(PcapiMappingFault));

	fault->key = key;
	fault->what = what;
	fault->hint = hint;
	map->faults = lappend(map->faults, fault);
}

/* Read the value of 'key=value'.  False: a fault was added. */
static bool
read_value(PcapiTriggerMap *map, PcapiMapping *m, const char *value, bool constant, Relation rel)
{
	if (constant)
	{
		if (m->target == PCAPI_TO_ACTION_SOURCE && !pcapi_is_action_source(value))
		{
			add_fault(map, m->key, "The action source is unknown.",
					  "Use web, app_android, app_ios or offline.");
			return false;
		}
		m->constant = CStringGetTextDatum(value);
		m->value_type = TEXTOID;
	}
	else
	{
		while (*value == ' ')
			value++;
		if (*value == '(')
		{
			m->query = psprintf("SELECT %s", value);
			m->guarded = true;
			return true;
		}
		m->attnum = SPI_fnumber(RelationGetDescr(rel), value);
		if (m->attnum <= 0)
		{
			add_fault(map, m->key, psprintf("The table has no column \"%s\".", value),
					  "Write 'key=column' with a column of the table, or 'key:=text' for a constant.");
			return false;
		}
		if (PcapiIsVirtual(TupleDescAttr(RelationGetDescr(rel), m->attnum - 1)))
		{
			/* no value stands in the row: row_argument.c computes it */
			m->query = psprintf("SELECT $1.%s", quote_identifier(value));
			m->guarded = true;
			return true;
		}
		m->value_type = TupleDescAttr(RelationGetDescr(rel), m->attnum - 1)->atttypid;
	}
	pcapi_column_type_init(&m->type, m->value_type, m->use, CurrentMemoryContext);
	m->guarded = m->type.runs_user_code;
	return true;
}

/* Read 'key=column', 'key:=text' or 'key=(expression)'. */
static void
read_mapping(PcapiTriggerMap *map, const char *text, int number, Relation rel)
{
	PcapiMapping *m = &map->mappings[map->nmappings];
	const char *equals = strchr(text, '=');
	bool		constant;
	size_t		len;

	if (equals == NULL || equals == text)
	{
		add_fault(map, shown_key(text, strlen(text), number),
				  "The argument is not of the form key=column.", FORM_HINT);
		return;
	}
	constant = equals[-1] == ':';
	len = equals - text - (constant ? 1 : 0);
	while (len > 0 && text[len - 1] == ' ')
		len--;
	m->key = pnstrdup(text, len);
	if (!target_of(m->key, &m->target))
	{
		add_fault(map, shown_key(text, len, number), "There is no such key.", KEYS_HINT);
		return;
	}
	for (int i = 0; i < map->nmappings; i++)
	{
		if (strcmp(map->mappings[i].key, m->key) == 0)
		{
			add_fault(map, m->key, "The key is mapped twice.",
					  "Map each key once; several values of one identifier go as an array, or under its other names.");
			return;
		}
	}
	m->use = use_of(m);
	if (!read_value(map, m, equals + 1, constant, rel))
		return;
	map->has_expressions |= m->query != NULL;
	map->has_guarded |= m->guarded;
	map->nmappings++;
}

PcapiTriggerMap *
pcapi_read_trigger(const Trigger *trigger, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi trigger",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PcapiTriggerMap *map = palloc0(offsetof(PcapiTriggerMap, mappings) +
								   sizeof(PcapiMapping) * Max(trigger->tgnargs, 1));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	map->context = context;
	map->event_name = pstrdup(trigger->tgnargs > 0 ? trigger->tgargs[0] : "");
	if (map->event_name[0] == '\0')
		add_fault(map, "event_name", "The event has no name.",
				  "The first argument is the event's name, the others are mappings such as 'email=customer_email'.");
	for (int i = 1; i < trigger->tgnargs; i++)
	{
		memset(&map->mappings[map->nmappings], 0, sizeof(PcapiMapping));
		read_mapping(map, trigger->tgargs[i], i + 1, rel);
	}
	callback->func = free_plans;
	callback->arg = map;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSwitchTo(old);
	return map;
}

void
pcapi_prepare_mapping(PcapiMapping *m, Relation rel)
{
	Oid			row_type = rel->rd_rel->reltype;
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan = pcapi_prepare(m->query, 1, &row_type, 0);
	List	   *sources;
	CachedPlanSource *source;

	/* it comes back in SPI's own context */
	MemoryContextSwitchTo(context);
	sources = SPI_plan_get_plan_sources(plan);
	source = list_length(sources) == 1 ? linitial(sources) : NULL;
	if (source == NULL || source->resultDesc == NULL || source->resultDesc->natts != 1 ||
		!SPI_is_cursor_plan(plan))
		pcapi_error_invalid_parameter(("not a single SQL expression"),
									  ("Write key=(expression), where $1 is the row, as in contents=(SELECT jsonb_agg(...) FROM lines WHERE lines.order_id = $1.id)."));
	/* in the query's memory context, which lasts as long as the plan */
	MemoryContextSwitchTo(GetMemoryChunkContext(m->query));
	pcapi_row_use_init(&m->row_use, source->query_list);
	MemoryContextSwitchTo(context);
	SPI_keepplan(plan);
	m->plan = plan;
}

const char *
pcapi_hint_of_expression(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return PCAPI_RIGHTS_HINT;
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_INVALID_SCHEMA_NAME:
			return "Names are found by the search_path of the session that writes: give them with their schema.";
		default:
			return error->hint ? error->hint :
				"It is prepared as SELECT (expression), where $1 is the row.";
	}
}
