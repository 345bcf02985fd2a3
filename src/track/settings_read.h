/*
 * settings_read.h
 *	  Reads destinations, allowed events and consent rules, by their names.
 */
#ifndef PCAPI_SETTINGS_READ_H
#define PCAPI_SETTINGS_READ_H

#include "pinterest_capi.h"

#include "track/settings.h"

/*
 * Read with the active snapshot into settings->context, as the extension's
 * owner.  NULL: there is none.  folded is the folded name of an event.
 */
extern void pcapi_read_common(PcapiSettings *settings);
extern void pcapi_read_totals(PcapiSettings *settings);
extern PcapiDestination *pcapi_read_destination(PcapiSettings *settings, const char *name);

/* for all destinations if destination is NULL; then each has the name of its destination alone */
extern PcapiAllowed *pcapi_read_allowed(PcapiSettings *settings, const char *folded,
										const PcapiDestination *destination);

/* Forget plans, which were made for tables of another size. */
extern void pcapi_read_replan(void);

#endif							/* PCAPI_SETTINGS_READ_H */
