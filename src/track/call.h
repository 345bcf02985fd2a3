/*
 * call.h
 *	  One call to track or preview: its parameters, read and checked.
 */
#ifndef PCAPI_CALL_H
#define PCAPI_CALL_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

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
	char	   *bad_event_time; /* reason, where the event's time could not be read */
	char	   *reject;			/* reason, where a trigger's mapping is wrong:
								 * no gate is asked */
	bool		bad_consent;	/* given, but not readable: any consent rule
								 * stops the event */
	bool		from_data;		/* destination and action_source were read
								 * from a row: unknown ones are recorded, not
								 * raised */

	/* of a call that was made on another server (src/fanin/apply_call.c) */
	bool		hashed;			/* user_data says what became of its values */
	unsigned char *visitor;		/* the digest of a visitor's id */
	TimestampTz called_at;		/* 0: now, and here */
	const char *origin;			/* the subscription that brought it */
} PcapiCall;

extern bool pcapi_is_action_source(const char *name);

/* Read the parameters of track and preview. */
extern void pcapi_call_from_args(PcapiCall *call, FunctionCallInfo fcinfo);

/* Raise an error for a call that is wrong whatever the data: no name, or a parameter that is no object. */
extern void pcapi_call_check(PcapiCall *call);

/* Return the action_source, by default web; NULL for an unknown one that was read from a row. */
extern const char *pcapi_call_action_source(PcapiCall *call);

/* Return a parameter that must be a JSON object, or NULL. */
extern Jsonb *pcapi_object_arg(FunctionCallInfo fcinfo, int n, const char *parameter);

#endif							/* PCAPI_CALL_H */
