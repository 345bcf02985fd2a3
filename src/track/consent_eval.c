/*
 * consent_eval.c
 *	  Consent rules of the plain kind, evaluated without the server's jsonpath.
 *
 * Most rules compare a member of the document with a constant, or combine such
 * comparisons.  The server allocates a dozen times for each of them; here a
 * member is looked up once for all rules that name it.  A call of track with
 * 100 rules, half of them one comparison and half two, takes 230,700
 * instructions with this file and 538,700 by the server, 2.3 times as many;
 * without rules it takes 187,800 (bench/run instructions, x86_64, PostgreSQL
 * 15, November 2026).  Below twice, the file would not be worth its lines.
 *
 * Only what can be decided in exactly the server's way is decided here.  Arrays,
 * which lax paths unwrap, values of unlike types, the order of strings and all
 * other expressions are left to the server (consent.c).
 */
#include "pinterest_capi.h"

#include "track/consent_eval.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define DEPTH_MAX	32			/* nested operators; deeper predicates are the server's */

/* what the current document has at a path */
typedef enum PathState
{
	UNRESOLVED,					/* not looked up yet */
	MISSING,
	FOUND,
	BEHIND_ARRAY				/* lax paths unwrap arrays: the server's */
} PathState;

/* $.key.key..., shared by all rules that name it */
struct PcapiPath
{
	List	   *keys;			/* of char * */
	PathState	state;
	JsonbValue	value;			/* where FOUND */
};

/* an operator of a predicate */
struct PcapiNode
{
	JsonPathItemType type;		/* jpiAnd, jpiOr, jpiNot, jpiExists or a comparison */
	PcapiNode  *left;
	PcapiNode  *right;
	PcapiPath  *path;
	JsonbValue	constant;
};

/* ---- compilation, once when settings are read ---- */

/* Return whether two paths are the same. */
static bool
same_keys(const List *a, const List *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth(la, a, lb, b)
	{
		if (strcmp(lfirst(la), lfirst(lb)) != 0)
			return false;
	}
	return true;
}

/* Return the path of an expression; NULL where it is none of members alone. */
static PcapiPath *
compile_path(JsonPathItem *item, List **paths)
{
	JsonPathItem key;
	List	   *keys = NIL;
	PcapiPath  *path;
	ListCell   *lc;

	if (item->type != jpiRoot)
		return NULL;
	while (jspGetNext(item, &key))
	{
		int32		len;
		char	   *name;

		if (key.type != jpiKey)
			return NULL;
		name = jspGetString(&key, &len);
		keys = lappend(keys, pnstrdup(name, len));
		*item = key;
	}
	if (keys == NIL)
		return NULL;
	foreach(lc, *paths)
	{
		path = lfirst(lc);
		if (same_keys(path->keys, keys))
			return path;
	}
	path = palloc0(sizeof(PcapiPath));
	path->keys = keys;
	*paths = lappend(*paths, path);
	return path;
}

/* Set the constant of an expression; false where it is none. */
static bool
compile_constant(JsonPathItem *item, JsonbValue *constant)
{
	int32		len;

	if (jspHasNext(item))
		return false;
	switch (item->type)
	{
		case jpiNull:
			constant->type = jbvNull;
			return true;
		case jpiBool:
			constant->type = jbvBool;
			constant->val.boolean = jspGetBool(item);
			return true;
		case jpiNumeric:
			constant->type = jbvNumeric;
			constant->val.numeric = jspGetNumeric(item);
			return true;
		case jpiString:
			constant->type = jbvString;
			constant->val.string.val = jspGetString(item, &len);
			constant->val.string.len = len;
			return true;
		default:
			return false;
	}
}

/* Compile an expression; NULL where the server has to evaluate it. */
static PcapiNode *
compile(JsonPathItem *item, int depth, List **paths)
{
	PcapiNode  *node = palloc0(sizeof(PcapiNode));
	JsonPathItem arg;

	node->type = item->type;
	if (depth > DEPTH_MAX || jspHasNext(item))
		return NULL;
	switch (item->type)
	{
		case jpiAnd:
		case jpiOr:
			jspGetLeftArg(item, &arg);
			node->left = compile(&arg, depth + 1, paths);
			jspGetRightArg(item, &arg);
			node->right = node->left ? compile(&arg, depth + 1, paths) : NULL;
			return node->right ? node : NULL;

		case jpiNot:
			jspGetArg(item, &arg);
			node->left = compile(&arg, depth + 1, paths);
			return node->left ? node : NULL;

		case jpiExists:
			jspGetArg(item, &arg);
			node->path = compile_path(&arg, paths);
			return node->path ? node : NULL;

		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
			jspGetRightArg(item, &arg);
			if (!compile_constant(&arg, &node->constant))
				return NULL;
			jspGetLeftArg(item, &arg);
			node->path = compile_path(&arg, paths);
			return node->path ? node : NULL;

		default:
			return NULL;
	}
}

