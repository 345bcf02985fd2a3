/*
 * settings_cache.c
 *	  This session's copy of destination, allowed_event and consent_rule.
 *
 * Each part is read when it is first needed (settings_read.c), and kept until
 * somebody changes one of these tables.
 *
 * How a session hears of changes.  A trigger on each table (configure.c)
 * invalidates the relcache entry of the view _settings, which nothing else
 * does: VACUUM, ANALYZE and index builds invalidate their tables alone.  Where
 * a table is invalidated, it is enough to check that these triggers are the same
 * row versions as before, and enabled: switching one off and on again writes a
 * new version of its row.  Where one is off, nothing is kept from one call to
 * the next.
 *
 * The copy is the state of one moment, though it is read part by part.  A part
 * that is read later belongs to the same moment if no transaction that changed
 * settings has committed in between.  Such a transaction is seen by its
 * invalidation or, in the instant between its commit and its invalidation, by the
 * lock on _settings that it holds until after both.  In doubt all parts are read
 * again, by one snapshot.
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/encoding.h"
#include "common/extension.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "storage/lock.h"
#include "track/settings.h"
#include "track/settings_cache.h"
#include "track/settings_read.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define SH_PREFIX		pcapi_names
#define SH_ELEMENT_TYPE	PcapiNamed
#define SH_KEY_TYPE		const char *
#define SH_KEY			name
#define SH_HASH_KEY(tb, key)	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(tb, a, b)	(strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	(a)->hash
#define SH_SCOPE		extern
#define SH_DEFINE
#include "lib/simplehash.h"

/* destinations, events and rules of a copy; some 200 bytes each */
#define PARTS_MAX		50000

static const PcapiTable watched[] = {
	PCAPI_TABLE_DESTINATION, PCAPI_TABLE_DESTINATION_STATE, PCAPI_TABLE_ALLOWED_EVENT,
	PCAPI_TABLE_CONSENT_RULE, PCAPI_TABLE_SUPPRESSION
};

static const char *const notice_triggers[] = {"_settings_changed", "_settings_truncated"};

/* a trigger on a watched table, as pg_trigger has it; all zero: it is missing */
typedef struct NoticeTrigger
{
	Oid			oid;
	TransactionId xmin;
	ItemPointerData tid;
	char		enabled;
} NoticeTrigger;

/* the view and the triggers by which sessions hear of changes */
typedef struct NoticeTriggers
{
	Oid			view;
	Oid			relids[lengthof(watched)];
	NoticeTrigger triggers[lengthof(watched)][lengthof(notice_triggers)];
} NoticeTriggers;

static NoticeTriggers notice;
static bool notice_works = false;	/* all are there and enabled */
static bool notice_unchecked = true;	/* a table was invalidated */

static PcapiSettings *current;
static bool stale = true;		/* the settings have changed since */
static bool replan = false;		/* plans were made for tables of another size */
static bool half_read = false;	/* a part is being read; stays set after an error */

/* ---- hearing of changes ---- */

void
pcapi_settings_relcache_changed(Oid relid)
{
	if (!OidIsValid(relid) || relid == notice.view)
		stale = replan = true;
	for (int i = 0; i < lengthof(watched); i++)
		if (!OidIsValid(relid) || relid == notice.relids[i])
			notice_unchecked = true;
}

/* Read a trigger's row of pg_trigger; the result stays zero if there is none. */
static void
look_up_trigger(Relation pg_trigger, Oid relid, const char *name, NoticeTrigger *result)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(name));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL, 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		result->oid = form->oid;
		result->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		result->tid = tuple->t_self;
		result->enabled = form->tgenabled;
	}
	systable_endscan(scan);
}

static bool
same_trigger(NoticeTrigger *a, NoticeTrigger *b)
{
	return a->oid == b->oid && a->xmin == b->xmin && a->enabled == b->enabled &&
		ItemPointerCompare(&a->tid, &b->tid) == 0;
}

