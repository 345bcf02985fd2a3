/*
 * settings_cache.h
 *	  The tables destination, allowed_event and consent_rule as this session sees them: each part is read when it is first needed, and kept until somebody changes one of these tables.
 */
#ifndef PCAPI_SETTINGS_CACHE_H
#define PCAPI_SETTINGS_CACHE_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "track/settings.h"

/*
 * What a call needs: the destination of this exact name, and where the event
 * may go, case ignored: to that destination alone if one is named.  Each of
 * the names may be NULL, and each result is NULL where there is none.  Valid
 * for as long as the current memory context.  Call as owner, once in a call,
 * so that nothing moves under its feet.
 */
extern PcapiSettings *pcapi_settings_find(const char *event_name, const char *destination_name,
										  PcapiDestination **destination, PcapiAllowed **allowed);

extern PcapiSettings *pcapi_settings(void); /* neither */

/* as owner */
extern bool pcapi_any_suppression(const PcapiSettings *settings);	/* that list is not empty */
extern bool pcapi_any_destination(PcapiSettings *settings);
extern uint32 pcapi_withheld_keys(PcapiSettings *settings); /* of user_data, that no destination is sent */
extern List *pcapi_default_countries(PcapiSettings *settings);	/* of char *, lower case, no duplicates */
extern List *pcapi_rule_paths(const PcapiSettings *settings);	/* of rules for all destinations */
extern void pcapi_settings_relcache_changed(Oid relid);

#endif							/* PCAPI_SETTINGS_CACHE_H */