PcapiNode *
pcapi_rule_compile(JsonPath *predicate, List **paths)
{
	JsonPathItem item;

	if ((predicate->header & JSONPATH_LAX) == 0)
		return NULL;
	jspInit(&item, predicate);
	return compile(&item, 0, paths);
}

/* ---- evaluation, for each event ---- */

void
pcapi_rule_new_document(List *paths)
{
	ListCell   *lc;

	foreach(lc, paths)
		((PcapiPath *) lfirst(lc))->state = UNRESOLVED;
}

/* Look a path up in the document. */
static void
resolve(PcapiPath *path, Jsonb *doc)
{
	JsonbContainer *container = &doc->root;
	ListCell   *lc;

	path->state = MISSING;
	foreach(lc, path->keys)
	{
		const char *key = lfirst(lc);

		/* a member of something that has none is missing, in lax mode */
		if (container == NULL)
			return;
		if (!JsonContainerIsObject(container))
		{
			path->state = BEHIND_ARRAY;
			return;
		}
		if (getKeyJsonValueFromContainer(container, key, strlen(key), &path->value) == NULL)
			return;
		container = path->value.type == jbvBinary ? path->value.val.binary.data : NULL;
	}
	path->state = FOUND;
}

static PcapiPredicateResult
result_of(bool value)
{
	return value ? PCAPI_TRUE : PCAPI_FALSE;
}

/* Compare as jsonpath does; unlike types, arrays and the order of strings are the server's. */
static PcapiPredicateResult
compare(JsonPathItemType op, const JsonbValue *value, const JsonbValue *constant)
{
	int			cmp;

	if (value->type != constant->type)
		return PCAPI_ASK_SERVER;
	switch (value->type)
	{
		case jbvNull:
			cmp = 0;
			break;
		case jbvBool:
			cmp = (int) value->val.boolean - (int) constant->val.boolean;
			break;
		case jbvNumeric:
			cmp = DatumGetInt32(DirectFunctionCall2(numeric_cmp,
													NumericGetDatum(value->val.numeric),
													NumericGetDatum(constant->val.numeric)));
			break;
		case jbvString:
			if (op != jpiEqual && op != jpiNotEqual)
				return PCAPI_ASK_SERVER;
			cmp = value->val.string.len != constant->val.string.len ||
				memcmp(value->val.string.val, constant->val.string.val, value->val.string.len) != 0;
			break;
		default:
			return PCAPI_ASK_SERVER;
	}
	switch (op)
	{
		case jpiEqual:
			return result_of(cmp == 0);
		case jpiNotEqual:
			return result_of(cmp != 0);
		case jpiLess:
			return result_of(cmp < 0);
		case jpiGreater:
			return result_of(cmp > 0);
		case jpiLessOrEqual:
			return result_of(cmp <= 0);
		default:
			return result_of(cmp >= 0);
	}
}

PcapiPredicateResult
pcapi_rule_evaluate(const PcapiNode *node, Jsonb *doc)
{
	PcapiPredicateResult left;
	PcapiPredicateResult right;

	if (node->path)
	{
		if (node->path->state == UNRESOLVED)
			resolve(node->path, doc);
		if (node->path->state == BEHIND_ARRAY)
			return PCAPI_ASK_SERVER;
		if (node->type == jpiExists)
			return result_of(node->path->state == FOUND);
		/* no comparison with a missing value is true */
		return node->path->state == FOUND ?
			compare(node->type, &node->path->value, &node->constant) : PCAPI_FALSE;
	}

	left = pcapi_rule_evaluate(node->left, doc);
	if (left == PCAPI_ASK_SERVER)
		return left;
	if (node->type == jpiNot)
		return left == PCAPI_UNKNOWN ? left : result_of(left == PCAPI_FALSE);
	if (left == (node->type == jpiAnd ? PCAPI_FALSE : PCAPI_TRUE))
		return left;
	right = pcapi_rule_evaluate(node->right, doc);
	if (right == PCAPI_ASK_SERVER || left != PCAPI_UNKNOWN)
		return right;
	/* left is unknown: so is the result, unless the right side decides */
	return right == (node->type == jpiAnd ? PCAPI_FALSE : PCAPI_TRUE) ? right : left;
}
