/*
 * settings_read.c
 *	  Read destinations, allowed events and consent rules by their names.
 *
 * Each statement is for one name, and finds its rows by an index however many
 * others there are.  Its plan is made once after each change of the settings,
 * with the tables as large as they are then.
 */
#include "pinterest_capi.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/spi.h"
#include "core/normalize_place.h"
#include "core/url.h"
#include "miscadmin.h"
#include "track/consent.h"
#include "track/property.h"
#include "track/settings.h"
#include "track/settings_read.h"
#include "track/standard_event.h"
#include "track/user_data_key.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

typedef enum Statement
{
	READ_SUPPRESSION,
	READ_TOTALS,
	READ_DESTINATION,
	READ_ALLOWED,
	READ_ALLOWED_FOR,
	READ_RULES,
	READ_RULES_FOR
} Statement;

static const struct
{
	const char *sql;
	int			nargs;			/* texts */
}			statements[] =
{
	[READ_SUPPRESSION] = {"SELECT EXISTS (SELECT FROM pinterest_capi._suppression) AS any_suppression", 0},
	[READ_TOTALS] = {"SELECT EXISTS (SELECT FROM pinterest_capi.destination) AS any_destination,"
		" EXISTS (SELECT FROM pinterest_capi.destination AS d WHERE d.send_client_ip) AS send_client_ip,"
		" EXISTS (SELECT FROM pinterest_capi.destination AS d WHERE d.send_user_agent) AS send_user_agent,"
		" ARRAY (SELECT DISTINCT pg_catalog.lower(d.default_country) FROM pinterest_capi.destination AS d"
	" WHERE d.default_country IS NOT NULL) AS countries", 0},
	[READ_DESTINATION] = {"SELECT (SELECT s.dest FROM pinterest_capi._destination_state AS s"
		" WHERE s.destination OPERATOR(pg_catalog.=) d.destination) AS dest,"
		" d.send_client_ip, d.send_user_agent, d.page_url_detail,"
		" d.default_checkout_value::pg_catalog.text AS default_checkout_value, d.default_checkout_currency,"
		" d.opt_out_action, d.max_event_age, d.default_country"
		" FROM pinterest_capi.destination AS d"
	" WHERE d.destination OPERATOR(pg_catalog.=) $1", 1},
	[READ_ALLOWED] = {"SELECT a.event_name, a.destination, a.send_as, a.properties"
		" FROM pinterest_capi.allowed_event AS a"
		" WHERE pinterest_capi._fold(a.event_name) COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) $1"
	" ORDER BY a.destination", 1},
	[READ_ALLOWED_FOR] = {"SELECT a.event_name, a.destination, a.send_as, a.properties"
		" FROM pinterest_capi.allowed_event AS a"
		" WHERE pinterest_capi._fold(a.event_name) OPERATOR(pg_catalog.=) $1"
	" AND a.destination OPERATOR(pg_catalog.=) $2", 2},
	[READ_RULES] = {"SELECT r.name, r.action, r.predicate FROM pinterest_capi.consent_rule AS r"
	" WHERE r.destination IS NULL ORDER BY r.name", 0},
	[READ_RULES_FOR] = {"SELECT r.name, r.action, r.predicate FROM pinterest_capi.consent_rule AS r"
	" WHERE r.destination OPERATOR(pg_catalog.=) $1 ORDER BY r.name", 1},
};

static SPIPlanPtr plans[lengthof(statements)];

void
pcapi_read_replan(void)
{
	for (int i = 0; i < lengthof(plans); i++)
	{
		if (plans[i])
			SPI_freeplan(plans[i]);
		plans[i] = NULL;
	}
}

/* Execute a statement; between SPI_connect and SPI_finish. */
static void
query(Statement which, const char *first, const char *second)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {0};

	if (first)
		values[0] = CStringGetTextDatum(first);
	if (second)
		values[1] = CStringGetTextDatum(second);
	/* generic: what is looked for says nothing of how to find it */
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan_generic(&plans[which], statements[which].sql, statements[which].nargs, types),
				  values, NULL, true, 0);
}

static Datum
column(uint64 row, const char *name, bool *isnull)
{
	return pcapi_result_datum(row, pcapi_result_column(name), isnull);
}

/* The column's text in the memory context to, or NULL. */
static char *
text_column(uint64 row, const char *name, MemoryContext to)
{
	bool		isnull;
	Datum		d = column(row, name, &isnull);

	return isnull ? NULL : MemoryContextStrdup(to, TextDatumGetCString(d));
}

/* Return the keys of user_data whose setting is off in the row, as PCAPI_KEY_BITs. */
static uint32
withheld_keys(uint64 row)
{
	uint32		withheld = 0;

	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const char *setting = pcapi_user_data_fields[key].setting;

		if (setting && !pcapi_result_bool(row, setting))
			withheld |= PCAPI_KEY_BIT(key);
	}
	return withheld;
}

/* Return an interval in microseconds, with months of 30 days. */
static int64
interval_length(Datum d)
{
	Interval   *span = DatumGetIntervalP(d);

	return span->time + ((int64) span->month * DAYS_PER_MONTH + span->day) * USECS_PER_DAY;
}

/* ---- consent rules ---- */

