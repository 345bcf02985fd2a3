/*
 * preview_row.c
 *	  What the track_trigger triggers of a table would make of a row.
 *
 * Expressions and WHEN run as the caller, as they would run as the role that
 * writes; whatever they write is rolled back.
 */
#include "pinterest_capi.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/subxact.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "track/call.h"
#include "track/mapping.h"
#include "track/preview.h"
#include "track/track.h"
#include "track/track_trigger.h"
#include "track/warning.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Open the table that a row type belongs to. */
static Relation
open_table(Oid type)
{
	Oid			relid = get_typ_typrelid(getBaseType(type));
	char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
	AclResult	may;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE && relkind != RELKIND_FOREIGN_TABLE)
		pcapi_error_invalid_parameter(("preview_row() needs a row of a table"),
									  ("Give the row as a whole, by the table's name or alias, as in SELECT * FROM pinterest_capi.preview_row((SELECT o FROM orders AS o LIMIT 1)); rows of views and subqueries have no triggers."));
	may = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	if (may != ACLCHECK_OK)
		aclcheck_error(may, get_relkind_objtype(relkind), get_rel_name(relid));
	return relation_open(relid, AccessShareLock);
}

/* Return whether a trigger calls track_trigger. */
static bool
is_ours(const Trigger *trigger)
{
	return get_func_namespace(trigger->tgfoid) == get_namespace_oid(PCAPI_SCHEMA, true) &&
		strcmp(get_func_name(trigger->tgfoid), "track_trigger") == 0;
}

/*
 * Return whether the row meets a trigger's WHEN, evaluated as commands/trigger.c
 * does.  OLD is the row for DELETE; else it is unknown, and its columns are null.
 */
static bool
meets_when(const Trigger *trigger, Relation rel, HeapTuple tuple)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	TupleTableSlot *unknown = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	Node	   *when;
	bool		met;

	when = PcapiExpandGenerated(PcapiExpandGenerated(stringToNode(trigger->tgqual), rel, PRS2_OLD_VARNO),
								rel, PRS2_NEW_VARNO);
	ChangeVarNodes(when, PRS2_OLD_VARNO, INNER_VAR, 0);
	ChangeVarNodes(when, PRS2_NEW_VARNO, OUTER_VAR, 0);
	ExecStoreHeapTuple(tuple, row, false);
	ExecStoreAllNullTuple(unknown);
	econtext->ecxt_outertuple = row;
	econtext->ecxt_innertuple = TRIGGER_FOR_DELETE(trigger->tgtype) ? row : unknown;
	met = ExecQual(ExecPrepareQual(make_ands_implicit((Expr *) when), estate), econtext);
	MemoryContextSwitchTo(old);
	FreeExecutorState(estate);
	ExecDropSingleTupleTableSlot(row);
	ExecDropSingleTupleTableSlot(unknown);
	return met;
}

typedef struct RowPreview
{
	const Trigger *trigger;
	Relation	rel;
	HeapTuple	tuple;
	PcapiCall	call;
	const char *not_fired;		/* why, or NULL */
} RowPreview;

/* Fill the call, or set not_fired. */
static void
fire(void *arg)
{
	RowPreview *preview = arg;
	const Trigger *trigger = preview->trigger;
	PcapiCall  *call = &preview->call;
	const PcapiMappingFault *fault;

	if (trigger->tgenabled == TRIGGER_DISABLED)
		preview->not_fired = "the trigger is disabled";
	else if (!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype))
	{
		call->event_name = trigger->tgnargs > 0 ? trigger->tgargs[0] : "";
		call->reject = PCAPI_MISPLACED;
	}
	else if (trigger->tgqual && !meets_when(trigger, preview->rel, preview->tuple))
		preview->not_fired = "the row does not meet its WHEN";
	else
	{
		fault = pcapi_call_from_row(call, pcapi_read_trigger(trigger, preview->rel),
									preview->rel, preview->tuple);
		if (fault)
			pcapi_warn(&call->warnings, fault->key, psprintf("%s %s", fault->what, fault->hint));
	}
}

static void
put_row(ReturnSetInfo *rsinfo, const Trigger *trigger, const PcapiDecision *d)
{
	Datum		values[1 + PCAPI_PREVIEW_COLUMNS] = {0};
	bool		nulls[1 + PCAPI_PREVIEW_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(trigger->tgname);
	pcapi_preview_row(d, &values[1], &nulls[1]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Add the rows of one trigger: its decisions, or the reason why it would not fire. */
static void
preview_trigger(ReturnSetInfo *rsinfo, const Trigger *trigger, Relation rel, HeapTuple tuple)
{
	RowPreview	preview = {.trigger = trigger, .rel = rel, .tuple = tuple};
	ListCell   *lc;

	preview.call.from_data = true;
	pcapi_rollback_subxact(fire, &preview);
	if (preview.not_fired)
	{
		PcapiDecision d = {.status = "not fired", .reason = unconstify(char *, preview.not_fired)};

		put_row(rsinfo, trigger, &d);
		return;
	}
	foreach(lc, pcapi_preview(&preview.call))
		put_row(rsinfo, trigger, lfirst(lc));
}

PG_FUNCTION_INFO_V1(pcapi_sql_preview_row);
Datum
pcapi_sql_preview_row(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel = open_table(get_fn_expr_argtype(fcinfo->flinfo, 0));
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row,
		.t_tableOid = RelationGetRelid(rel)};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pinterest_capi preview",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	TriggerDesc *triggers;
	int			found = 0;

	InitMaterializedSRF(fcinfo, 0);
	ItemPointerSetInvalid(&tuple.t_self);
	old = MemoryContextSwitchTo(context);
	/* a copy: our lock lets others create triggers in the meantime */
	triggers = CopyTriggerDesc(rel->trigdesc);
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (!is_ours(&triggers->triggers[i]))
			continue;
		preview_trigger(rsinfo, &triggers->triggers[i], rel, &tuple);
		found++;
	}
	if (found == 0)
		ereport(NOTICE,
				(errmsg("table \"%s\" has no trigger that tracks", RelationGetRelationName(rel)),
				 errhint("%s", PCAPI_TRIGGER_HINT),
				 pcapi_errhide()));
	MemoryContextSwitchTo(old);
	/* the maps and their plans are in it */
	MemoryContextDelete(context);
	relation_close(rel, NoLock);
	return (Datum) 0;
}
