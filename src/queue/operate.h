/*
 * operate.h
 *	  What operators and settings do to destinations and waiting events
 *	  (operate.c, erase.c), and what the functions that wait need of the worker.
 *
 * All as the extension's owner with a pinned search_path.
 */
#ifndef PCAPI_OPERATE_H
#define PCAPI_OPERATE_H

#include "queue/queue.h"

#include "access/transam.h"

/* ERROR 22023 unless the destination exists; NULL is none; its number, made when there is none yet */
PcapiNoReturn extern void pcapi_unknown_destination(void);
extern void pcapi_check_destination(const char *destination);
extern int	pcapi_require_destination(const char *destination);

/* this server is the one that sends, says who calls; tells him of what holds it all the same */
extern void pcapi_claim_server(void);

/* what is planned until AtEOXact_GUC(true, the result) finds rows by their key, if there is an index (PCAPI_QUEUED_AS) */
extern int	pcapi_plan_by_key(void);

/* --- steps.c --- */

/*
 * Choose rows by a query of (dest integer, id bigint, ...) and hand them to a
 * function some thousand at a time, as integer[] and bigint[], outside of SPI's
 * memory.  Returns the sum of what the steps return.  Outside SPI or inside;
 * FOR UPDATE locks rows in the order of the query.
 */
typedef int64 (*PcapiStep) (Datum dests, Datum ids, void *arg);
extern int64 pcapi_in_steps(const char *sql, int nargs, const Oid *types, const Datum *values,
							const char *nulls, PcapiStep step, void *arg);

/* ends pause and backoff, makes the destination's number, wakes the worker; tells listeners if it was paused */
extern void pcapi_unpause(const char *destination);

/* ends a backoff alone: whatever is paused stays so */
extern void pcapi_end_backoff(const char *destination);

/* what waits for a destination that is about to be deleted is cancelled */
extern void pcapi_forsake(const char *destination);

/* the same for what was committed while its destination was being deleted */
extern void pcapi_cancel_orphans(void);

/*
 * Make waiting rows final: the rows q of _queue that this FROM clause has.  Its
 * parameters begin at $3.
 */
extern int64 pcapi_finish_waiting(const char *status, const char *reason, const char *from,
								  bool skip_locked, int nargs, const Oid *argtypes, const Datum *args,
								  const char *argnulls);

/* --- erase.c --- */

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

/* the oldest transaction that may commit something which is not seen yet; before looking for a person's rows */
extern FullTransactionId pcapi_erasure_begin(void);

/* empty the person's events, end those that wait, and have the worker look again; returns how many */
extern int64 pcapi_erase_events(const PcapiErasure *person, FullTransactionId oldest);
extern void pcapi_erasure_record(const PcapiErasure *person, FullTransactionId oldest);

/*
 * Whether a row v of _visitor is the person's.  A visitor's click ids have rows
 * of their own, whose key begins with the visitor's digest.
 */
#define PCAPI_VISITOR_OF(visitors, keys, values) \
	" (substr(v.visitor, 1, 32) = ANY (" visitors ")" \
	" OR EXISTS (SELECT FROM unnest(" keys ", " values ") AS p (key, value)" \
	" WHERE v.user_data -> p.key @> to_jsonb(p.value)" \
	" OR p.key = 'click_id' AND v.click_id = p.value))"

/* --- mend.c --- */

/* due times that were set by a clock which was ahead; in a transaction of the worker's */
extern void pcapi_mend_times(void);

#endif							/* PCAPI_OPERATE_H */
