/*
 * table_insert.c
 *	  Insert by statements: into tables that somebody has changed, and upserts while an index is
 *	  replaced.
 *
 * A plain INSERT fires triggers, fills in defaults and checks constraints.  There is
 * a statement for each set of columns that have a value, of which there are few; the
 * other columns get their defaults.
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "common/table_insert.h"
#include "common/table_layout.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* attempts of an upsert that a unique violation stops */
#define UPSERT_ATTEMPTS	100

/* columns of the widest table that is written directly */
#define COLUMNS_MAX	15

StaticAssertDecl(COLUMNS_MAX >= PCAPI_EVENT_COLUMNS, "columns of a statement");

bool		pcapi_inserting_by_sql = false;

/* a kept plan */
typedef struct Statement
{
	PcapiTable	table;
	uint32		columns;		/* a bit each */
	bool		on_conflict;
	SPIPlanPtr	plan;
} Statement;

/* Prepare the INSERT of a set of columns. */
static SPIPlanPtr
make_statement(const PcapiTableWriter *writer, uint32 columns, bool on_conflict)
{
	StringInfoData names;
	StringInfoData numbers;
	Oid			types[COLUMNS_MAX];
	SPIPlanPtr	plan = NULL;
	int			n = 0;

	initStringInfo(&names);
	initStringInfo(&numbers);
	for (int i = 0; i < COLUMNS_MAX; i++)
		if (columns & ((uint32) 1 << i))
		{
			types[n++] = pcapi_column_type(writer->table, i + 1);
			appendStringInfo(&names, "%s%s", n == 1 ? "" : ", ", pcapi_column_name(writer->table, i + 1));
			appendStringInfo(&numbers, "%s$%d", n == 1 ? "" : ", ", n);
		}
	appendStringInfoString(&numbers, ")");
	if (on_conflict)
		for (int i = 0; i < writer->key->n; i++)
			appendStringInfo(&numbers, "%s%s%s", i == 0 ? " ON CONFLICT (" : ", ",
							 pcapi_column_name(writer->table, writer->key->columns[i]),
							 i == writer->key->n - 1 ? ") DO NOTHING" : "");
	return pcapi_plan(&plan,
					  psprintf("INSERT INTO pinterest_capi.%s (%s) OVERRIDING SYSTEM VALUE VALUES (%s",
							   quote_identifier(RelationGetRelationName(writer->rel)), names.data, numbers.data),
					  n, types);
}

/* Return the plan of the INSERT of a set of columns; the session keeps it. */
static SPIPlanPtr
find_statement(const PcapiTableWriter *writer, uint32 columns, bool on_conflict)
{
	static List *statements = NIL;
	Statement  *s;
	ListCell   *lc;
	MemoryContext old;
	SPIPlanPtr	plan;

	foreach(lc, statements)
	{
		s = lfirst(lc);
		if (s->table == writer->table && s->columns == columns && s->on_conflict == on_conflict)
			return s->plan;
	}
	plan = make_statement(writer, columns, on_conflict);
	old = MemoryContextSwitchTo(TopMemoryContext);
	s = palloc(sizeof(Statement));
	s->table = writer->table;
	s->columns = columns;
	s->on_conflict = on_conflict;
	s->plan = plan;
	statements = lappend(statements, s);
	MemoryContextSwitchTo(old);
	return plan;
}

/* an execution, for insert() */
typedef struct Insertion
{
	SPIPlanPtr	plan;
	Datum	   *values;
	const char *nulls;
	bool		inserted;
} Insertion;

/* Execute the plan.  A row that somebody's rule has put elsewhere counts as inserted. */
static void
insert(void *arg)
{
	Insertion  *i = arg;
	int			result = pcapi_execute_any(i->plan, i->values, i->nulls);

	i->inserted = SPI_processed > 0 || result == SPI_OK_REWRITTEN;
}

/*
 * Execute the plan of an INSERT ... ON CONFLICT, which knows the valid indexes alone.
 * Before PostgreSQL 19, an index that is being built or replaced (transient) may
 * raise a unique violation for a key that ON CONFLICT didn't find.  So while there
 * is such an index, and only then, the plan runs in a subtransaction: the next
 * attempt finds the row, which is committed by then.
 */
static void
upsert(Insertion *insertion, bool transient)
{
	for (int i = 0; transient && i < UPSERT_ATTEMPTS; i++)
	{
		if (pcapi_try_subxact_unique(insert, insertion))
			return;
		CHECK_FOR_INTERRUPTS();
	}
	insert(insertion);
}

bool
pcapi_execute_upsert(PcapiTable table, SPIPlanPtr plan, Datum *values, const char *nulls)
{
	Insertion	i = {plan, values, nulls};
	Relation	rel = table_open(pcapi_table(table), RowExclusiveLock);

	upsert(&i, pcapi_uniqueness(rel, NULL).transient);
	table_close(rel, NoLock);
	return i.inserted;
}

/* what happens to a row whose key exists */
typedef enum Conflict
{
	IS_ERROR,
	IS_SKIPPED,					/* by ON CONFLICT */
	IS_CAUGHT					/* the unique violation is, if ON CONFLICT has no index to use */
} Conflict;

/* Insert while pcapi_inserting_by_sql is true. */
static void
insert_marked(Insertion *i, Conflict conflict, bool transient)
{
	bool		outer = pcapi_inserting_by_sql;

	pcapi_inserting_by_sql = true;
	PG_TRY();
	{
		if (conflict == IS_CAUGHT)
			(void) pcapi_try_subxact_unique(insert, i);
		else
			upsert(i, transient && conflict == IS_SKIPPED);
	}
	PG_FINALLY();
	{
		pcapi_inserting_by_sql = outer;
	}
	PG_END_TRY();
}

/*
 * Switch ordinary triggers off.  Those that the owner has enabled for replicas too,
 * as pg_repack does, still fire.  All plans of the session are made again because of
 * it, which is acceptable while there is such a trigger.
 */
static int
fire_no_planted_trigger(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

bool
pcapi_insert_by_sql(PcapiTableWriter *writer, bool only_new)
{
	Datum		values[COLUMNS_MAX];
	uint32		columns = 0;
	int			n = 0;
	PcapiUniqueness u = {0};
	Conflict	conflict = IS_ERROR;
	int			level = 0;
	Insertion	i = {.values = values};

	for (int c = 0; c < writer->slot->tts_tupleDescriptor->natts && c < COLUMNS_MAX; c++)
		if (!writer->slot->tts_isnull[c])
		{
			columns |= (uint32) 1 << c;
			values[n++] = writer->slot->tts_values[c];
		}
	if (only_new)
	{
		u = pcapi_uniqueness(writer->rel, writer->key);
		/* a table with rules takes no ON CONFLICT */
		if (u.valid && writer->rel->rd_rules == NULL)
			conflict = IS_SKIPPED;
		else if (u.enforced)
			conflict = IS_CAUGHT;
	}
	if (pcapi_has_planted_trigger(writer->table, writer->rel))
		level = fire_no_planted_trigger();
	SPI_connect();
	i.plan = find_statement(writer, columns, conflict == IS_SKIPPED);
	insert_marked(&i, conflict, u.transient);
	SPI_finish();
	if (level > 0)
		AtEOXact_GUC(false, level);
	return i.inserted;
}
