/*
 * consent_eval.h
 *	  Consent rules of the plain kind, evaluated without the server's jsonpath.
 */
#ifndef PCAPI_CONSENT_EVAL_H
#define PCAPI_CONSENT_EVAL_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/* the values of jsonpath's predicates, and that this one is not for us */
typedef enum PcapiPredicateResult
{
	PCAPI_FALSE,
	PCAPI_TRUE,
	PCAPI_UNKNOWN,
	PCAPI_ASK_SERVER
} PcapiPredicateResult;

typedef struct PcapiPath PcapiPath;

typedef struct PcapiNode PcapiNode;

/*
 * A predicate taken apart, in the current memory context; NULL where the
 * server's evaluator is needed.  Paths that are new are appended to *paths.
 */
extern PcapiNode *pcapi_rule_compile(JsonPath *predicate, List **paths);

/* before the rules are asked about another document */
extern void pcapi_rule_new_document(List *paths);
extern PcapiPredicateResult pcapi_rule_evaluate(const PcapiNode *node, Jsonb *doc);

#endif							/* PCAPI_CONSENT_EVAL_H */
