/*
 * tap.h
 *	  Assertions that print the Test Anything Protocol.
 */
#ifndef PCAPI_TAP_H
#define PCAPI_TAP_H

#include <stdbool.h>

/* Print the result of a condition, with a name in the style of printf; return ok. */
extern bool tap_ok(bool ok, const char *name,...) __attribute__((format(printf, 2, 3)));

/* Compare two strings, of which either may be NULL; NULL equals NULL alone.  A failure shows both. */
extern bool tap_is(const char *got, const char *expected, const char *name,...)
			__attribute__((format(printf, 3, 4)));

/* Print the plan; return the exit status for main. */
extern int	tap_done(void);

#endif							/* PCAPI_TAP_H */
