/*
 * worker.h
 *	  What the parts of the background worker know of each other.
 *
 * main.c		the process: connection, transactions, the loop
 * dispatch.c	destinations: what to send when, and what an answer means for them
 * http.c		requests, by libcurl's multi interface
 * response.c	answers, read
 */
#ifndef PCAPI_WORKER_H
#define PCAPI_WORKER_H

#include "pinterest_capi.h"

#include "queue/claim.h"
#include "queue/live.h"

/* ---- http.c ---- */

typedef enum PcapiTransport
{
	PCAPI_HTTP_ANSWERED,		/* status and body are there */
	PCAPI_HTTP_UNREACHABLE,		/* no connection came about: nothing was sent */
	PCAPI_HTTP_CUT,				/* it broke after the request began: outcome unknown */
	PCAPI_HTTP_UNTRUSTED,		/* certificate refused: nothing was sent */
	PCAPI_HTTP_MISCONFIGURED	/* URL, CA file or the like: nothing was sent */
} PcapiTransport;

/*
 * A request.  body stays the caller's until pcapi_http_finished() has returned
 * the request; answer is malloc'd and freed by pcapi_http_free().
 */
typedef struct PcapiRequest
{
	void	   *owner;
	char	   *body;
	size_t		body_len;

	PcapiTransport transport;
	int			status;
	char	   *answer;
	size_t		answer_len;
	size_t		header_bytes;
	char		retry_after[64];
	char		ratelimit_remaining[32];
	char		ratelimit_reset[32];
	char		error[256];		/* libcurl's words */

	void	   *easy;
	void	   *headers;
} PcapiRequest;

extern bool pcapi_http_start(PcapiRequest *request, const char *url, const char *token);
extern PcapiRequest *pcapi_http_finished(void);
extern void pcapi_http_free(PcapiRequest *request);

/* wait for the latch, a socket or the timeout, and let libcurl work */
extern void pcapi_http_wait(long timeout_ms);
extern void pcapi_http_close_idle(void);	/* when nothing is out */

/* ---- response.c ---- */

typedef enum PcapiVerdict
{
	PCAPI_A_ENTRIES,			/* one for each event */
	PCAPI_A_REFUSED,			/* the batch as a whole: split it, or failed */
	PCAPI_A_FAILED,				/* each event of it */
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
	int64		wait_ms;		/* what the API asks for; -1: nothing */
} PcapiAnswer;

/* palloc'd in the current memory context; token is only to be kept out of texts */
extern PcapiAnswer *pcapi_read_answer(const PcapiRequest *request, int n, const char *token);

/* ---- dispatch.c ---- */

extern PcapiLive *pcapi_live;

/* one look at the tables and all that can be started; returns ms until the next is useful */
extern long pcapi_dispatch_cycle(bool shutdown);
extern void pcapi_dispatch_finish(PcapiRequest *request);
extern int	pcapi_dispatch_in_flight(void);
extern bool pcapi_dispatch_settle(void);	/* true: something was settled */

/* ---- main.c ---- */

typedef void (*PcapiWork) (void *arg);

/* in a transaction of its own; false when it failed, which has been logged and rolled back */
extern bool pcapi_transaction(PcapiWork work, void *arg);
extern void pcapi_worker_error(const char *message);

#endif							/* PCAPI_WORKER_H */
