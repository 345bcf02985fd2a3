/*
 * enqueue.h
 *	  The way into the queue, in the caller's transaction.
 */
#ifndef PCAPI_ENQUEUE_H
#define PCAPI_ENQUEUE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/*
 * One row of the event table.  status NULL queues it; any other status is
 * final ("rejected", "suppressed", "expired") and reason says why.
 * Strings are in the database's encoding.  Must not hold raw identifiers.
 */
typedef struct PcapiNewEvent
{
	int			dest;			/* number of the destination, 0: none */
	const char *destination;	/* its name, or NULL */
	TimestampTz event_time;
	const unsigned char *visitor;	/* 32 bytes, or NULL */
	const char *event_id;
	bool		event_id_generated; /* fresh: can't be there already */
	const char *event_name;
	const char *sent_as;		/* or NULL */
	List	   *warnings;		/* of char *, or NIL */
	const char *payload;		/* JSON text, or NULL */
	const char *status;			/* NULL: queue it */
	const char *reason;

	/* of an event that was tracked on another server; else 0 and NULL */
	TimestampTz created_at;
	const char *origin;
} PcapiNewEvent;

/*
 * Insert in the current transaction; false when this event_id was there
 * already for the same destination and event.  Call as the extension's owner
 * (pcapi_switch_to_owner), outside SPI or inside.
 */
extern bool pcapi_enqueue(const PcapiNewEvent *ev);

#endif							/* PCAPI_ENQUEUE_H */