/*
 * Read the triggers again.  If they are not as they were, changes may have gone
 * unnoticed, and the copy is stale.
 */
static void
check_notice(void)
{
	NoticeTriggers now;
	Relation	pg_trigger;
	bool		works;
	bool		same;

	/* before reading: an invalidation in the meantime sets it again */
	notice_unchecked = false;

	memset(&now, 0, sizeof(now));
	now.view = pcapi_table(PCAPI_TABLE_SETTINGS);
	works = OidIsValid(now.view);
	same = now.view == notice.view;
	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	for (int i = 0; i < lengthof(watched); i++)
	{
		now.relids[i] = pcapi_table(watched[i]);
		same &= now.relids[i] == notice.relids[i];
		for (int j = 0; j < lengthof(notice_triggers); j++)
		{
			look_up_trigger(pg_trigger, now.relids[i], notice_triggers[j], &now.triggers[i][j]);
			works &= now.triggers[i][j].enabled == TRIGGER_FIRES_ALWAYS;
			same &= same_trigger(&now.triggers[i][j], &notice.triggers[i][j]);
		}
	}
	table_close(pg_trigger, AccessShareLock);

	if (!same)
		stale = replan = true;
	notice = now;
	notice_works = works;
}

/*
 * Return whether another transaction has changed settings and not ended yet, or
 * has committed and not sent its invalidation yet: it holds a lock until after
 * both.
 */
static bool
being_changed(void)
{
	LOCKTAG		tag;
	int			holders;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, notice.view);
	(void) GetLockConflicts(&tag, ShareLock, &holders);
	return holders > 0;
}

/* ---- the copy ---- */

/* Free a copy that no call uses; else the last call that does frees it. */
static void
discard(PcapiSettings *settings)
{
	if (settings->pins == 0)
		MemoryContextDelete(settings->context);
}

static void
unpin(void *arg)
{
	PcapiSettings *settings = arg;

	if (--settings->pins == 0 && settings != current)
		discard(settings);
}

/* Keep a copy until the current memory context is reset, though a newer one may replace it. */
static void
pin(PcapiSettings *settings)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = unpin;
	callback->arg = settings;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	settings->pins++;
}

/* Start an empty copy. */
static void
replace_copy(void)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "pinterest_capi settings",
												  ALLOCSET_DEFAULT_SIZES);
	PcapiSettings *settings = MemoryContextAllocZero(context, sizeof(PcapiSettings));
	PcapiSettings *before = current;

	settings->context = context;
	settings->destinations = pcapi_names_create(context, 8, NULL);
	settings->allowed = pcapi_names_create(context, 32, NULL);
	current = settings;
	if (before)
		discard(before);
	if (replan)
		pcapi_read_replan();
	/* before reading: an invalidation in the meantime sets it again */
	stale = replan = false;
}

/* ---- one call's reading ---- */

/* the snapshot by which one call reads the parts that are missing */
typedef struct Reading
{
	bool		begun;			/* the snapshot is active */
	bool		all;			/* all parts of the copy were read by it */
} Reading;

/*
 * Read by the newest snapshot: the current configuration counts, not the one of
 * the caller's snapshot.
 */
static void
begin_reading(Reading *reading)
{
	if (!reading->begun)
		PushActiveSnapshot(GetLatestSnapshot());
	reading->begun = half_read = true;
}

/* Return whether the parts just read are of the same moment as the older ones. */
static bool
end_reading(Reading *reading)
{
	if (!reading->begun)
		return true;
	PopActiveSnapshot();
	half_read = false;
	if (reading->all)
		return true;
	if (being_changed())
		stale = true;
	else
		AcceptInvalidationMessages();
	return !stale && !notice_unchecked;
}

