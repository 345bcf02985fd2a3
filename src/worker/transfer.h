/*
 * transfer.h
 *	  Describe one request to libcurl, collect its answer, and tell how far a
 *	  request got that failed.
 */
#ifndef PCAPI_TRANSFER_H
#define PCAPI_TRANSFER_H

#include "pinterest_capi.h"

#include "worker/egress.h"

typedef enum PcapiHttpResult
{
	PCAPI_HTTP_ANSWERED,		/* status and body are there */
	PCAPI_HTTP_UNREACHABLE,		/* no connection: nothing was sent */
	PCAPI_HTTP_INTERRUPTED,		/* it failed after the request had started: outcome unknown */
	PCAPI_HTTP_UNTRUSTED,		/* certificate refused: nothing was sent */
	PCAPI_HTTP_MISCONFIGURED	/* URL, CA file or the like: nothing was sent */
} PcapiHttpResult;

/*
 * A request.  The caller keeps body until pcapi_http_finished() has returned the
 * request.  answer is malloc'd and freed by pcapi_http_free().
 */
typedef struct PcapiRequest
{
	void	   *owner;
	char	   *body;
	size_t		body_len;

	PcapiHttpResult transport;
	int			status;
	char	   *answer;
	size_t		answer_len;
	size_t		header_bytes;
	/* the answer's headers; 0: none that can be read */
	int64		date;			/* Unix time */
	int64		retry_after;	/* seconds from now */
	int64		ratelimit_reset;	/* seconds from now, or Unix time */
	bool		ratelimit_exhausted;	/* no request remains until then */
	char		error[256];		/* libcurl's message, or ours */
	char		problem[64];	/* why a callback aborted it */

	void	   *easy;
	void	   *headers;
	size_t		handed;			/* bytes of body that libcurl has been given */
	bool		retried;		/* it was retried on a new connection */
} PcapiRequest;

/* Set the request's options; false: libcurl refuses one, or has no memory for it. */
extern bool pcapi_transfer_set(PcapiRequest *request, const char *url, const char *token, const PcapiEgress *egress, void *share);

/* Discard the answer, so that the request can be retried. */
extern void pcapi_transfer_again(PcapiRequest *request);

/* Did a reused connection fail before all was sent?  How far did it get?  code is a CURLcode. */
extern bool pcapi_transfer_stale(const PcapiRequest *request, int code);
extern PcapiHttpResult pcapi_transfer_end(const PcapiRequest *request, int code);

#endif							/* PCAPI_TRANSFER_H */
