/*
 * standard_event.h
 *	  The names of the API's standard events.
 */
#ifndef PCAPI_STANDARD_EVENT_H
#define PCAPI_STANDARD_EVENT_H

#include "pinterest_capi.h"

/* Return the API's name of a standard event in either spelling, case ignored; or NULL. */
extern const char *pcapi_standard_event(const char *name);

/*
 * Return the standard event, in the browser tag's spelling, that a name of no
 * standard event most likely means; NULL if it resembles none.
 */
extern const char *pcapi_nearest_standard_event(const char *name);

#endif							/* PCAPI_STANDARD_EVENT_H */