/* Look a destination up, and read it the first time. */
static PcapiDestination *
find_destination(const char *name, Reading *reading)
{
	PcapiNamed *entry = pcapi_names_lookup(current->destinations, name);
	PcapiDestination *destination;
	bool		found;

	if (entry)
		return entry->value;
	begin_reading(reading);
	destination = pcapi_read_destination(current, name);
	entry = pcapi_names_insert(current->destinations,
							   destination ? destination->name : MemoryContextStrdup(current->context, name),
							   &found);
	entry->value = destination;
	return destination;
}

/* Resolve the destinations of allowed events, which have only their names so far. */
static PcapiAllowed *
with_destinations(PcapiAllowed *allowed, Reading *reading)
{
	PcapiAllowed **next = &allowed;

	while (*next)
	{
		CHECK_FOR_INTERRUPTS();
		(*next)->destination = find_destination((*next)->destination_name, reading);
		/* the foreign key says that there is one; replication may not have brought it */
		if ((*next)->destination)
			next = &(*next)->next;
		else
			*next = (*next)->next;
	}
	return allowed;
}

/* Look an allowed event up, and read it the first time. */
static PcapiAllowed *
find_allowed(const char *folded, PcapiDestination *destination, Reading *reading)
{
	pcapi_names_hash **events = destination ? &destination->allowed : &current->allowed;
	PcapiNamed *entry;
	PcapiAllowed *allowed;
	bool		found;

	if (*events == NULL)
		*events = pcapi_names_create(current->context, 8, NULL);
	entry = pcapi_names_lookup(*events, folded);
	if (entry)
		return entry->value;
	begin_reading(reading);
	allowed = with_destinations(pcapi_read_allowed(current, folded, destination), reading);
	entry = pcapi_names_insert(*events, MemoryContextStrdup(current->context, folded), &found);
	entry->value = allowed;
	return allowed;
}

/*
 * Discard the copy if it is stale.  Within a transaction the server accepts
 * invalidations only where it takes a new lock, and after the first call it has
 * all locks: a long transaction would go on sending events that are no longer
 * allowed.  Accepting costs little when there are none.
 */
static void
bring_up_to_date(Reading *reading)
{
	AcceptInvalidationMessages();
	if (notice_unchecked)
		check_notice();
	if (!stale && !half_read && notice_works && current && current->parts < PARTS_MAX)
		return;
	replace_copy();
	reading->all = true;
	begin_reading(reading);
	pcapi_read_common(current);
}

PcapiSettings *
pcapi_settings_find(const char *event_name, const char *destination_name,
					PcapiDestination **destination, PcapiAllowed **allowed)
{
	char	   *folded = event_name ? pcapi_fold_name(event_name) : NULL;
	Reading		reading;

	do
	{
		reading.begun = reading.all = false;
		bring_up_to_date(&reading);
		if (destination_name)
			*destination = find_destination(destination_name, &reading);
		if (event_name)
			*allowed = destination_name && *destination == NULL ? NULL :
				find_allowed(folded, destination_name ? *destination : NULL, &reading);
	} while (!end_reading(&reading));
	pin(current);
	if (folded)
		pfree(folded);
	return current;
}

PcapiSettings *
pcapi_settings(void)
{
	return pcapi_settings_find(NULL, NULL, NULL, NULL);
}

/* ---- facts about all destinations ---- */

/* Read the facts about all destinations, the first time one is asked for. */
static void
read_totals(PcapiSettings *settings)
{
	if (settings->totals_read)
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	pcapi_read_totals(settings);
	PopActiveSnapshot();
}

bool
pcapi_any_suppression(const PcapiSettings *settings)
{
	return settings->any_suppression;
}

List *
pcapi_rule_paths(const PcapiSettings *settings)
{
	return settings->rule_paths;
}

bool
pcapi_any_destination(PcapiSettings *settings)
{
	read_totals(settings);
	return settings->any_destination;
}

uint32
pcapi_withheld_keys(PcapiSettings *settings)
{
	read_totals(settings);
	return settings->withheld;
}

List *
pcapi_default_countries(PcapiSettings *settings)
{
	read_totals(settings);
	return settings->default_countries;
}
