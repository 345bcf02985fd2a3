/*
 * warning.h
 *	  Warnings of a call: what was left out or changed, without the value.
 */
#ifndef PCAPI_WARNING_H
#define PCAPI_WARNING_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"

/*
 * Append "key: what" to the warnings, which are stored with the event.  A
 * repeated warning is appended once; beyond a limit warnings are left out.
 */
extern void pcapi_warn(List **warnings, const char *key, const char *what);

/* Raise a WARNING for each, in a function that stores no event. */
extern void pcapi_show_warnings(List *warnings);

#endif							/* PCAPI_WARNING_H */
