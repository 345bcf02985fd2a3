/*
 * consent_eval.c
 *	  Consent rules of the plain kind, evaluated without the server's jsonpath.
 *
 * Most rules compare a member of the document with a constant, or combine such
 * comparisons.  The server takes a dozen allocations for each; a hundred rules
 * would cost as much as all the rest of an event.  Here a member is looked up
 * once for all rules that ask for it.  Only what can be decided in exactly the
 * server's way is: arrays, which lax paths unwrap, values of unlike types and
 * the order of strings are left to the server, as are all other expressions.
 */
#include "pinterest_capi.h"

#include "track/consent_eval.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define DEPTH_MAX	32			/* of a predicate; deeper ones are the server's */

typedef enum Found
{
	NOT_LOOKED,
	MISSING,
	FOUND,
	BEHIND_ARRAY
} Found;

/* $.key.key..., and what the document at hand has there */
struct PcapiPath
{
	List	   *keys;			/* of char * */
	Found		found;
	JsonbValue	value;
};

struct PcapiNode
{
	JsonPathItemType type;		/* jpiAnd, jpiOr, jpiNot, jpiExists or a comparison */
	PcapiNode  *left;
	PcapiNode  *right;
	PcapiPath  *path;
	JsonbValue	constant;
};

/* ---- once, when settings are loaded ---- */

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

/* NULL: more than the document's members, or the document itself */
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

/* ---- for each event ---- */

void
pcapi_rule_new_document(List *paths)
{
	ListCell   *lc;

	foreach(lc, paths)
		((PcapiPath *) lfirst(lc))->found = NOT_LOOKED;
}

static void
look(PcapiPath *path, Jsonb *doc)
{
	JsonbContainer *container = &doc->root;
	ListCell   *lc;

	path->found = MISSING;
	foreach(lc, path->keys)
	{
		const char *key = lfirst(lc);

		/* a member of something that has none is missing, in lax mode */
		if (container == NULL)
			return;
		if (!JsonContainerIsObject(container))
		{
			path->found = BEHIND_ARRAY;
			return;
		}
		if (getKeyJsonValueFromContainer(container, key, strlen(key), &path->value) == NULL)
			return;
		container = path->value.type == jbvBinary ? path->value.val.binary.data : NULL;
	}
	path->found = FOUND;
}

static PcapiPredicateResult
truth(bool value)
{
	return value ? PCAPI_TRUE : PCAPI_FALSE;
}

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
			return truth(cmp == 0);
		case jpiNotEqual:
			return truth(cmp != 0);
		case jpiLess:
			return truth(cmp < 0);
		case jpiGreater:
			return truth(cmp > 0);
		case jpiLessOrEqual:
			return truth(cmp <= 0);
		default:
			return truth(cmp >= 0);
	}
}

PcapiPredicateResult
pcapi_rule_evaluate(const PcapiNode *node, Jsonb *doc)
{
	PcapiPredicateResult left;
	PcapiPredicateResult right;

	if (node->path)
	{
		if (node->path->found == NOT_LOOKED)
			look(node->path, doc);
		if (node->path->found == BEHIND_ARRAY)
			return PCAPI_ASK_SERVER;
		if (node->type == jpiExists)
			return truth(node->path->found == FOUND);
		/* of no value nothing is true */
		return node->path->found == FOUND ?
			compare(node->type, &node->path->value, &node->constant) : PCAPI_FALSE;
	}

	left = pcapi_rule_evaluate(node->left, doc);
	if (left == PCAPI_ASK_SERVER)
		return left;
	if (node->type == jpiNot)
		return left == PCAPI_UNKNOWN ? left : truth(left == PCAPI_FALSE);
	if (left == (node->type == jpiAnd ? PCAPI_FALSE : PCAPI_TRUE))
		return left;
	right = pcapi_rule_evaluate(node->right, doc);
	if (right == PCAPI_ASK_SERVER || left != PCAPI_UNKNOWN)
		return right;
	/* unknown, unless the other side decides */
	return right == (node->type == jpiAnd ? PCAPI_FALSE : PCAPI_TRUE) ? right : left;
}
