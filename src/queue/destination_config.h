/*
 * destination_config.h
 *	  Read the destinations as the worker needs them: settings, token and state.
 */
#ifndef PCAPI_DESTINATION_CONFIG_H
#define PCAPI_DESTINATION_CONFIG_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* a destination as the worker needs it */
typedef struct PcapiDestinationConfig
{
	int			dest;
	int			life;			/* which destination of this name: counts how often it was dropped, from 1 */
	char	   *name;
	bool		ready;			/* enabled, complete, not paused, and sent from this server */
	bool		sendable;		/* complete, for verify_destination */
	char	   *ad_account_id;
	char	   *token;			/* may be file:/path; must not be logged */
	bool		may_read_files; /* whether the tables' owner, as whom the worker acts, may */
	char	   *api_url;
	bool		test_mode;
	int			batch_size;
	int			max_requests_per_minute;
	int64		max_event_age;	/* microseconds as of now: of an interval that may have months */
	int64		retry_for;		/* likewise */
	TimestampTz backoff_until;	/* 0: none */
	TimestampTz failing_since;	/* 0: not failing */
	char	   *backoff_reason; /* or NULL */
	int64		done_below;		/* no event with an id up to this is fresh */
} PcapiDestinationConfig;

/*
 * Return all destinations, or the one of a number (0: all), as
 * PcapiDestinationConfig, in the current memory context.
 */
extern List *pcapi_destination_configs(int dest);

#endif							/* PCAPI_DESTINATION_CONFIG_H */
