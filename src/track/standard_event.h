/*
 * standard_event.h
 *	  The names of the API's standard events.
 */
#ifndef PCAPI_STANDARD_EVENT_H
#define PCAPI_STANDARD_EVENT_H

#include "pinterest_capi.h"

extern const char *pcapi_standard_event(const char *name);	/* either spelling, case ignored -> API's name, or NULL */
extern const char *pcapi_nearest_standard_event(const char *name);	/* the tag's spelling, or NULL */

#endif							/* PCAPI_STANDARD_EVENT_H */
