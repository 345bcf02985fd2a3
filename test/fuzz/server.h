/*
 * server.h
 *	  What of a server fuzz_response.c can choose; see server.c.
 */
#ifndef PCAPI_FUZZ_SERVER_H
#define PCAPI_FUZZ_SERVER_H

extern int	fuzz_encoding;		/* the database's */
extern void fuzz_free_all(void);	/* what was palloc'd, as the end of a context */

#endif							/* PCAPI_FUZZ_SERVER_H */
