/*
 * payload.h
 *	  The payload of a queued event, read within a budget of bytes.
 */
#ifndef PCAPI_PAYLOAD_H
#define PCAPI_PAYLOAD_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"

/* an event to be sent */
typedef struct PcapiQueuedEvent
{
	int64		id;
	ItemPointerData tid;		/* of the row in _queue, if it was never tried; else invalid */
	TransactionId xmin;			/* that row's */
	TimestampTz created_at;
	int			attempts;
	TimestampTz waits_since;	/* tracked, or due again by retry or replay */
	TimestampTz event_time;
	TimestampTz first_attempt_at;	/* 0: none yet */
	bool		unread;			/* its payload was left where it is */
	char	   *problem;		/* why its payload cannot be read, or NULL */
	char	   *payload;
	int			payload_len;
} PcapiQueuedEvent;

/*
 * Whose payloads are read: not those of ids to skip, and of the others the
 * first one and what fits in room bytes with it.  A thousand payloads may have
 * gigabytes, and no request takes more than room.
 */
typedef struct PcapiPayloadBudget
{
	bool		(*skip) (void *arg, int64 id);
	void	   *arg;
	Size		room;			/* what is left of it */
	bool		any;
	bool		full;
} PcapiPayloadBudget;

/* in the current memory context; NULL, and not unread, where payload is null or cannot be read */
extern void pcapi_read_payload(PcapiPayloadBudget *reader, PcapiQueuedEvent *event, Datum payload, bool isnull);

/* whether jsonb can hold it, without raising an error */
extern bool pcapi_is_json_object(char *json);

#endif							/* PCAPI_PAYLOAD_H */
