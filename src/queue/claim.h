/*
 * claim.h
 *	  What the worker does to the tables: what is to be sent (fresh.c, claim.c)
 *	  and what became of it (settle.c, finish.c).
 *
 * All run in a transaction of the worker's, as the extension's owner with
 * search_path pinned to pg_catalog.
 */
#ifndef PCAPI_CLAIM_H
#define PCAPI_CLAIM_H

#include "queue/queue.h"

/* a destination as the worker needs it; strings in the caller's memory context */
typedef struct PcapiTarget
{
	int			dest;
	char	   *name;
	bool		ready;			/* enabled, complete and not paused */
	bool		sendable;		/* complete, for verify_destination */
	char	   *ad_account_id;
	char	   *token;			/* may be file:/path; not to be logged */
	bool		may_read_files; /* the tables' owner, as whom we work */
	char	   *api_url;
	bool		test_mode;
	int			batch_size;
	int			max_requests_per_minute;
	int64		max_event_age;	/* microseconds, as of now */
	int64		retry_for;
	TimestampTz backoff_until;	/* 0: none */
	TimestampTz failing_since;	/* 0: not failing */
	char	   *backoff_reason; /* or NULL */
} PcapiTarget;

extern List *pcapi_targets(void);

/* an event to be sent */
typedef struct PcapiClaimed
{
	int64		id;
	ItemPointerData tid;		/* of the row in _queue, if it was never tried; else invalid */
	int			attempts;
	TimestampTz waits_since;	/* tracked, or due again by retry or replay */
	TimestampTz event_time;
	TimestampTz first_attempt_at;	/* 0: none yet */
	bool		unread;			/* its payload was left where it is */
	char	   *payload;
	int			payload_len;
} PcapiClaimed;

/*
 * Whose payloads are read: not those of ids to skip, and of the others the
 * first one and what fits in room bytes with it.  A thousand payloads may have
 * gigabytes, and no request takes more than room.
 */
typedef struct PcapiReader
{
	bool		(*skip) (void *arg, int64 id);
	void	   *arg;
	Size		room;			/* what is left of it */
	bool		any;
	bool		full;
} PcapiReader;

/* in the current memory context; NULL, and not unread, where payload is null */
extern void pcapi_read_payload(PcapiReader *reader, PcapiClaimed *event, Datum payload, bool isnull);

/* fresh.c: never tried ones in id order behind after; no more once the reader is full */
extern int	pcapi_fetch_fresh(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events);

/* claim.c: the same by a statement, also where the reader gets full; none of them has its place */
extern int	pcapi_fetch_fresh_by_sql(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events);

/* those whose retry is due */
extern int	pcapi_fetch_due(int dest, int limit, PcapiReader *reader, PcapiClaimed **events);
extern int	pcapi_fetch_ids(int dest, const int64 *ids, int n, PcapiReader *reader, PcapiClaimed **events);

/* ids of never tried events in (low, high] */
extern int	pcapi_queued_between(int dest, int64 low, int64 high, int64 **ids);
extern TimestampTz pcapi_next_due(int dest);	/* 0: none */

extern int64 pcapi_lease(int dest, const int64 *ids, int n);

/* at the start: what a dead worker left in the air; returns how many events */
extern int	pcapi_recover_leases(void);

/* --- settle.c --- */

typedef enum PcapiFate
{
	PCAPI_RELEASE,				/* as if it had never been taken */
	PCAPI_SENT,
	PCAPI_FAILED,
	PCAPI_EXPIRED,
	PCAPI_RETRY
} PcapiFate;

typedef struct PcapiSettled
{
	int64		id;
	ItemPointerData tid;		/* as claimed; it may be another row's by now */
	PcapiFate	fate;
	bool		attempted;		/* counts as an attempt */
	int			http_status;	/* 0: none */
	int64		delay_ms;		/* PCAPI_RETRY: from now */
	const char *reason;			/* or NULL, as the next two; database's encoding */
	const char *error;
	const char *warning;		/* of something final: may be several, a line each */
} PcapiSettled;

/* finish.c: those that are done with at their first attempt; which are settled is marked */
extern void pcapi_finish(int dest, TimestampTz attempted_at, const PcapiSettled *settled, int n,
						 bool *done);
extern const char *pcapi_fate_name(PcapiFate fate); /* as status */

extern void pcapi_settle(int dest, int64 lease, TimestampTz attempted_at,
						 const PcapiSettled *settled, int n);

/* what a destination's last request says of it */
extern void pcapi_target_lock(int dest);
extern void pcapi_target_sent(int dest, bool recovered);
extern void pcapi_target_backoff(int dest, int64 delay_ms, const char *reason);
extern bool pcapi_target_pause(int dest, const char *name, const char *reason);
extern void pcapi_target_error(int dest, const char *error);
extern void pcapi_notify(const char *destination, const char *status, const char *message);

/* --- retention.c --- */

/*
 * Delete final rows and empty payloads among the next few after id *after,
 * which is moved on; *changed says how many.  False: there are none behind it.
 */
extern bool pcapi_retention_step(const char *retention, const char *payload_retention, int64 *after,
								 int64 *changed);

/* a place among visitors, in the order of their digests */
typedef struct PcapiVisitorPlace
{
	bool		begun;
	int			len;
	unsigned char after[64];
} PcapiVisitorPlace;

/* the place as a parameter, or false: from the first one; and the last row of the statement as the place */
extern bool pcapi_visitor_place_param(const PcapiVisitorPlace *place, Datum *value);
extern void pcapi_visitor_place_set(PcapiVisitorPlace *place);

/* likewise: takes the click ids from the next few visitors who have had theirs for too long */
extern bool pcapi_click_retention_step(const char *retention, PcapiVisitorPlace *place);

/* --- erase.c --- */

/* Take events of people who were forgotten out of *n that were claimed, empty them and end them. */
extern void pcapi_erase_claimed(PcapiClaimed *events, int *n);

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

/* One step of it; true if another one can follow at once. */
extern bool pcapi_erasure_step(PcapiErasureScan *scan);

#endif							/* PCAPI_CLAIM_H */
