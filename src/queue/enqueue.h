/*
 * enqueue.h
 *	  Write an event into the log, in the caller's transaction.
 */
#ifndef PCAPI_ENQUEUE_H
#define PCAPI_ENQUEUE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* identifiers that an event may carry, bits of _event.carries; the view _event_state reads the same */
#define PCAPI_CARRIES_EM			0x01
#define PCAPI_CARRIES_PH			0x02
#define PCAPI_CARRIES_CLICK_ID		0x04
#define PCAPI_CARRIES_EXTERNAL_ID	0x08
#define PCAPI_CARRIES_MAIDS			0x10
#define PCAPI_CARRIES_IP			0x20
#define PCAPI_CARRIES_USER_AGENT	0x40

/* the first character of _event.value where the value is the destination's default */
#define PCAPI_STAND_IN				'='

/* What of a payload is counted in the statistics. */
typedef struct PcapiFacts
{
	char		carries;		/* 0: nothing of these */
	const char *currency;		/* or NULL */
	const char *value;			/* as in the payload, or behind PCAPI_STAND_IN; or NULL */
} PcapiFacts;

/*
 * A new event.  Strings are in the database's encoding.  It must not hold raw
 * identifiers.
 */
typedef struct PcapiNewEvent
{
	int			dest;			/* number of the destination, 0: none */
	const char *destination;	/* its name, or NULL */
	TimestampTz event_time;
	const unsigned char *visitor;	/* 32 bytes, or NULL */
	const char *event_id;
	bool		event_id_generated; /* no other event has it */
	const char *event_name;
	const char *sent_as;		/* or NULL */
	List	   *warnings;		/* of char *, or NIL */
	const char *payload;		/* JSON text, or NULL */
	PcapiFacts	facts;			/* of the payload */
	const char *status;			/* NULL: queue it; else final: rejected, suppressed, expired */
	const char *reason;			/* why it is final, or NULL */

	/* of an event that was tracked on another server; else 0 and NULL */
	TimestampTz created_at;
	const char *origin;
} PcapiNewEvent;

/*
 * Insert an event in the current transaction, as the extension's owner, outside SPI
 * or inside.  False: there is an event with this event_id, name and destination.
 */
extern bool pcapi_enqueue(const PcapiNewEvent *ev);

#endif							/* PCAPI_ENQUEUE_H */
