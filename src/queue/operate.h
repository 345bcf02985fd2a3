/*
 * operate.h
 *	  What operators and settings do to destinations and waiting events
 *	  (operate.c), and what the functions that wait need of the worker.
 *
 * All as the extension's owner with a pinned search_path.
 */
#ifndef PCAPI_OPERATE_H
#define PCAPI_OPERATE_H

#include "queue/queue.h"

/* ERROR 22023 unless the destination exists; NULL is none; its number, made when there is none yet */
PcapiNoReturn extern void pcapi_unknown_destination(void);
extern void pcapi_check_destination(const char *destination);
extern int	pcapi_require_destination(const char *destination);

/* this server is the one that sends, says who calls; tells him of what holds it all the same */
extern void pcapi_claim_server(void);

/* ends pause and backoff, makes the destination's number, wakes the worker; tells listeners if it was paused */
extern void pcapi_unpause(const char *destination);

/* ends a backoff alone: whatever is paused stays so */
extern void pcapi_end_backoff(const char *destination);

/* what waits for a destination that is about to be deleted is cancelled */
extern void pcapi_forsake(const char *destination);

/* the same for what was committed while its destination was being deleted */
extern void pcapi_cancel_orphans(void);

/*
 * Forget: empties rows of these visitors (bytea[]) or with one of these
 * identifiers in their payload's user_data (keys and values, text[] each), and
 * ends those that wait; returns how many.
 */
extern int64 pcapi_forget_events(Datum visitors, Datum keys, Datum values);

/* --- mend.c --- */

/* due times that were set by a clock which was ahead; in a transaction of the worker's */
extern void pcapi_mend_times(void);

#endif							/* PCAPI_OPERATE_H */
