/*
 * session.h
 *	  What runs in the caller's backend: settings, gates, building an event.
 */
#ifndef PCAPI_SESSION_H
#define PCAPI_SESSION_H

#include "pinterest_capi.h"

#include "core/core.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/*
 * ---- settings.c: the tables destination, allowed_event and consent_rule as
 * this session sees them, kept until somebody changes one of them.
 */
typedef struct PcapiDestination
{
	char	   *name;
	int			no;				/* in event.dest */
	bool		send_client_ip;
	bool		send_user_agent;
	PcapiUrlDetail page_url_detail;
	char	   *default_checkout_value; /* decimal text; NULL: switched off */
	char	   *default_checkout_currency;
	bool		suppress_opt_out;
	char		default_country[3]; /* lower case; empty: none */
	int64		max_event_age;	/* microseconds */
	List	   *rules;			/* of PcapiRule *, those that apply here, by name */
	List	   *rule_paths;		/* what those look at that apply here alone (rule.c) */
	struct pcapi_names_hash *allowed;	/* settings.c's: events asked for, or NULL */
} PcapiDestination;

typedef struct PcapiAllowed
{
	char	   *event_name;		/* as the administrator wrote it */
	PcapiDestination *destination;
	char	   *destination_name;
	const char *sent_as;		/* the API's name: "checkout", ..., "custom" */
	uint64		listed[2];		/* bitmap over PcapiProperty; see pcapi_property_listed */
	bool		all_listed;		/* '{*}' */
	struct PcapiAllowed *next;	/* the same event for another destination */
} PcapiAllowed;

typedef struct PcapiRule
{
	char	   *name;
	bool		require;
	JsonPath   *predicate;		/* NULL: names a variable, so it can't be evaluated */
	struct PcapiNode *plain;	/* the same taken apart (rule.c), or NULL */
} PcapiRule;

typedef struct PcapiSettings PcapiSettings;

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
extern bool pcapi_any_ip(PcapiSettings *settings);	/* some destination sends the client's IP */
extern bool pcapi_any_user_agent(PcapiSettings *settings);
extern List *pcapi_default_countries(PcapiSettings *settings);	/* of char *, lower case, no duplicates */
extern List *pcapi_rule_paths(const PcapiSettings *settings);	/* of rules for all destinations */
extern void pcapi_settings_relcache_changed(Oid relid);

/*
 * ---- trigger.c
 */
extern void pcapi_trigger_relcache_changed(Oid relid);
extern void pcapi_trigger_catalog_changed(void);

/*
 * ---- allow.c: names of events that differ in case alone are the same folded
 */
extern char *pcapi_fold_name(const char *name);

/*
 * ---- standard.c: the 22 names
 */
extern const char *pcapi_standard_event(const char *name);	/* either spelling, case ignored -> API's name, or NULL */
extern const char *pcapi_nearest_standard_event(const char *name);	/* the tag's spelling, or NULL */

/*
 * ---- property.c: the keys of properties, as one table
 */
typedef enum PcapiPropertyType
{
	PCAPI_P_TEXT,				/* free text: scrubbed for PII */
	PCAPI_P_TOKEN,				/* structured short text: ids, language, currency */
	PCAPI_P_DECIMAL,			/* leaves as a JSON string */
	PCAPI_P_INTEGER,
	PCAPI_P_BOOLEAN,
	PCAPI_P_TOKENS,				/* array of ids */
	PCAPI_P_CONTENTS,
	PCAPI_P_URL,
	PCAPI_P_APP_INFO,			/* closed objects */
	PCAPI_P_DEVICE_INFO
} PcapiPropertyType;

extern int	pcapi_property_from_name(const char *name, size_t len); /* -1: unknown to the API */
extern int	pcapi_property_count(void);
extern const char *pcapi_property_name(int property);
extern bool pcapi_property_structured(int property);	/* goes without being listed */
extern bool pcapi_property_listed(const PcapiAllowed *allowed, int property);

/*
 * ---- track.c: one call, from SQL, from a trigger or from preview
 *
 * Inputs that are absent are NULL.  The trigger builds properties and
 * user_data as Jsonb too, so there is one way in.
 */
