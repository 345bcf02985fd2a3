/*
 * settings.c
 *	  The tables destination, allowed_event and consent_rule as this session
 *	  sees them, cached until somebody changes one of them.
 *
 * A change invalidates the relcache entry of its table (configure.c's trigger),
 * which every session hears of at its next call.  Loading happens at the entry
 * of a call alone, so that nothing moves under a call's feet.
 */
#include "session/session.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "queue/queue.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

typedef struct Named
{
	char	   *folded;
	PcapiAllowed *first;
} Named;

static const PcapiTable watched[] = {
	PCAPI_T_DESTINATION, PCAPI_T_DESTINATION_STATE, PCAPI_T_ALLOWED_EVENT,
	PCAPI_T_CONSENT_RULE, PCAPI_T_SUPPRESSION
};

static MemoryContext context;	/* of all that follows */
static PcapiSettings *settings;
static Named *allowed;			/* sorted */
static int	n_allowed;
static Oid	relids[lengthof(watched)];
static bool stale = true;

void
pcapi_settings_relcache_changed(Oid relid)
{
	bool		ours = !OidIsValid(relid);

	for (int i = 0; i < lengthof(relids) && !ours; i++)
		ours = relids[i] == relid;
	if (ours)
		stale = true;
}

/* ---- reading; all runs in the new context ---- */

static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

static char *
text_column(uint64 row, int number, MemoryContext to)
{
	bool		isnull;
	Datum		d = column(row, number, &isnull);

	return isnull ? NULL : MemoryContextStrdup(to, TextDatumGetCString(d));
}

static bool
bool_column(uint64 row, int number)
{
	bool		isnull;
	Datum		d = column(row, number, &isnull);

	return !isnull && DatumGetBool(d);
}

static void
query(const char *sql)
{
	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the settings");
}

static int64
interval_length(Datum d)
{
	Interval   *span = DatumGetIntervalP(d);

	return span->time + ((int64) span->month * DAYS_PER_MONTH + span->day) * USECS_PER_DAY;
}

static void
read_destinations(PcapiSettings *into, MemoryContext to)
{
	query("SELECT d.destination, s.dest, d.send_client_ip, d.send_user_agent, d.page_url_detail,"
		  " d.default_checkout_value::pg_catalog.text, d.default_checkout_currency,"
		  " d.opt_out_action, d.max_event_age"
		  " FROM pinterest_capi.destination AS d"
		  " LEFT JOIN pinterest_capi._destination_state AS s ON s.destination OPERATOR(pg_catalog.=) d.destination"
		  " ORDER BY d.destination");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiDestination *d = MemoryContextAllocZero(to, sizeof(PcapiDestination));
		const char *detail = text_column(i, 5, to);
		bool		isnull;
		MemoryContext old;

		d->name = text_column(i, 1, to);
		d->no = DatumGetInt32(column(i, 2, &isnull));
		if (isnull)
			d->no = 0;
		d->send_client_ip = bool_column(i, 3);
		d->send_user_agent = bool_column(i, 4);
		d->page_url_detail = strcmp(detail, "path") == 0 ? PCAPI_URL_PATH :
			strcmp(detail, "domain") == 0 ? PCAPI_URL_DOMAIN : PCAPI_URL_NONE;
		d->default_checkout_value = text_column(i, 6, to);
		d->default_checkout_currency = text_column(i, 7, to);
		d->suppress_opt_out = strcmp(text_column(i, 8, to), "suppress") == 0;
		d->max_event_age = interval_length(column(i, 9, &isnull));
		into->any_ip |= d->send_client_ip;
		into->any_user_agent |= d->send_user_agent;

		old = MemoryContextSwitchTo(to);
		into->destinations = lappend(into->destinations, d);
		MemoryContextSwitchTo(old);
	}
}

