/*
 * track_trigger.c
 *	  track_trigger: rows of the application's tables as events.
 *
 * A wrong mapping never fails the statement that fires the trigger: the row is
 * recorded as rejected, with one WARNING a session.  Values become JSON in
 * column_json.c, and the call is tracked like any other.  This file runs as the
 * role that writes to the table; the switch to the extension's owner is in track.c.
 *
 * A trigger's mapping (mapping.c) is read once per session and kept until its
 * table changes.  A mapping with expressions is kept until any relation, function
 * or type changes: their names may refer to a new one then.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "track/call.h"
#include "track/column_type.h"
#include "track/mapped_value.h"
#include "track/mapping.h"
#include "track/row_argument.h"
#include "track/track.h"
#include "track/track_trigger.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

typedef struct TriggerKey
{
	Oid			trigger;
	Oid			relation;
} TriggerKey;

typedef struct TriggerEntry
{
	TriggerKey	key;
	bool		valid;			/* cleared when the table changes */
	PcapiTriggerMap *map;		/* NULL: not read yet */
} TriggerEntry;

static HTAB *trigger_maps = NULL;
static uint64 generation = 0;	/* counts changes of what expressions may name */

void
pcapi_trigger_catalog_changed(void)
{
	generation++;
}

void
pcapi_trigger_relcache_changed(Oid relation)
{
	HASH_SEQ_STATUS status;
	TriggerEntry *entry;

	generation++;
	if (trigger_maps == NULL)
		return;
	hash_seq_init(&status, trigger_maps);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (relation == InvalidOid || relation == entry->key.relation)
			entry->valid = false;
	}
}

/* Drop an entry's map.  Where an outer firing still uses it, the transaction's end frees it. */
static void
discard_map(TriggerEntry *entry)
{
	PcapiTriggerMap *map = entry->map;

	entry->map = NULL;
	if (map == NULL)
		return;
	if (map->in_use > 0)
		MemoryContextSetParent(map->context, TopTransactionContext);
	else
		MemoryContextDelete(map->context);
}

/*
 * Forget the maps of tables that have changed or are gone: without that, a session
 * that makes temporary tables with triggers would keep one for each of them.  Done
 * each time that there are twice as many maps as the last time left.
 */
static void
forget_stale_maps(void)
{
	static long limit = 64;
	HASH_SEQ_STATUS status;
	TriggerEntry *entry;

	if (hash_get_num_entries(trigger_maps) < limit)
		return;
	hash_seq_init(&status, trigger_maps);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->valid)
			continue;
		discard_map(entry);
		(void) hash_search(trigger_maps, &entry->key, HASH_REMOVE, NULL);
	}
	limit = Max(64, 2 * hash_get_num_entries(trigger_maps));
}

/* Return whether a new session would read the same map. */
static bool
is_current(const TriggerEntry *entry)
{
	const PcapiTriggerMap *map = entry->map;

	if (map == NULL || !entry->valid)
		return false;
	return !map->has_expressions ||
		(map->generation == generation && map->role == GetUserId());
}

