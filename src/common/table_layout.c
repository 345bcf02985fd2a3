/*
 * table_layout.c
 *	  Compare a table with what the install script made.
 *
 * The result is kept until the session hears of a change of the table.  It is made
 * while the table is locked: CREATE TRIGGER, ALTER TABLE and the like need a lock that
 * conflicts with a writer's, so the result can't become wrong while the lock is held,
 * and a session hears of the change when it locks the table next.
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "common/extension.h"
#include "common/table_columns.h"
#include "common/table_layout.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Return whether the extension's columns have their numbers, names and types; *others: there are more columns. */
static bool
has_our_columns(PcapiTable table, TupleDesc desc, bool *others)
{
	int			n;
	const PcapiColumn *columns = pcapi_columns(table, &n);

	if (desc->natts < n)
		return false;
	for (int i = 0; i < n; i++)
		if (TupleDescAttr(desc, i)->attisdropped || TupleDescAttr(desc, i)->atttypid != columns[i].type ||
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), columns[i].name) != 0)
			return false;
	*others = false;
	for (int i = n; i < desc->natts; i++)
		*others |= !TupleDescAttr(desc, i)->attisdropped;
	return true;
}

/* Return whether there are checks, generated values, NOT NULL or defaults that the install script didn't make. */
static bool
has_other_constraints(PcapiTable table, TupleDesc desc)
{
	int			n;
	const PcapiColumn *columns = pcapi_columns(table, &n);

	if (desc->constr && desc->constr->num_check > 0)
		return true;
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (a->attgenerated != '\0' || a->attidentity != '\0' ||
			(!columns[i].filled && (a->attnotnull || a->atthasdef)))
			return true;
	}
	return false;
}

/*
 * Return whether a trigger may run as the owner of the table.  A role that was given
 * the right TRIGGER alone can make one, which would run with the owner's rights in
 * every session that tracks.  A foreign key's trigger, and one that is enabled for
 * replicas too, can only be the owner's.  For others the owner of the function
 * decides.
 */
static bool
is_trusted_trigger(Relation rel, const Trigger *trigger)
{
	HeapTuple	tuple;
	Oid			maker;

	if (trigger->tgisinternal || trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(trigger->tgfoid));
	if (!HeapTupleIsValid(tuple))
		return false;
	maker = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(maker, rel->rd_rel->relowner);
}

/*
 * Classify the triggers, except the extension's own: it fires for rows of logical
 * replication, which are not written here.
 */
static void
classify_triggers(Relation rel, bool *trusted, bool *planted)
{
	const TriggerDesc *triggers = rel->trigdesc;

	*trusted = *planted = false;
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgenabled == TRIGGER_DISABLED ||
			(strcmp(trigger->tgname, "_received") == 0 && trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA))
			continue;
		if (is_trusted_trigger(rel, trigger))
			*trusted = true;
		else
			*planted = true;
	}
}