static PcapiDestination *
find_destination(const PcapiSettings *in, const char *name)
{
	ListCell   *lc;

	foreach(lc, in->destinations)
	{
		PcapiDestination *d = lfirst(lc);

		if (strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

static void
read_listed(PcapiAllowed *a, Datum properties)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(properties), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name;
		int			property;

		if (nulls[i])
			continue;
		name = TextDatumGetCString(names[i]);
		if (strcmp(name, "*") == 0)
			a->all_listed = true;
		property = pcapi_property_from_name(name, strlen(name));
		if (property >= 0)
			a->listed[property / 64] |= UINT64CONST(1) << (property % 64);
	}
}

/* The rows come sorted by folded name, so that equal ones are neighbours. */
static void
read_allowed(const PcapiSettings *into, MemoryContext to, Named **names, int *n)
{
	query("SELECT a.event_name, pinterest_capi._fold(a.event_name) COLLATE pg_catalog.\"C\", a.destination, a.send_as, a.properties"
		  " FROM pinterest_capi.allowed_event AS a ORDER BY 2, a.destination");
	*names = MemoryContextAllocHuge(to, sizeof(Named) * Max(SPI_processed, 1));
	*n = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiAllowed *a = MemoryContextAllocZero(to, sizeof(PcapiAllowed));
		char	   *folded = text_column(i, 2, to);
		char	   *send_as = text_column(i, 4, to);
		bool		isnull;
		Datum		properties = column(i, 5, &isnull);

		a->event_name = text_column(i, 1, to);
		a->destination = find_destination(into, text_column(i, 3, to));
		if (a->destination == NULL)
			continue;			/* its foreign key says there is one */
		a->sent_as = pcapi_standard_event(send_as ? send_as : a->event_name);
		if (a->sent_as == NULL)
			a->sent_as = "custom";
		if (!isnull)
			read_listed(a, properties);

		if (*n > 0 && strcmp((*names)[*n - 1].folded, folded) == 0)
		{
			PcapiAllowed *last = (*names)[*n - 1].first;

			while (last->next)
				last = last->next;
			last->next = a;
			continue;
		}
		(*names)[*n].folded = folded;
		(*names)[*n].first = a;
		(*n)++;
	}
}

static void
read_rules(PcapiSettings *into, MemoryContext to)
{
	MemoryContext old;

	query("SELECT r.name, r.destination, r.action, r.predicate"
		  " FROM pinterest_capi.consent_rule AS r ORDER BY r.name");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiRule  *rule = MemoryContextAllocZero(to, sizeof(PcapiRule));
		bool		isnull;
		Datum		predicate = column(i, 4, &isnull);

		rule->name = text_column(i, 1, to);
		rule->destination = text_column(i, 2, to);
		rule->require = strcmp(text_column(i, 3, to), "require") == 0;
		old = MemoryContextSwitchTo(to);
		rule->predicate = DatumGetJsonPathPCopy(predicate);
		into->rules = lappend(into->rules, rule);
		MemoryContextSwitchTo(old);
	}
	old = MemoryContextSwitchTo(to);
	pcapi_consent_prepare(into);
	MemoryContextSwitchTo(old);
}

/*
 * With the newest snapshot: what counts is what is configured, not what was
 * when the caller's transaction began.  A failure leaves the old copy, still
 * marked as stale.
 */
static void
load(void)
{
	MemoryContext to = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi settings",
											 ALLOCSET_DEFAULT_SIZES);
	PcapiSettings *loaded = MemoryContextAllocZero(to, sizeof(PcapiSettings));
	Named	   *names;
	int			n;
	bool		isnull;

	for (int i = 0; i < lengthof(watched); i++)
		relids[i] = pcapi_table(watched[i]);

	/* before reading: an invalidation that arrives meanwhile must count */
	stale = false;
	PG_TRY();
	{
		SPI_connect();
		PushActiveSnapshot(GetLatestSnapshot());
		read_destinations(loaded, to);
		read_allowed(loaded, to, &names, &n);
		read_rules(loaded, to);
		query("SELECT EXISTS (SELECT FROM pinterest_capi._suppression)");
		loaded->any_suppression = DatumGetBool(column(0, 1, &isnull));
		PopActiveSnapshot();
		SPI_finish();
	}
	PG_CATCH();
	{
		stale = true;
		PG_RE_THROW();
	}
	PG_END_TRY();

	MemoryContextSetParent(to, CacheMemoryContext);
	if (context)
		MemoryContextDelete(context);
	context = to;
	settings = loaded;
	allowed = names;
	n_allowed = n;
}

PcapiSettings *
pcapi_settings(void)
{
	/*
	 * Within a transaction the server listens only where it takes a new lock,
	 * and after the first call there is none left to take: a long one would
	 * go on sending what is no longer allowed.  Costs little when there is
	 * nothing to hear.
	 */
	AcceptInvalidationMessages();

	/* another extension's tables under the same names: dropped and created anew */
	if (!stale && relids[0] != pcapi_table(PCAPI_T_DESTINATION))
		stale = true;
	if (stale || settings == NULL)
		load();
	return settings;
}

static int
compare_name(const void *key, const void *named)
{
	return strcmp(key, ((const Named *) named)->folded);
}

PcapiAllowed *
pcapi_settings_allowed(const char *event_name)
{
	char	   *folded = pcapi_fold_name(event_name);
	Named	   *found = bsearch(folded, allowed, n_allowed, sizeof(Named), compare_name);

	pfree(folded);
	return found ? found->first : NULL;
}

PcapiDestination *
pcapi_settings_destination(const char *name)
{
	return find_destination(settings, name);
}
