/*
 * erase.h
 *	  Empty the events of people who are to be forgotten.
 */
#ifndef PCAPI_ERASE_H
#define PCAPI_ERASE_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "queue/payload.h"
#include "queue/retention.h"

/*
 * What forget() could not see, as its transactions were open: how far the worker
 * has come in looking for it.
 */
typedef struct PcapiErasureScan
{
	TransactionId before;		/* it is for whom older transactions forgot; invalid: none is under way */
	TransactionId wait_for;		/* it begins once all older ones than this are over */
	bool		events_done;
	int64		after;			/* the event up to which rows were looked at */
	PcapiVisitorPlace place;
} PcapiErasureScan;

/*
 * A person as forget() knows it: visitors as bytea[]; identifiers as they stand
 * under a payload's user_data, keys and values, text[] each.
 */
typedef struct PcapiErasure
{
	Datum		visitors;
	Datum		keys;
	Datum		values;
} PcapiErasure;

/*
 * Whether a row v of _visitor is the person's.  A visitor's click ids have rows
 * of their own, whose key begins with the visitor's digest.
 */
#define PCAPI_VISITOR_OF(visitors, keys, values) \
	" (substr(v.visitor, 1, 32) = ANY (" visitors ")" \
	" OR EXISTS (SELECT FROM unnest(" keys ", " values ") AS p (key, value)" \
	" WHERE v.user_data -> p.key @> to_jsonb(p.value)" \
	" OR p.key = 'click_id' AND v.click_id = p.value))"

/* Take events of people who were forgotten out of *n that were claimed, empty them and end them. */
extern void pcapi_erase_claimed(PcapiQueuedEvent *events, int *n);

/* One step of it; true if another one can follow at once. */
extern bool pcapi_erasure_step(PcapiErasureScan *scan);

/* the oldest transaction that may commit something which is not seen yet; before looking for a person's rows */
extern FullTransactionId pcapi_erasure_begin(void);

/* empty the person's events, end those that wait, and have the worker look again; returns how many */
extern int64 pcapi_erase_events(const PcapiErasure *person, FullTransactionId oldest);
extern void pcapi_erasure_record(const PcapiErasure *person, FullTransactionId oldest);

#endif							/* PCAPI_ERASE_H */
