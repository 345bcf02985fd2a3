/*
 * destination_config.h
 *	  The destinations as the worker needs them: settings, token and state.
 */
#ifndef PCAPI_DESTINATION_CONFIG_H
#define PCAPI_DESTINATION_CONFIG_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* a destination as the worker needs it; strings in the caller's memory context */
typedef struct PcapiDestinationConfig
{
	int			dest;
	int			life;			/* how often the name has been used for a new one */
	char	   *name;
	bool		ready;			/* enabled, complete and not paused */
	bool		sendable;		/* complete, for verify_destination */
	char	   *ad_account_id;
	char	   *token;			/* may be file:/path; not to be logged */
	bool		may_read_files; /* the tables' owner, as whom we work */
	char	   *api_url;
	bool		test_mode;
	int			batch_size;
	int			max_requests_per_minute;
	int64		max_event_age;	/* microseconds, as of now */
	int64		retry_for;
	TimestampTz backoff_until;	/* 0: none */
	TimestampTz failing_since;	/* 0: not failing */
	char	   *backoff_reason; /* or NULL */
} PcapiDestinationConfig;

extern List *pcapi_destination_configs(void);

#endif							/* PCAPI_DESTINATION_CONFIG_H */
