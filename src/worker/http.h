/*
 * http.h
 *	  Run requests to the API by libcurl's multi interface, within the worker's
 *	  only wait.
 */
#ifndef PCAPI_HTTP_H
#define PCAPI_HTTP_H

#include "pinterest_capi.h"

#include "worker/transfer.h"

/* Start a request; false: nothing was started, and the request is finished as misconfigured. */
extern bool pcapi_http_start(PcapiRequest *request, const char *url, const char *token);

/* Return the next finished request, or NULL. */
extern PcapiRequest *pcapi_http_finished(void);

/* Abort the request if it is in flight, and free what belongs to it. */
extern void pcapi_http_free(PcapiRequest *request);

/* Wait for the latch, a socket or the timeout, then let libcurl work; true: the latch was set. */
extern bool pcapi_http_wait(long timeout_ms, bool ignore_latch);

/* Close all connections; no request may be in flight. */
extern void pcapi_http_close_idle(void);

/* Should a new process take over?  Threads of abandoned name look-ups end with this one alone. */
extern bool pcapi_http_worn(void);

#endif							/* PCAPI_HTTP_H */