typedef struct PcapiCall
{
	char	   *event_name;
	Jsonb	   *properties;
	Jsonb	   *user_data;
	char	   *visitor_id;
	char	   *event_id;
	bool		has_event_time;
	TimestampTz event_time;
	char	   *action_source;
	Jsonb	   *consent;
	char	   *destination;
	List	   *warnings;		/* found before the call was made (trigger) */
	char	   *bad_event_time; /* reason, when the event's time could not be read */
	char	   *reject;			/* reason, when a trigger's mapping is wrong:
								 * the gates are not asked */
	bool		bad_consent;	/* given, but not readable: stops where there
								 * are rules */
	bool		from_data;		/* destination and action_source were read
								 * from a row: unknown ones are recorded, not
								 * raised */
} PcapiCall;

/* what became of a call for one destination */
typedef struct PcapiDecision
{
	PcapiDestination *destination;	/* NULL: none allows it */
	char	   *event_name;
	const char *sent_as;
	const char *status;			/* NULL: queued */
	char	   *reason;
	List	   *warnings;
	char	   *payload;		/* JSON, or NULL */
} PcapiDecision;

/*
 * Decide: everything but writing.  Returns a list of PcapiDecision *, at least
 * one.  *event_id gets the id (generated when absent), *visitor the SHA-256 of
 * the visitor id or NULL, *click_id a click id found in a URL of this event
 * (to be stored for the visitor), or NULL.
 */
extern List *pcapi_decide(PcapiCall *call, char **event_id, bool *event_id_generated,
						  TimestampTz *event_time, unsigned char **visitor, char **click_id);

/* decide and write; returns the event_id */
extern char *pcapi_track(PcapiCall *call);

/*
 * ---- identity.c: user_data of a call, hashed
 */
typedef struct PcapiIdentifiers
{
	List	   *hashes[PCAPI_KINDS];	/* of char *, 64 hex digits, order kept, no duplicates */
	uint32		cleared;		/* bit per kind: JSON null was given */
	char		country[3];		/* the call's own, two letters; empty: none known */
	List	   *national;		/* phone numbers without a plus sign, still as
								 * they were given: see pcapi_hash_national */
	int			own_phones;		/* how many of the hashes are the call's own */
	char	   *click_id;
	char	   *partner_id;
	const char *customer_type;	/* of the event, so never stored for a visitor */
	char	   *ip;
	char	   *user_agent;
	bool		clear_click_id,
				clear_partner_id,
				clear_ip,
				clear_user_agent;
} PcapiIdentifiers;

/* warnings are appended: "em: not an e-mail address" */
extern void pcapi_identifiers_from_jsonb(PcapiIdentifiers *ids, Jsonb *user_data, List **warnings);

/*
 * Hash the phone numbers that may be in national form, as numbers of this
 * country ("": unknown), for ids->hashes.
 */
extern void pcapi_hash_national(PcapiIdentifiers *ids, const char *country, List **warnings);

/* The same in every form that such a number may have been stored or sent in. */
extern void pcapi_hash_national_anywhere(PcapiIdentifiers *ids, PcapiSettings *settings);

/* The country of the call or, once the visitor's identifiers are there, of the visitor; or "". */
extern const char *pcapi_known_country(PcapiIdentifiers *ids);

/*
 * ---- visitor.c
 */
extern void pcapi_visitor_hash(const char *visitor_id, unsigned char digest[32]);

/* fill what ids lacks from what identify stored; *consent gets the stored one */
extern void pcapi_visitor_fill(const unsigned char *visitor, PcapiIdentifiers *ids, Jsonb **consent);
extern void pcapi_visitor_store_click(const unsigned char *visitor, const char *click_id, TimestampTz at);

/* of an event as it is sent */
extern void pcapi_identifiers_from_event(PcapiIdentifiers *ids, Jsonb *event);
extern bool pcapi_is_suppressed(const unsigned char *visitor, const PcapiIdentifiers *ids);

/*
 * ---- consent.c: gate 2.  Returns the name of the rule that stops, or NULL.
 * *doc keeps what rules look at for the call's next destination; NULL at first.
 */
extern const char *pcapi_consent_stops(PcapiSettings *settings, PcapiDestination *destination,
									   PcapiCall *call, Jsonb *consent, Jsonb **doc, List **warnings);

/* Take a rule apart that was read; in the current memory context.  Its paths are added to *paths. */
extern void pcapi_consent_compile(PcapiRule *rule, List **paths);

#endif							/* PCAPI_SESSION_H */
