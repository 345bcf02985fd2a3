/*
 * trigger_check.c
 *	  Check a track_trigger trigger without a row, for doctor().
 *
 * Users' code never runs as the role that calls doctor().  Expressions are parsed
 * as the table's owner, since even a literal's type may call functions; of other
 * roles that may fire the trigger only the rights are checked.
 */
#include "pinterest_capi.h"

#include "access/relation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "track/mapping.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

typedef struct ExpressionCheck
{
	PcapiMapping *mapping;
	Relation	rel;
	Oid			role;
} ExpressionCheck;

/* ---- rights of the current user, as the executor would ask for them ---- */

static void
check_schema(Oid schema)
{
	if (OidIsValid(schema) && !PcapiMayUse(schema))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
}

/* Raise an error where the user may not execute a function. */
static bool
check_function(Oid function, void *context)
{
	check_schema(get_func_namespace(function));
	if (!PcapiMayExecute(function))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
	return false;
}

/* Raise an error for the first right that an expression lacks, as the executor would. */
static bool
check_rights(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		PcapiCheckTableRights(query);
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst(lc);

			/* rights on what a view reads are its owner's */
			if (rte->rtekind == RTE_RELATION && !OidIsValid(PcapiCheckedAs(query, rte)))
				check_schema(get_rel_namespace(rte->relid));
		}
		return query_tree_walker(query, check_rights, context, 0);
	}
	(void) check_functions_in_node(node, check_function, context);
	return expression_tree_walker(node, check_rights, context);
}

/* Become a role.  A subtransaction that fails restores the user; after success the caller does. */
static void
switch_to(Oid role, Oid *saved, int *sec_context)
{
	GetUserIdAndSecContext(saved, sec_context);
	SetUserIdAndSecContext(role, *sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
}

/* Prepare an expression as check->role. */
static void
prepare_as(void *arg)
{
	ExpressionCheck *check = arg;
	Oid			saved;
	int			sec_context;

	switch_to(check->role, &saved, &sec_context);
	SPI_connect();
	pcapi_prepare_mapping(check->mapping, check->rel);
	SPI_finish();
	SetUserIdAndSecContext(saved, sec_context);
}

/* Check the rights of check->role on all that a prepared expression names. */
static void
check_rights_of(void *arg)
{
	ExpressionCheck *check = arg;
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(check->mapping->plan));
	Oid			saved;
	int			sec_context;
	ListCell   *lc;

	switch_to(check->role, &saved, &sec_context);
	foreach(lc, source->query_list)
		(void) check_rights(lfirst(lc), NULL);
	SetUserIdAndSecContext(saved, sec_context);
}

/* ---- the rows ---- */

typedef struct Findings
{
	ReturnSetInfo *rsinfo;
	const char *event_name;
	int			n;
} Findings;

/* Add a row to the result. */
static void
add_finding(Findings *findings, const char *key, const char *fault, const char *hint)
{
	Datum		values[4] = {0};
	bool		nulls[4] = {false};
	const char *texts[] = {key, fault, hint};

	nulls[0] = findings->event_name == NULL;
	if (findings->event_name)
		values[0] = CStringGetTextDatum(findings->event_name);
	for (int i = 0; i < lengthof(texts); i++)
	{
		nulls[i + 1] = texts[i] == NULL;
		if (texts[i])
			values[i + 1] = CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(findings->rsinfo->setResult, findings->rsinfo->setDesc, values, nulls);
	findings->n++;
}

/* Prepare an expression as the table's owner, and check the rights of all roles that may fire it. */
static void
check_expression(Findings *findings, PcapiMapping *m, Relation rel, ArrayType *roles)
{
	ExpressionCheck check = {m, rel, rel->rd_rel->relowner};
	ErrorData  *error = pcapi_try_user_code(prepare_as, &check);
	Oid		   *role = (Oid *) ARR_DATA_PTR(roles);
	int			n = ArrayGetNItems(ARR_NDIM(roles), ARR_DIMS(roles));

	if (error)
	{
		add_finding(findings, m->key, psprintf("Its expression can't be prepared: %s.", error->message),
					pcapi_hint_of_expression(error));
		return;
	}
	for (int i = -1; i < n; i++)
	{
		check.role = i < 0 ? rel->rd_rel->relowner : role[i];
		error = pcapi_try_user_code(check_rights_of, &check);
		if (error)
			add_finding(findings, m->key,
						psprintf("Where role \"%s\" writes: %s.", GetUserNameFromId(check.role, false), error->message),
						PCAPI_RIGHTS_HINT);
	}
}

/* Add what is wrong with a trigger, or one row without a fault. */
static void
check_trigger(Findings *findings, const Trigger *trigger, Relation rel, ArrayType *roles)
{
	PcapiTriggerMap *map = pcapi_read_trigger(trigger, rel);
	ListCell   *lc;

	findings->event_name = map->event_name;

	if (!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype))
		add_finding(findings, NULL, "It is not a row-level AFTER trigger, so its events are rejected.", PCAPI_TRIGGER_HINT);
	foreach(lc, map->faults)
	{
		PcapiMappingFault *fault = lfirst(lc);

		add_finding(findings, fault->key, fault->what, fault->hint);
	}
	for (int i = 0; i < map->nmappings; i++)
	{
		if (map->mappings[i].query)
			check_expression(findings, &map->mappings[i], rel, roles);
	}
	if (findings->n == 0)
		add_finding(findings, NULL, NULL, NULL);
	MemoryContextDelete(map->context);
}

/* Release locks at once: there may be more partitions than the lock table has room for. */
PG_FUNCTION_INFO_V1(pcapi_sql_trigger_faults);
Datum
pcapi_sql_trigger_faults(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			trigger = PG_GETARG_OID(1);
	Findings	findings = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	Relation	rel;
	TriggerDesc *triggers;

	InitMaterializedSRF(fcinfo, 0);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		add_finding(&findings, NULL, "Its table is locked, so that it was not looked at.",
					"Ask again when the lock is gone.");
		return (Datum) 0;
	}
	rel = try_relation_open(relid, NoLock);
	/* a copy: our lock lets others create triggers in the meantime */
	triggers = rel ? CopyTriggerDesc(rel->trigdesc) : NULL;
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (triggers->triggers[i].tgoid == trigger)
			check_trigger(&findings, &triggers->triggers[i], rel, PG_GETARG_ARRAYTYPE_P(2));
	}
	if (rel)
		relation_close(rel, NoLock);
	UnlockRelationOid(relid, AccessShareLock);
	return (Datum) 0;
}
