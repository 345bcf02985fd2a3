/*
 * tap.c
 *	  Print the Test Anything Protocol: numbered results, the plan at the end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

static int	tests;
static int	failures;

/* Print one result. */
static void
result(bool ok, const char *name, va_list args)
{
	char		text[200];

	tests++;
	if (!ok)
		failures++;

	/* a name must begin neither a new line nor a directive */
	vsnprintf(text, sizeof(text), name, args);
	for (char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == '#')
			*c = '.';
	}
	printf("%s %d - %s\n", ok ? "ok" : "not ok", tests, text);
}

/* Print the result of a condition. */
bool
tap_ok(bool ok, const char *name,...)
{
	va_list		args;

	va_start(args, name);
	result(ok, name, args);
	va_end(args);
	return ok;
}

/* Compare two strings and print the result. */
bool
tap_is(const char *got, const char *expected, const char *name,...)
{
	va_list		args;
	bool		ok = got == NULL || expected == NULL ? got == expected :
		strcmp(got, expected) == 0;

	va_start(args, name);
	result(ok, name, args);
	va_end(args);
	if (!ok)
		printf("#      got: %s\n# expected: %s\n", got ? got : "(none)",
			   expected ? expected : "(none)");
	return ok;
}

/* Print the plan; return the exit status. */
int
tap_done(void)
{
	printf("1..%d\n", tests);
	if (tests == 0 || failures > 0)
	{
		printf("# %d of %d failed\n", failures, tests);
		return 1;
	}
	return 0;
}
