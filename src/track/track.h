/*
 * track.h
 *	  One call to track: through the gates, and into the queue.
 */
#ifndef PCAPI_TRACK_H
#define PCAPI_TRACK_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "queue/enqueue.h"
#include "track/call.h"
#include "track/settings.h"

/* the outcome of a call for one destination */
typedef struct PcapiDecision
{
	PcapiDestination *destination;	/* NULL: none allows it */
	char	   *event_name;
	const char *sent_as;
	const char *status;			/* NULL: queued */
	char	   *reason;
	List	   *warnings;
	char	   *payload;		/* JSON, or NULL */
	PcapiFacts	facts;			/* of the payload */
} PcapiDecision;

/*
 * Take a call through the gates without writing anything.  Returns a list of
 * PcapiDecision *, at least one.  *event_id gets the id, generated where the call
 * has none; *visitor the SHA-256 of the visitor id, or NULL; *click_id a click
 * id from a URL of this event that is to be stored for the visitor, or NULL.
 */
extern List *pcapi_decide(PcapiCall *call, char **event_id, bool *event_id_generated,
						  TimestampTz *event_time, unsigned char **visitor, char **click_id);

/* Decide and write.  Returns the event_id. */
extern char *pcapi_track(PcapiCall *call);

#endif							/* PCAPI_TRACK_H */
