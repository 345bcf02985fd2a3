/*
 * settings.h
 *	  What is known of the settings: destinations, allowed events, consent rules.
 */
#ifndef PCAPI_SETTINGS_H
#define PCAPI_SETTINGS_H

#include "pinterest_capi.h"

#include "core/url.h"
#include "nodes/pg_list.h"
#include "track/consent_eval.h"
#include "utils/jsonpath.h"

typedef struct PcapiDestination
{
	char	   *name;
	int			no;				/* in event.dest */
	uint32		withheld;		/* PCAPI_KEY_BITs of what it may not be sent of user_data */
	PcapiUrlDetail page_url_detail;
	char	   *default_checkout_value; /* decimal text; NULL: switched off */
	char	   *default_checkout_currency;
	bool		suppress_opt_out;
	char		default_country[3]; /* lower case; empty: none */
	int64		max_event_age;	/* microseconds */
	List	   *rules;			/* of PcapiRule *, those that apply here, by name */
	List	   *rule_paths;		/* what those look at that apply here alone (consent_eval.c) */
	struct pcapi_names_hash *allowed;	/* settings_cache.c's: events asked for, or NULL */
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
	struct PcapiNode *plain;	/* the same taken apart (consent_eval.c), or NULL */
} PcapiRule;

typedef struct PcapiSettings PcapiSettings;

/* an element of a hash table by name; value NULL: nothing has that name */
typedef struct PcapiNamed
{
	const char *name;
	void	   *value;
	uint32		hash;
	char		status;			/* simplehash's own */
} PcapiNamed;

#define SH_PREFIX		pcapi_names
#define SH_ELEMENT_TYPE	PcapiNamed
#define SH_KEY_TYPE		const char *
#define SH_SCOPE		extern
#define SH_DECLARE
#include "lib/simplehash.h"

/*
 * What was read of the settings since the last change, each part when it was
 * first needed, all in context.  settings_cache.c sees to it that all of it is the
 * state of one moment.
 */
struct PcapiSettings
{
	MemoryContext context;
	int			pins;			/* calls that use it */
	int			parts;			/* how much was read */
	pcapi_names_hash *destinations; /* of PcapiDestination, by name */
	pcapi_names_hash *allowed;	/* of PcapiAllowed for all destinations, by folded name */
	List	   *rules;			/* of PcapiRule *, those for all destinations, by name */
	List	   *rule_paths;		/* what they look at (consent_eval.c) */
	bool		any_suppression;
	bool		totals_read;	/* what follows is known */
	bool		any_destination;
	uint32		withheld;		/* PCAPI_KEY_BITs of what no destination is sent */
	List	   *default_countries;	/* of char * */
};

#endif							/* PCAPI_SETTINGS_H */