/* Return the trigger's map, read again if it is not current. */
static PcapiTriggerMap *
trigger_map(const Trigger *trigger, Relation rel)
{
	TriggerKey	key;
	TriggerEntry *entry;
	PcapiTriggerMap *map;
	bool		found;

	if (trigger_maps == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(TriggerKey), .entrysize = sizeof(TriggerEntry)};

		trigger_maps = hash_create("pinterest_capi triggers", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	forget_stale_maps();
	key.trigger = trigger->tgoid;
	key.relation = RelationGetRelid(rel);
	entry = hash_search(trigger_maps, &key, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->map = NULL;
	}

	/*
	 * The server accepts invalidations where a new lock is taken, and after
	 * the first row a transaction has all of its locks.
	 */
	if (entry->map && entry->map->has_expressions)
		AcceptInvalidationMessages();
	if (is_current(entry))
		return entry->map;

	discard_map(entry);
	/* before reading: a change in the meantime clears it again */
	entry->valid = true;
	map = pcapi_read_trigger(trigger, rel);
	map->generation = generation;
	map->role = GetUserId();
	MemoryContextSetParent(map->context, CacheMemoryContext);
	entry->map = map;
	return map;
}

/* ---- one WARNING a session for each key of a trigger ---- */

#define WARNED_MAX	1000		/* programs create triggers too: memory is bounded */

typedef struct WarnedKey
{
	Oid			relation;		/* of a partition, the outermost table */
	NameData	trigger;
	NameData	key;
} WarnedKey;

/*
 * Return the root of a partition, else the table itself.  A partition that is
 * being detached has no ancestors, though relispartition is set.
 */
static Oid
outermost_table(Relation rel)
{
	List	   *ancestors = rel->rd_rel->relispartition ?
		get_partition_ancestors(RelationGetRelid(rel)) : NIL;

	return ancestors != NIL ? llast_oid(ancestors) : RelationGetRelid(rel);
}

/* Return whether this session has warned of the key, and remember it. */
static bool
warned_before(const Trigger *trigger, Relation rel, const char *key)
{
	static HTAB *warned = NULL;
	WarnedKey	entry = {0};
	bool		found;

	if (warned == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(WarnedKey), .entrysize = sizeof(WarnedKey)};

		warned = hash_create("pinterest_capi warnings", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry.relation = outermost_table(rel);
	namestrcpy(&entry.trigger, trigger->tgname);
	namestrcpy(&entry.key, key);
	if (hash_get_num_entries(warned) >= WARNED_MAX)
		return true;
	(void) hash_search(warned, &entry, HASH_ENTER, &found);
	return found;
}

static char *
table_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name_or_temp(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/* Warn of a mapping, once a session. */
static void
warn_of_fault(const Trigger *trigger, Relation rel, const PcapiMappingFault *fault)
{
	if (warned_before(trigger, rel, fault->key))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("mapping of \"%s\" in trigger \"%s\" on table %s can't be used, the event is rejected",
					fault->key, trigger->tgname, table_name(rel)),
			 errdetail("%s", fault->what),
			 errhint("%s pinterest_capi.doctor() lists what is wrong with triggers.", fault->hint),
			 pcapi_errhide()));
}

/* Warn of a trigger as a whole, once a session. */
static void
warn_of_trigger(const Trigger *trigger, Relation rel, const char *what, const char *hint)
{
	if (warned_before(trigger, rel, ""))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("trigger \"%s\" on table %s %s", trigger->tgname, table_name(rel), what),
			 errhint("%s", hint),
			 pcapi_errhide()));
}

/* ---- a row ---- */

typedef struct RowState
{
	PcapiTriggerMap *map;
	Relation	rel;
	PcapiRow	row;
	PcapiMappedCall mapped;
	MemoryContext context;		/* of values that outlive SPI */
	const PcapiMapping *current;	/* being evaluated, for the fault if it fails */
	bool		preparing;		/* its expression */
} RowState;

/* Evaluate an expression, inside SPI; false: no row, or null. */
static bool
expression_value(RowState *state, PcapiMapping *m, Datum *value)
{
	TupleDesc	desc;
	Form_pg_attribute att;
	Datum		row;
	bool		isnull;

	if (m->plan == NULL)
	{
		state->preparing = true;
		pcapi_prepare_mapping(m, state->rel);
		state->preparing = false;
	}
	row = pcapi_row_argument(&state->row, &m->row_use);
	pcapi_execute(SPI_OK_SELECT, m->plan, &row, NULL, false, 2);
	MemoryContextSwitchTo(state->context);
	if (SPI_processed > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one row returned by an expression"),
				 pcapi_errhide()));
	if (SPI_processed == 0)
		return false;

	desc = SPI_tuptable->tupdesc;
	att = TupleDescAttr(desc, 0);
	*value = pcapi_result_datum(0, 1, &isnull);
	if (isnull)
		return false;
	*value = datumCopy(*value, att->attbyval, att->attlen);
	/* the type may differ from the one at preparation: a change of what it reads replans it */
	if (m->value_type != att->atttypid)
	{
		pcapi_column_type_init(&m->type, att->atttypid, m->use, state->map->context);
		m->value_type = att->atttypid;
	}
	return true;
}

