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

/* the results of jsonpath's predicates, and that the server has to evaluate this one */
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
 * Compile a predicate, in the current memory context; NULL where the server's
 * evaluator is needed.  Paths that are new are appended to *paths.
 */
extern PcapiNode *pcapi_rule_compile(JsonPath *predicate, List **paths);

/* Forget what was looked up, before rules are evaluated over another document. */
extern void pcapi_rule_new_document(List *paths);

/* Evaluate over the document that the paths were reset for. */
extern PcapiPredicateResult pcapi_rule_evaluate(const PcapiNode *node, Jsonb *doc);

#endif							/* PCAPI_CONSENT_EVAL_H */
