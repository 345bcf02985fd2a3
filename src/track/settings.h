/*
 * settings.h
 *	  The settings as a session has read them: destinations, allowed events, consent rules.
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
	int			no;				/* the number, as in _event.dest; 0: it has none yet */
	uint32		withheld;		/* PCAPI_KEY_BITs: keys of user_data that it is not sent */
	PcapiUrlDetail page_url_detail;
	char	   *default_checkout_value; /* decimal text; NULL: switched off */
	char	   *default_checkout_currency;
	bool		suppress_opt_out;
	char		default_country[3]; /* lower case; empty: none */
	int64		max_event_age;	/* microseconds */
	List	   *rules;			/* of PcapiRule *, all that apply here, by name */
	List	   *rule_paths;		/* paths of the rules for this destination alone (consent_eval.c) */
	struct pcapi_names_hash *allowed;	/* settings_cache.c's: events looked up, or NULL */
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
	struct PcapiNode *plain;	/* the same, compiled (consent_eval.c), or NULL */
} PcapiRule;

typedef struct PcapiSettings PcapiSettings;

/* an entry of a hash table by name; value NULL: there is nothing of that name */
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
 * The settings read since the last change, each part when it was first needed, all
 * in context.  settings_cache.c ensures that all parts are of one moment.
 */
struct PcapiSettings
{
	MemoryContext context;
	int			pins;			/* number of calls that use it */
	int			parts;			/* number of destinations, events and rules read */
	pcapi_names_hash *destinations; /* of PcapiDestination, by name */
	pcapi_names_hash *allowed;	/* of PcapiAllowed for all destinations, by folded name */
	List	   *rules;			/* of PcapiRule *, those for all destinations, by name */
	List	   *rule_paths;		/* their paths (consent_eval.c) */
	bool		any_suppression;
	bool		totals_read;	/* the fields below are set */
	bool		any_destination;
	uint32		withheld;		/* PCAPI_KEY_BITs: keys that no destination is sent */
	List	   *default_countries;	/* of char * */
};

#endif							/* PCAPI_SETTINGS_H */