/* Evaluate a mapping and put its value into the call. */
static void
map_value(RowState *state, PcapiMapping *m)
{
	Datum		value = m->constant;
	bool		isnull = false;

	if (m->query)
		isnull = !expression_value(state, m, &value);
	else if (m->attnum > 0)
		value = heap_getattr(state->row.tuple, m->attnum, RelationGetDescr(state->rel), &isnull);
	if (!isnull)
		pcapi_put_value(&state->mapped, m, value);
}

/* Return whether a rejected event carries the key: the keys that tell which event it was, and whose. */
static bool
names_event(const PcapiMapping *m)
{
	return m->target == PCAPI_TO_EVENT_ID || m->target == PCAPI_TO_EVENT_TIME ||
		m->target == PCAPI_TO_VISITOR_ID;
}

/* Evaluate all mappings that can raise an error, first those that a rejected event carries. */
static void
map_guarded(void *arg)
{
	RowState   *state = arg;
	PcapiTriggerMap *map = state->map;

	SPI_connect();
	MemoryContextSwitchTo(state->context);
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < map->nmappings; i++)
		{
			PcapiMapping *m = &map->mappings[i];

			if (!m->guarded || names_event(m) != (round == 0))
				continue;
			if (round == 1 && state->mapped.call->reject)
				continue;
			state->current = m;
			map_value(state, m);
		}
	}
	SPI_finish();
}

/*
 * Describe an error of map_guarded.  The parser's message quotes CREATE TRIGGER
 * at most; any other message may quote the row, so only its SQLSTATE is told.
 */
static PcapiMappingFault *
fault_of_error(const RowState *state, const ErrorData *error)
{
	PcapiMappingFault *fault = palloc(sizeof(PcapiMappingFault));

	fault->key = state->current->key;
	if (state->preparing)
		fault->what = psprintf("Its expression can't be prepared: %s.", error->message);
	else
		fault->what = psprintf("Its %s raised an error with SQLSTATE %s.",
							   state->current->query ? "expression" : "column's type",
							   unpack_sql_state(error->sqlerrcode));
	if (state->preparing)
		fault->hint = pcapi_hint_of_expression(error);
	else if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		fault->hint = PCAPI_RIGHTS_HINT;
	else if (state->current->query)
		fault->hint = "Write the expression so that it takes every row, with nullif() or CASE for instance.";
	else
		fault->hint = "Map an expression that makes text of the column.";
	return fault;
}

const PcapiMappingFault *
pcapi_call_from_row(PcapiCall *call, PcapiTriggerMap *map, Relation rel, HeapTuple tuple)
{
	RowState	state = {.map = map, .rel = rel, .row = {.rel = rel, .tuple = tuple},
		.mapped = {.call = call}, .context = CurrentMemoryContext};
	const PcapiMappingFault *fault = map->faults != NIL ? linitial(map->faults) : NULL;

	call->event_name = map->event_name;
	call->from_data = true;
	if (fault)
		call->reject = psprintf("mapping: %s", fault->key);
	pcapi_mapped_begin(&state.mapped);
	for (int i = 0; i < map->nmappings; i++)
	{
		PcapiMapping *m = &map->mappings[i];

		if (!m->guarded && (fault == NULL || names_event(m)))
			map_value(&state, m);
	}
	if (map->has_guarded)
	{
		ErrorData  *error = pcapi_try_user_code(map_guarded, &state);

		if (error && fault == NULL)
		{
			fault = fault_of_error(&state, error);
			call->reject = psprintf("mapping: %s", fault->key);
		}
	}
	pcapi_mapped_end(&state.mapped);
	return fault;
}

