/*
 * settings_cache.h
 *	  This session's copy of destination, allowed_event and consent_rule.
 */
#ifndef PCAPI_SETTINGS_CACHE_H
#define PCAPI_SETTINGS_CACHE_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "track/settings.h"

/*
 * Return the settings, with the destination of this exact name and what allows
 * the event, case ignored: for that destination alone if one is named.  Each of
 * the names may be NULL, and each result is NULL where there is none.  Valid as
 * long as the current memory context.  Called as the extension's owner, once in a
 * call of a user: the next call may return a newer copy.
 */
extern PcapiSettings *pcapi_settings_find(const char *event_name, const char *destination_name,
										  PcapiDestination **destination, PcapiAllowed **allowed);

/* Return the settings, with neither.  As the extension's owner, as are those below. */
extern PcapiSettings *pcapi_settings(void);

extern bool pcapi_any_suppression(const PcapiSettings *settings);	/* _suppression is not empty */
extern bool pcapi_any_destination(PcapiSettings *settings);
extern uint32 pcapi_withheld_keys(PcapiSettings *settings); /* of user_data, that no destination is sent */
extern List *pcapi_default_countries(PcapiSettings *settings);	/* of char *, lower case, no duplicates */
extern List *pcapi_rule_paths(const PcapiSettings *settings);	/* of rules for all destinations */

/* Called by the relcache callback. */
extern void pcapi_settings_relcache_changed(Oid relid);

#endif							/* PCAPI_SETTINGS_CACHE_H */
