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
	PCAPI_A_ENTRIES,			/* one for each event */
	PCAPI_A_REFUSED,			/* the batch as a whole: split it, or failed */
	PCAPI_A_BLOCKED,			/* the same, but not in the API's words */
	PCAPI_A_RETRY,				/* an attempt that may succeed later */
	PCAPI_A_UNKNOWN,			/* may have been processed; again under the same id */
	PCAPI_A_THROTTLED,			/* no attempt */
	PCAPI_A_UNREACHABLE,		/* no attempt */
	PCAPI_A_PAUSE				/* not before somebody has acted */
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
	PcapiEntry *entries;		/* PCAPI_A_ENTRIES: n of them */
	char	   *message;		/* what to record, or NULL; database's encoding */
	bool		unread;			/* PCAPI_A_UNKNOWN: it was a success that can't be read */
	int64		wait_ms;		/* what the API asks for; -1: nothing */
} PcapiAnswer;

/* palloc'd in the current memory context; token is only to be kept out of texts */
extern PcapiAnswer *pcapi_read_answer(const PcapiRequest *request, int n, const char *token);

#endif							/* PCAPI_RESPONSE_H */
