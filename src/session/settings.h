/*
 * settings.h
 *	  Between settings.c, which keeps what was read of the settings, and
 *	  settings_read.c, which reads it.
 */
#ifndef PCAPI_SETTINGS_H
#define PCAPI_SETTINGS_H

#include "session/session.h"

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
 * first needed, all in context.  settings.c sees to it that all of it is the
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
	List	   *rule_paths;		/* what they look at (rule.c) */
	bool		any_suppression;
	bool		totals_read;	/* what follows is known */
	bool		any_destination;
	bool		any_ip;
	bool		any_user_agent;
	List	   *default_countries;	/* of char * */
};

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

#endif							/* PCAPI_SETTINGS_H */
