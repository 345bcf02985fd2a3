/*
 * response.h
 *	  Read an answer of the API and decide its verdict.
 */
#ifndef PCAPI_RESPONSE_H
#define PCAPI_RESPONSE_H

#include "pinterest_capi.h"

#include "worker/transfer.h"

typedef enum PcapiVerdict
{
	PCAPI_VERDICT_ENTRIES,		/* one for each event */
	PCAPI_VERDICT_REFUSED,		/* the batch as a whole: split it, or failed */
	PCAPI_VERDICT_BLOCKED,		/* the same, but in another form than the API's */
	PCAPI_VERDICT_RETRY,		/* a failed attempt, which may succeed later */
	PCAPI_VERDICT_UNKNOWN,		/* may have been processed; retried under the same id */
	PCAPI_VERDICT_THROTTLED,	/* rate limit; counts as no attempt */
	PCAPI_VERDICT_UNREACHABLE,	/* counts as no attempt */
	PCAPI_VERDICT_PAUSE			/* not before an operator has acted */
} PcapiVerdict;

typedef struct PcapiEntry
{
	bool		failed;
	char	   *error;			/* or NULL */
	char	   *warning;		/* or NULL */
} PcapiEntry;

typedef struct PcapiAnswer
{
	PcapiVerdict verdict;
	int			http_status;	/* 0: none */
	PcapiEntry *entries;		/* PCAPI_VERDICT_ENTRIES: n of them */
	char	   *message;		/* what to record, or NULL; database's encoding */
	bool		unread;			/* PCAPI_VERDICT_UNKNOWN: a success that can't be read */
	int64		wait_ms;		/* the wait that the API asks for; 0: none */
} PcapiAnswer;

/* Read the answer to a request with n events, palloc'd; token is removed from all texts. */
extern PcapiAnswer *pcapi_read_response(const PcapiRequest *request, int n, const char *token);

#endif							/* PCAPI_RESPONSE_H */
