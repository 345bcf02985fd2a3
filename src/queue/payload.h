/*
 * payload.h
 *	  The payload of a queued event, read within a budget of bytes.
 */
#ifndef PCAPI_PAYLOAD_H
#define PCAPI_PAYLOAD_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "queue/tally.h"
#include "storage/itemptr.h"

/* a queued event, as it was read */
typedef struct PcapiQueuedEvent
{
	int64		id;
	bool		retried;		/* it has a row in _retry */
	ItemPointerData tid;		/* place of its row in _event if it was never tried; else invalid */
	TransactionId xmin;			/* of that row */
	TimestampTz created_at;
	int			attempts;
	TimestampTz waits_since;	/* when it was tracked, or became due by retry or replay */
	TimestampTz event_time;
	TimestampTz first_attempt_at;	/* 0: none yet */
	PcapiCounted counted;		/* if tid is valid */
	bool		unread;			/* its payload was skipped, or did not fit the budget */
	char	   *problem;		/* why its payload cannot be read, or NULL */
	char	   *payload;
	int			payload_len;
} PcapiQueuedEvent;

/*
 * Which payloads are read: those of ids that skip() returns false for, as long as they
 * fit in room bytes together, but the first one always.  A thousand payloads may have
 * gigabytes, and no request is larger than room.
 */
typedef struct PcapiPayloadBudget
{
	bool		(*skip) (void *arg, int64 id);
	void	   *arg;
	Size		room;			/* what is left of it */
	bool		any;			/* a payload was read */
	bool		full;			/* one did not fit: no more are read */
} PcapiPayloadBudget;

/*
 * Read the payload of an event into the current memory context, within the budget.  It
 * stays NULL, and is not unread, if it is null or damaged (event->problem).
 */
extern void pcapi_read_payload(PcapiPayloadBudget *budget, PcapiQueuedEvent *event, Datum payload, bool isnull);

/*
 * Return whether jsonb's input function takes a text, and makes an object of it.  True also for numbers beyond
 * the range of numeric, for which that function raises an error.
 */
extern bool pcapi_is_json_object(char *json);

#endif							/* PCAPI_PAYLOAD_H */
