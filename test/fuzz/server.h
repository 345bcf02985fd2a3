/*
 * server.h
 *	  The parts of server.c that fuzz_response.c sets and calls.
 */
#ifndef PCAPI_FUZZ_SERVER_H
#define PCAPI_FUZZ_SERVER_H

extern int	fuzz_encoding;		/* the database's */
extern void fuzz_free_all(void);	/* all blocks, like the end of a memory context */

#endif							/* PCAPI_FUZZ_SERVER_H */
