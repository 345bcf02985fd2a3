/*
 * http.h
 *	  Requests to the API, by libcurl's multi interface, in the worker's one wait.
 */
#ifndef PCAPI_HTTP_H
#define PCAPI_HTTP_H

#include "pinterest_capi.h"

#include "worker/transfer.h"

extern bool pcapi_http_start(PcapiRequest *request, const char *url, const char *token);
extern PcapiRequest *pcapi_http_finished(void);
extern void pcapi_http_free(PcapiRequest *request);

/* wait for the latch, a socket or the timeout, and let libcurl work */
extern bool pcapi_http_wait(long timeout_ms, bool ignore_latch);	/* true: the latch was set */
extern void pcapi_http_close_idle(void);	/* when nothing is out */
extern bool pcapi_http_worn(void);	/* a new process would be better */

#endif							/* PCAPI_HTTP_H */
