/*
 * settings_read.h
 *	  Read destinations, allowed events and consent rules by their names.
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

/* For all destinations if destination is NULL; then only destination_name of each is set. */
extern PcapiAllowed *pcapi_read_allowed(PcapiSettings *settings, const char *folded,
										const PcapiDestination *destination);

/* Drop the plans, which were made for tables of another size. */
extern void pcapi_read_replan(void);

#endif							/* PCAPI_SETTINGS_READ_H */
