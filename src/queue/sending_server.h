/*
 * sending_server.h
 *	  Which server sends a database's events, and whether this is the one.
 */
#ifndef PCAPI_SENDING_SERVER_H
#define PCAPI_SENDING_SERVER_H

#include "pinterest_capi.h"

/* Return why this server is held as a copy, palloc'd, and a hint in *remedy.  NULL: it is not. */
extern char *pcapi_copy_reason(const char **remedy);

/* Write this server into the table if it is recognized as the one that sends.  At the worker's start. */
extern void pcapi_sending_server_recognize(void);

/*
 * Write this server into the table, as a user has declared that it sends.  True: it was
 * held as a copy before.
 */
extern bool pcapi_sending_server_claim(void);

#endif							/* PCAPI_SENDING_SERVER_H */