/* Read the rules of a destination, or with NULL those for all destinations; *paths gets their paths. */
static List *
read_rules(PcapiSettings *settings, const char *destination, List **paths)
{
	List	   *rules = NIL;

	SPI_connect();
	query(destination ? READ_RULES_FOR : READ_RULES, destination, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiRule  *rule = MemoryContextAllocZero(settings->context, sizeof(PcapiRule));
		bool		isnull;
		Datum		predicate = column(i, "predicate", &isnull);
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		rule->name = text_column(i, "name", settings->context);
		rule->require = strcmp(text_column(i, "action", CurrentMemoryContext), "require") == 0;
		old = MemoryContextSwitchTo(settings->context);
		rule->predicate = DatumGetJsonPathPCopy(predicate);
		pcapi_consent_compile(rule, paths);
		rules = lappend(rules, rule);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return rules;
}

/* Merge two lists that are ordered by name, by the database's collation as in the statements. */
static List *
merge_rules(List *a, List *b)
{
	List	   *merged = NIL;
	int			i = 0;
	int			j = 0;

	while (i < list_length(a) || j < list_length(b))
	{
		PcapiRule  *left = i < list_length(a) ? list_nth(a, i) : NULL;
		PcapiRule  *right = j < list_length(b) ? list_nth(b, j) : NULL;

		if (right == NULL ||
			(left && varstr_cmp(left->name, strlen(left->name), right->name, strlen(right->name),
								DEFAULT_COLLATION_OID) <= 0))
		{
			merged = lappend(merged, left);
			i++;
		}
		else
		{
			merged = lappend(merged, right);
			j++;
		}
	}
	return merged;
}

/* ---- what is read at the beginning, and what concerns all destinations ---- */

void
pcapi_read_common(PcapiSettings *settings)
{
	SPI_connect();
	query(READ_SUPPRESSION, NULL, NULL);
	settings->any_suppression = pcapi_result_bool(0, "any_suppression");
	SPI_finish();
	settings->rules = read_rules(settings, NULL, &settings->rule_paths);
}

void
pcapi_read_totals(PcapiSettings *settings)
{
	Datum	   *countries;
	int			n;
	bool		isnull;
	MemoryContext old;

	SPI_connect();
	query(READ_TOTALS, NULL, NULL);
	settings->any_destination = pcapi_result_bool(0, "any_destination");
	settings->withheld = withheld_keys(0);
	deconstruct_array(DatumGetArrayTypeP(column(0, "countries", &isnull)), TEXTOID, -1, false, TYPALIGN_INT,
					  &countries, NULL, &n);
	old = MemoryContextSwitchTo(settings->context);
	for (int i = 0; i < n; i++)
		settings->default_countries = lappend(settings->default_countries, TextDatumGetCString(countries[i]));
	MemoryContextSwitchTo(old);
	settings->totals_read = true;
	SPI_finish();
}

/* ---- destinations ---- */

/* Make a destination of the result's row. */
static PcapiDestination *
destination_from_row(const char *name, MemoryContext to)
{
	PcapiDestination *d = MemoryContextAllocZero(to, sizeof(PcapiDestination));
	const char *detail = text_column(0, "page_url_detail", CurrentMemoryContext);
	const char *country;
	bool		isnull;

	d->name = MemoryContextStrdup(to, name);
	d->no = pcapi_result_int32(0, "dest");
	d->withheld = withheld_keys(0);
	d->page_url_detail = strcmp(detail, "path") == 0 ? PCAPI_URL_PATH :
		strcmp(detail, "domain") == 0 ? PCAPI_URL_DOMAIN : PCAPI_URL_NONE;
	d->default_checkout_value = text_column(0, "default_checkout_value", to);
	d->default_checkout_currency = text_column(0, "default_checkout_currency", to);
	d->suppress_opt_out = strcmp(text_column(0, "opt_out_action", CurrentMemoryContext), "suppress") == 0;
	d->max_event_age = interval_length(column(0, "max_event_age", &isnull));
	country = text_column(0, "default_country", CurrentMemoryContext);
	if (country)
		(void) pcapi_country_code(country, strlen(country), d->default_country);
	return d;
}

PcapiDestination *
pcapi_read_destination(PcapiSettings *settings, const char *name)
{
	PcapiDestination *d = NULL;
	MemoryContext old;
	List	   *own;

	SPI_connect();
	query(READ_DESTINATION, name, NULL);
	if (SPI_processed > 0)
		d = destination_from_row(name, settings->context);
	SPI_finish();
	settings->parts++;
	if (d == NULL)
		return NULL;

	own = read_rules(settings, name, &d->rule_paths);
	old = MemoryContextSwitchTo(settings->context);
	d->rules = own == NIL ? settings->rules : merge_rules(settings->rules, own);
	MemoryContextSwitchTo(old);
	settings->parts += list_length(d->rules);
	return d;
}

/* ---- allowed events ---- */

/* Set the properties that an allowed event lists. */
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

/* Make an allowed event of a row of the result. */
static PcapiAllowed *
allowed_from_row(uint64 row, MemoryContext to)
{
	PcapiAllowed *a = MemoryContextAllocZero(to, sizeof(PcapiAllowed));
	char	   *send_as = text_column(row, "send_as", CurrentMemoryContext);
	bool		isnull;
	Datum		properties = column(row, "properties", &isnull);

	a->event_name = text_column(row, "event_name", to);
	a->destination_name = text_column(row, "destination", to);
	a->sent_as = pcapi_standard_event(send_as ? send_as : a->event_name);
	if (a->sent_as == NULL)
		a->sent_as = "custom";
	if (!isnull)
		read_listed(a, properties);
	return a;
}

PcapiAllowed *
pcapi_read_allowed(PcapiSettings *settings, const char *folded, const PcapiDestination *destination)
{
	PcapiAllowed *first = NULL;
	PcapiAllowed **end = &first;

	SPI_connect();
	if (destination)
		query(READ_ALLOWED_FOR, folded, destination->name);
	else
		query(READ_ALLOWED, folded, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		*end = allowed_from_row(i, settings->context);
		end = &(*end)->next;
	}
	settings->parts += SPI_processed + 1;
	SPI_finish();
	return first;
}
