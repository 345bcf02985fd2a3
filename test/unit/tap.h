/*
 * tap.h
 *	  A few assertions that print the Test Anything Protocol.
 */
#ifndef PCAPI_TAP_H
#define PCAPI_TAP_H

#include <stdbool.h>

/* printf-style name; returns ok */
extern bool tap_ok(bool ok, const char *name,...) __attribute__((format(printf, 2, 3)));

/* either may be NULL, which equals NULL only; shows both on failure */
extern bool tap_is(const char *got, const char *expected, const char *name,...)
			__attribute__((format(printf, 3, 4)));

/* prints the plan; what main returns */
extern int	tap_done(void);

#endif							/* PCAPI_TAP_H */