/* Track a row that a row-level AFTER trigger got. */
static void
track_row(const TriggerData *td, HeapTuple tuple)
{
	PcapiTriggerMap *map = trigger_map(td->tg_trigger, td->tg_relation);
	const PcapiMappingFault *fault;
	PcapiCall	call = {0};

	map->in_use++;				/* stays counted after an error, which only delays freeing the map */
	fault = pcapi_call_from_row(&call, map, td->tg_relation, tuple);
	if (fault)
		warn_of_fault(td->tg_trigger, td->tg_relation, fault);
	(void) pcapi_track(&call);
	map->in_use--;
}

/*
 * Record an event of a trigger of another kind as rejected, so that somebody
 * notices.  Such a trigger sees rows that may never be written, or none at all.
 */
static void
track_misplaced(const TriggerData *td)
{
	const Trigger *trigger = td->tg_trigger;
	PcapiCall	call = {.event_name = trigger->tgnargs > 0 ? trigger->tgargs[0] : "",
		.reject = PCAPI_MISPLACED, .from_data = true};

	warn_of_trigger(trigger, td->tg_relation, "is not a row-level AFTER trigger, its events are rejected",
					PCAPI_TRIGGER_HINT);
	(void) pcapi_track(&call);
}

typedef struct Firing
{
	const TriggerData *td;
	HeapTuple	tuple;			/* NULL: a statement-level trigger */
} Firing;

/* Track one firing, for pcapi_try_user_code. */
static void
track_firing(void *arg)
{
	const Firing *firing = arg;

	if (firing->tuple && TRIGGER_FIRED_AFTER(firing->td->tg_event))
		track_row(firing->td, firing->tuple);
	else
		track_misplaced(firing->td);
}

/*
 * Track without a subtransaction where the owner has all rights on our objects, as
 * the install script left them.  Else use one: a missing right loses the event,
 * not the row.
 */
static void
track_safely(Firing *firing)
{
	const TriggerData *td = firing->td;
	Oid			owner = pcapi_extension_owner(true);
	ErrorData  *error;

	if (!OidIsValid(owner))
	{
		warn_of_trigger(td->tg_trigger, td->tg_relation, "can't record events, since the extension's tables are not found",
						"If the schema pinterest_capi was renamed, give it that name again.");
		return;
	}
	if (pcapi_owner_has_rights(owner))
	{
		track_firing(firing);
		return;
	}
	error = pcapi_try_user_code(track_firing, firing);
	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE)
		ReThrowError(error);
	warn_of_trigger(td->tg_trigger, td->tg_relation, "can't record events, since the extension's owner lacks a right on its objects",
					"Give the owner back all rights on the schema pinterest_capi and on its tables, sequences and functions; pinterest_capi.doctor() names what is missing.");
}

PG_FUNCTION_INFO_V1(pcapi_sql_track_trigger);
Datum
pcapi_sql_track_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old;
	Firing		firing = {.td = td};

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("track_trigger() must be used in a row-level AFTER trigger"),
				 errhint("%s", PCAPI_TRIGGER_HINT),
				 pcapi_errhide()));
	if (TRIGGER_FIRED_FOR_ROW(td->tg_event))
		firing.tuple = TRIGGER_FIRED_BY_UPDATE(td->tg_event) ? td->tg_newtuple : td->tg_trigtuple;

	context = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi row",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	if (XactReadOnly)
		/* a read-only transaction may write to temporary tables, but not to ours */
		warn_of_trigger(td->tg_trigger, td->tg_relation, "can't record events in a read-only transaction",
						"Write to the table in a transaction that is READ WRITE.");
	else
		track_safely(&firing);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	/* BEFORE and INSTEAD OF go on with the row as it is; AFTER looks at no result */
	return PointerGetDatum(firing.tuple);
}
