/*
 * response.h
 *	  What an answer of the API means.
 */
#ifndef PCAPI_RESPONSE_H
#define PCAPI_RESPONSE_H

#include "pinterest_capi.h"

#include "worker/transfer.h"

typedef enum PcapiVerdict
{
	PCAPI_VERDICT_ENTRIES,		/* one for each event */
	PCAPI_VERDICT_REFUSED,		/* the batch as a whole: split it, or failed */
	PCAPI_VERDICT_BLOCKED,		/* the same, but not in the API's words */
	PCAPI_VERDICT_RETRY,		/* an attempt that may succeed later */
	PCAPI_VERDICT_UNKNOWN,		/* may have been processed; again under the same id */
	PCAPI_VERDICT_THROTTLED,	/* no attempt */
	PCAPI_VERDICT_UNREACHABLE,	/* no attempt */
	PCAPI_VERDICT_PAUSE			/* not before somebody has acted */
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
	bool		unread;			/* PCAPI_VERDICT_UNKNOWN: it was a success that can't be read */
	int64		wait_ms;		/* what the API asks for; 0: nothing */
} PcapiAnswer;

/* palloc'd in the current memory context; token is only to be kept out of texts */
extern PcapiAnswer *pcapi_read_response(const PcapiRequest *request, int n, const char *token);

#endif							/* PCAPI_RESPONSE_H */