/* Return whether an index needs more than the insertion of an entry: an expression, or a deferred or exclusion check. */
static bool
has_other_indexes(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		found |= !index->indimmediate || index->indisexclusion ||
			!heap_attisnull(tuple, Anum_pg_index_indexprs, NULL);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/* the result of the comparison */
typedef struct Layout
{
	Oid			relid;			/* of which relation */
	uint32		version;		/* and of which version of it */
	bool		known;			/* the rest is set */
	bool		read;			/* may be read without statements */
	bool		write;			/* and written */
	bool		planted;		/* has a trigger that must not run */
} Layout;

/* Compare a table, open and locked, unless the result of this version of it is known. */
static const Layout *
compare_layout(PcapiTable table, Relation rel)
{
	static Layout layouts[PCAPI_TABLES];
	Layout	   *layout = &layouts[table];
	uint32		version = pcapi_table_version(table);
	Form_pg_class form = rel->rd_rel;
	bool		others = false;
	bool		trusted;

	if (layout->known && layout->relid == RelationGetRelid(rel) && layout->version == version)
		return layout;

	layout->known = false;		/* for the case of an error */
	layout->read = has_our_columns(table, RelationGetDescr(rel), &others) &&
		form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
		!form->relhassubclass && !form->relhasrules &&
		!(form->relrowsecurity && (form->relforcerowsecurity || form->relowner != GetUserId()));
	classify_triggers(rel, &trusted, &layout->planted);
	layout->write = layout->read && !others && !form->relispartition && !trusted &&
		!has_other_constraints(table, RelationGetDescr(rel)) && !has_other_indexes(rel);
	layout->relid = RelationGetRelid(rel);
	layout->version = version;
	layout->known = true;
	return layout;
}

bool
pcapi_reads_directly(PcapiTable table, Relation rel)
{
	return compare_layout(table, rel)->read;
}

bool
pcapi_writes_directly(PcapiTable table, Relation rel)
{
	return compare_layout(table, rel)->write;
}

bool
pcapi_has_planted_trigger(PcapiTable table, Relation rel)
{
	return compare_layout(table, rel)->planted;
}

PG_FUNCTION_INFO_V1(pcapi_sql_written_directly);
Datum
pcapi_sql_written_directly(PG_FUNCTION_ARGS)
{
	static const PcapiTable written[] = {PCAPI_TABLE_EVENT, PCAPI_TABLE_RETRY, PCAPI_TABLE_OUTCOME, PCAPI_TABLE_VISITOR};
	Oid			relid = PG_GETARG_OID(0);
	bool		directly = true;
	PcapiUserContext saved;

	/* as the owner: whether row security applies depends on the user */
	pcapi_switch_to_owner(&saved, false);
	for (int i = 0; i < lengthof(written); i++)
		if (pcapi_table(written[i]) == relid)
		{
			Relation	rel = table_open(relid, AccessShareLock);

			directly = pcapi_writes_directly(written[i], rel);
			table_close(rel, AccessShareLock);
		}
	pcapi_restore_user(&saved);
	PG_RETURN_BOOL(directly);
}

/* ---- indexes ---- */

/* Return whether the index's first columns are the key's. */
static bool
begins_with(Form_pg_index index, const PcapiKey *key)
{
	if (index->indnkeyatts < key->n)
		return false;
	for (int i = 0; i < key->n; i++)
		if (index->indkey.values[i] != key->columns[i])
			return false;
	return true;
}

bool
pcapi_is_unique_over(HeapTuple tuple, const PcapiKey *key)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

	return index->indisunique && index->indimmediate && index->indnkeyatts == key->n &&
		begins_with(index, key) && heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
}

/*
 * While REINDEX CONCURRENTLY runs there are two indexes over a key, and ON CONFLICT
 * knows of one.  As the table is locked, an index that isn't in the list now will
 * take no entries before the lock is released.
 */
PcapiUniqueness
pcapi_uniqueness(Relation rel, const PcapiKey *key)
{
	PcapiUniqueness u = {0};
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		bool		valid;

		if (!HeapTupleIsValid(tuple))
			continue;
		valid = ((Form_pg_index) GETSTRUCT(tuple))->indisvalid;
		u.transient |= !valid;
		if (key && pcapi_is_unique_over(tuple, key))
		{
			u.enforced = true;
			u.valid |= valid;
		}
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return u;
}

/*
 * Return whether a scan may use an index for a key.  As for the planner, an index
 * that may lack rows which this snapshot shows (indcheckxmin) is out of the question.
 */
static bool
can_be_scanned(Relation index, const PcapiKey *key)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || !begins_with(form, key) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < key->n; i++)
		if (index->rd_indoption[i] != 0 ||
			(index->rd_opfamily[i] != INTEGER_BTREE_FAM_OID && index->rd_opfamily[i] != BYTEA_BTREE_FAM_OID))
			return false;
	return !form->indcheckxmin ||
		TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin);
}

Relation
pcapi_open_index(Relation rel, const PcapiKey *key)
{
	List	   *indexes = RelationGetIndexList(rel);
	Relation	found = NULL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (can_be_scanned(index, key))
		{
			found = index;
			break;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}
