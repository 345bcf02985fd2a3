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
 * Condition: a row v of _visitor is the person's.  A visitor's click ids have rows of
 * their own, whose key begins with the visitor's digest.
 */
#define PCAPI_VISITOR_OF(visitors, keys, values) \
	" (substr(v.visitor, 1, 32) = ANY (" visitors ")" \
	" OR EXISTS (SELECT FROM unnest(" keys ", " values ") AS p (key, value)" \
	" WHERE v.user_data -> p.key @> to_jsonb(p.value)" \
	" OR p.key = 'click_id' AND v.click_id = p.value))"

/* ---- in forget()'s session ---- */

/* Return the oldest transaction that may still commit something unseen.  Before reading a person's rows. */
extern FullTransactionId pcapi_erasure_begin(void);

/* Empty the person's events and make those that are queued final.  Return how many. */
extern int64 pcapi_erase_events(const PcapiErasure *person, FullTransactionId oldest);

/* Record the erasure in _erasure, so that the worker scans rows that are committed later. */
extern void pcapi_erasure_record(const PcapiErasure *person, FullTransactionId oldest);

/* ---- in the worker ---- */

/* how far the worker has come in such a scan */
typedef struct PcapiErasureScan
{
	TransactionId before;		/* for each forget() older than this; invalid: no scan is under way */
	TransactionId wait_for;		/* the scan starts once all transactions older than this are over */
	bool		events_done;
	int64		after;			/* id of the last event scanned */
	PcapiVisitorPlace place;	/* the last visitor scanned */
} PcapiErasureScan;

/* Take one step of a scan.  True: another one can follow at once. */
extern bool pcapi_erasure_step(PcapiErasureScan *scan);

/* Remove events of people who were forgotten from *n that were read, empty them and make them final. */
extern void pcapi_erase_claimed(PcapiQueuedEvent *events, int *n);

#endif							/* PCAPI_ERASE_H */
