/*
 * extension.c
 *	  Find the extension's tables, and act as their owner.
 *
 * Statements on the tables are in src/queue and the folders above it.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define TABLE_RIGHTS	(ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE)

static const char *const table_names[] = {
	[PCAPI_TABLE_DESTINATION] = "destination",
	[PCAPI_TABLE_DESTINATION_STATE] = "_destination_state",
	[PCAPI_TABLE_ALLOWED_EVENT] = "allowed_event",
	[PCAPI_TABLE_CONSENT_RULE] = "consent_rule",
	[PCAPI_TABLE_VISITOR] = "_visitor",
	[PCAPI_TABLE_SUPPRESSION] = "_suppression",
	[PCAPI_TABLE_SECRET] = "_secret",
	[PCAPI_TABLE_ERASURE] = "_erasure",
	[PCAPI_TABLE_EVENT_SEQUENCE] = "_event_id_seq",
	[PCAPI_TABLE_EVENT] = "_event",
	[PCAPI_TABLE_RETRY] = "_retry",
	[PCAPI_TABLE_OUTCOME] = "_outcome",
	[PCAPI_TABLE_WORKER] = "_worker",
	[PCAPI_TABLE_STATISTICS] = "_statistics",
	[PCAPI_TABLE_SETTINGS] = "_settings",
};

/* what the session knows of each table */
static struct
{
	Oid			oid;			/* as found last */
	bool		current;
	uint32		version;
}			known[lengthof(table_names)];
static uint64 changes = 0;		/* invalidations heard so far */
static bool rights_known = false;	/* pcapi_owner_has_rights() keeps its answer */

void
pcapi_table_relcache_changed(Oid relation)
{
	changes++;
	for (int i = 0; i < lengthof(known); i++)
		if (relation == InvalidOid || relation == known[i].oid || !OidIsValid(known[i].oid))
		{
			known[i].current = false;
			known[i].version++;
			rights_known = false;
		}
}

/* Forget what may depend on a schema or a function that was renamed, or whose rights have changed. */
void
pcapi_table_catalog_changed(void)
{
	changes++;
	rights_known = false;
	for (int i = 0; i < lengthof(known); i++)
		known[i].current = false;
}

/* An event calls this five times.  Without the kept OID, each would be two look-ups in the syscache. */
Oid
pcapi_table(PcapiTable table)
{
	uint64		before;
	Oid			schema;
	Oid			found;

	if (known[table].current)
		return known[table].oid;
	before = changes;
	schema = get_namespace_oid(PCAPI_SCHEMA, true);
	found = OidIsValid(schema) ? get_relname_relid(table_names[table], schema) : InvalidOid;
	/* an invalidation that came during the look-up may have been for this table */
	known[table].current = OidIsValid(found) && changes == before;
	if (known[table].oid != found)
		known[table].version++;
	known[table].oid = found;
	return found;
}

uint32
pcapi_table_version(PcapiTable table)
{
	return known[table].version;
}

/*
 * The owner of the tables is the role that ran CREATE EXTENSION, or that was given
 * them since.  It is read from the table, as pg_extension has no syscache.
 */
Oid
pcapi_extension_owner(bool missing_ok)
{
	Oid			table = pcapi_table(PCAPI_TABLE_EVENT);
	HeapTuple	tuple = OidIsValid(table) ?
		SearchSysCache1(RELOID, ObjectIdGetDatum(table)) : NULL;
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
	{
		if (missing_ok)
			return InvalidOid;
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("tables of extension \"%s\" are missing", "pinterest_capi"),
				 errhint("Run CREATE EXTENSION pinterest_capi in this database, or give its schema the name pinterest_capi again if that was renamed."),
				 pcapi_errhide()));
	}
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Return whether the extension's owner has the rights that statements of track()
 * may need.  An owner can revoke rights of his own.
 */
bool
pcapi_owner_has_rights(Oid owner)
{
	static Oid	asked_for = InvalidOid;
	static bool answer;
	Oid			schema;
	Oid			sequence;
	Oid			saved_user;
	int			saved_context;

	if (rights_known && asked_for == owner)
		return answer;
	rights_known = true;		/* before the look-ups, during which an invalidation may reset it */
	asked_for = owner;
	schema = get_namespace_oid(PCAPI_SCHEMA, true);
	sequence = get_relname_relid("_destination_state_dest_seq", schema);
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(owner, saved_context | SECURITY_LOCAL_USERID_CHANGE);
	answer = OidIsValid(schema) && PcapiMayUse(schema);
	if (answer)
	{
		Oid			argtypes[1] = {TEXTOID};
		Oid			fold = LookupFuncName(list_make2(makeString(PCAPI_SCHEMA), makeString("_fold")), 1, argtypes, true);

		answer = !OidIsValid(fold) || PcapiMayExecute(fold);
	}
	SetUserIdAndSecContext(saved_user, saved_context);
	if (OidIsValid(sequence))
		answer = answer && pg_class_aclcheck(sequence, owner, ACL_USAGE) == ACLCHECK_OK;
	for (int i = 0; answer && i < lengthof(known); i++)
	{
		Oid			table = i == PCAPI_TABLE_EVENT_SEQUENCE || i == PCAPI_TABLE_SETTINGS ? InvalidOid : pcapi_table(i);

		if (OidIsValid(table))
			answer = pg_class_aclmask(table, owner, TABLE_RIGHTS, ACLMASK_ALL) == TABLE_RIGHTS;
	}
	return answer;
}

/*
 * Error context callback.  The server's own errors (a full disk, a serialization
 * failure) would log the caller's statement, and with it the raw identifiers in
 * its literals.
 */
static void
hide_statement(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

void
pcapi_switch_to_owner(PcapiUserContext *saved, bool pin_search_path)
{
	Oid			owner = pcapi_extension_owner(false);

	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	SetUserIdAndSecContext(owner, saved->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	saved->errors.callback = hide_statement;
	saved->errors.arg = NULL;
	saved->errors.previous = error_context_stack;
	error_context_stack = &saved->errors;
	saved->guc_level = 0;
	if (pin_search_path)
	{
		saved->guc_level = NewGUCNestLevel();
		(void) set_config_option("search_path", "pg_catalog, pg_temp",
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
}

void
pcapi_restore_user(const PcapiUserContext *saved)
{
	if (saved->guc_level > 0)
		AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->sec_context);
	error_context_stack = saved->errors.previous;
}

void
pcapi_check_writable(const char *function)
{
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s in a read-only transaction", function),
				 RecoveryInProgress() ?
				 errhint("This server is a standby: call it on the primary.") :
				 errhint("Call it in a transaction that is READ WRITE."),
				 pcapi_errhide()));
}
