/*
 * warning.c
 *	  Warnings of a call: what was left out or changed, without the value.
 *
 * A value that can't be used is no reason to fail.  An event keeps its warnings
 * in its row; identify() and forget() have no row and raise them.
 */
#include "pinterest_capi.h"

#include "track/warning.h"

#define WARNINGS_MAX	32

/* A thousand lines with the same fault are one warning. */
void
pcapi_warn(List **warnings, const char *key, const char *what)
{
	char	   *text;
	ListCell   *lc;

	if (list_length(*warnings) >= WARNINGS_MAX)
		return;
	text = psprintf("%s: %s", key, what);
	foreach(lc, *warnings)
	{
		if (strcmp((char *) lfirst(lc), text) == 0)
			return;
	}
	if (list_length(*warnings) == WARNINGS_MAX - 1)
		text = pstrdup("further warnings left out");
	*warnings = lappend(*warnings, text);
}

void
pcapi_show_warnings(List *warnings)
{
	ListCell   *lc;

	foreach(lc, warnings)
		ereport(WARNING, (errmsg("%s", (char *) lfirst(lc)), pcapi_errhide()));
}
