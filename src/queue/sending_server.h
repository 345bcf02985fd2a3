/*
 * sending_server.h
 *	  Which server sends a database's events, and whether this is the one.
 */
#ifndef PCAPI_SENDING_SERVER_H
#define PCAPI_SENDING_SERVER_H

#include "pinterest_capi.h"

/* why this server doesn't send, in the words of destination_status; NULL when it does; palloc'd */
extern char *pcapi_copy_reason(const char **remedy);

/* At the worker's start: remember this server where it is the one by what can be seen. */
extern void pcapi_sending_server_recognize(void);

/*
 * Somebody says that this is the server that sends: remember it.  True if it
 * was held as a copy before.
 */
extern bool pcapi_sending_server_claim(void);

#endif							/* PCAPI_SENDING_SERVER_H */
