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
	int			life;			/* how often the name has been used for a new one */
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

/* how the error and the reason of an event begin whose payload cannot be read; doctor() looks for it */
#define PCAPI_UNREADABLE "payload cannot be read"

/* an event to be sent */
typedef struct PcapiClaimed
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

/* in the current memory context; NULL, and not unread, where payload is null or cannot be read */
extern void pcapi_read_payload(PcapiReader *reader, PcapiClaimed *event, Datum payload, bool isnull);

/* fresh.c: never tried ones in id order behind after; no more once the reader is full */
extern int	pcapi_fetch_fresh(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events);

/* claim.c: the same by a statement, also where the reader gets full; none of them has its place */
extern int	pcapi_fetch_fresh_by_sql(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events);

/* those whose retry is due */
extern int	pcapi_fetch_due(int dest, int limit, PcapiReader *reader, PcapiClaimed **events);
extern int	pcapi_fetch_ids(int dest, const int64 *ids, int n, PcapiReader *reader, PcapiClaimed **events);

/* never tried ones and those that are due, behind after */
extern int	pcapi_fetch_singly(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events);

extern Oid	pcapi_queue_file(void); /* which file has the table _queue: another one once it was emptied or written anew */

/* ids of never tried events in (low, high] */
extern int	pcapi_queued_between(int dest, int64 low, int64 high, int64 **ids);
extern TimestampTz pcapi_next_due(int dest);	/* 0: none */

extern int64 pcapi_lease(int dest, const int64 *ids, int n);

/* a request of a worker that is gone; ids are those that still wait, sorted */
typedef struct PcapiLease
{
	int64		lease;
	int			dest;
	TimestampTz taken_at;
	int64	   *ids;
	int			n;
} PcapiLease;

extern List *pcapi_leases(void);	/* in the current memory context */

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
	ItemPointerData tid;		/* as claimed, as the next two; it may be another row's by now */
	TransactionId xmin;
	TimestampTz created_at;		/* of the event that is meant; 0: whichever has the id */
	PcapiFate	fate;
	bool		attempted;		/* counts as an attempt */
	bool		test_mode;		/* of the request: Pinterest checks and discards */
	int			http_status;	/* 0: none */
	int64		delay_ms;		/* PCAPI_RETRY: from now */
	const char *reason;			/* or NULL, as the next two; database's encoding */
	const char *error;
	const char *warning;		/* of something final: may be several, a line each */
} PcapiSettled;

/* what has become of one of them */
typedef enum PcapiWritten
{
	PCAPI_NOT_THERE,			/* it waits no longer, or is another event */
	PCAPI_WRITTEN,
	PCAPI_LEFT					/* it waits, and could not be written */
} PcapiWritten;

/* finish.c: those that are done with at their first attempt */
extern void pcapi_finish(int dest, TimestampTz attempted_at, const PcapiSettled *settled, int n,
						 PcapiWritten *written);
extern const char *pcapi_fate_name(PcapiFate fate); /* as status */

/*
 * written: n of them, filled in.  Returns how many are left; *problem is why,
 * in the current memory context, or NULL where others have locked them.  The
 * lease, if not 0, keeps those alone.
 */
#define PCAPI_LOCKED "locked by another transaction"

extern int	pcapi_settle(int dest, int64 lease, TimestampTz attempted_at,
						 const PcapiSettled *settled, int n, PcapiWritten *written, char **problem);

/* what a destination's last request says of it, unless it was dropped since and is another one (life) */
extern void pcapi_target_lock(int dest);
extern void pcapi_target_taken(int dest, int life, bool sent, bool recovered);
extern void pcapi_target_backoff(int dest, int life, int64 delay_ms, const char *reason);
extern bool pcapi_target_pause(int dest, int life, const char *name, const char *reason);
extern void pcapi_target_error(int dest, int life, const char *error);
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
