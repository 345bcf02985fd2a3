/*
 * status_support.c
 *	  Let the planner find final events of a status by an index.
 *
 * The column status of dispatch_status is a call of _status(), since what waits
 * has no row in _outcome, and no index knows what the call returns.  Where a
 * query asks for final statuses alone, no event that waits is in its result.
 * For the others the call returns _outcome.status, so it is replaced by that
 * column, which is indexed.  Any other call is inlined by the planner.
 */
#include "pinterest_capi.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

/* Is it a word that _status() returns for rows of _outcome alone? */
static bool
is_final_word(Datum word)
{
	char	   *s = TextDatumGetCString(word);

	return strcmp(s, "queued") != 0 && strcmp(s, "retrying") != 0;
}

static bool
is_final_const(const Node *node)
{
	const		Const *c = (const Const *) node;

	return IsA(node, Const) && c->consttype == TEXTOID && !c->constisnull && is_final_word(c->constvalue);
}

/* The right side of status = ANY (...), which is constant or an ARRAY of constants. */
static bool
are_final_consts(const Node *node)
{
	ListCell   *lc;

	if (IsA(node, Const))
	{
		const		Const *c = (const Const *) node;
		Datum	   *words;
		bool	   *nulls;
		int			n;

		if (c->consttype != TEXTARRAYOID || c->constisnull)
			return false;
		deconstruct_array(DatumGetArrayTypeP(c->constvalue), TEXTOID, -1, false, TYPALIGN_INT, &words, &nulls, &n);
		for (int i = 0; i < n; i++)
			if (!nulls[i] && !is_final_word(words[i]))
				return false;
		return true;
	}
	if (!IsA(node, ArrayExpr) || ((const ArrayExpr *) node)->multidims)
		return false;
	foreach(lc, ((const ArrayExpr *) node)->elements)
		if (!is_final_const(lfirst(lc)))
		return false;
	return true;
}

static bool
is_call(const Node *node, const FuncExpr * call)
{
	return IsA(node, FuncExpr) && ((const FuncExpr *) node)->funcid == call->funcid &&
		equal(((const FuncExpr *) node)->args, call->args);
}

/* Is the condition true for no row for which the call returns a word of what waits, or null? */
static bool
wants_final(const Node *node, const FuncExpr * call)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, List) || is_andclause(node))
	{
		foreach(lc, IsA(node, List) ? (const List *) node : ((const BoolExpr *) node)->args)
			if (wants_final(lfirst(lc), call))
			return true;
		return false;
	}
	if (IsA(node, OpExpr) && ((const OpExpr *) node)->opno == TextEqualOperator)
	{
		const List *args = ((const OpExpr *) node)->args;

		return (is_call(linitial(args), call) && is_final_const(lsecond(args))) ||
			(is_call(lsecond(args), call) && is_final_const(linitial(args)));
	}
	if (IsA(node, ScalarArrayOpExpr) && ((const ScalarArrayOpExpr *) node)->opno == TextEqualOperator)
	{
		const		ScalarArrayOpExpr *any = (const ScalarArrayOpExpr *) node;

		return any->useOr && is_call(linitial(any->args), call) && are_final_consts(lsecond(any->args));
	}
	return false;
}

/*
 * The condition is looked for in the WHERE of the query that the planner is
 * working on, as it stood before this call was simplified.  It holds for each
 * row of the result, so the call may be replaced wherever else it stands.
 */
PG_FUNCTION_INFO_V1(pcapi_sql_status_support);
Datum
pcapi_sql_status_support(PG_FUNCTION_ARGS)
{
	SupportRequestSimplify *request = (SupportRequestSimplify *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSimplify) && request->root && request->root->parse->jointree &&
		wants_final(request->root->parse->jointree->quals, request->fcall))
		result = linitial(request->fcall->args);
	PG_RETURN_POINTER(result);
}
