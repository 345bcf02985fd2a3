/*
 * worker.h
 *	  What the parts of the background worker know of each other.
 *
 * main.c		the process: connection, transactions, the loop
 * dispatch.c	the cycle: look, start, settle, and when to look again
 * route.c		destinations: what may be sent when, and what is taken next
 * batch.c		the events of one request, and what its answer means for them
 * verify.c		verify_destination's one event
 * http.c		requests, by libcurl's multi interface
 * transfer.c	one request, as libcurl is told of it
 * egress.c	the settings proxy and ca_file
 * file.c		small files that settings name
 * response.c	answers, read
 * erasure.c	what forget() could not see
 * handover.c	events that another server sends
 * retention.c	when to clear away what is kept too long
 * launcher.c	one worker per database from server start
 */
#ifndef PCAPI_WORKER_H
#define PCAPI_WORKER_H

#include "pinterest_capi.h"

#include "core/core.h"
#include "lib/ilist.h"
#include "queue/claim.h"
#include "queue/live.h"

/* ---- http.c ---- */

typedef enum PcapiTransport
{
	PCAPI_HTTP_ANSWERED,		/* status and body are there */
	PCAPI_HTTP_UNREACHABLE,		/* no connection came about: nothing was sent */
	PCAPI_HTTP_CUT,				/* it broke after the request began: outcome unknown */
	PCAPI_HTTP_UNTRUSTED,		/* certificate refused: nothing was sent */
	PCAPI_HTTP_MISCONFIGURED	/* URL, CA file or the like: nothing was sent */
} PcapiTransport;

/*
 * A request.  body stays the caller's until pcapi_http_finished() has returned
 * the request; answer is malloc'd and freed by pcapi_http_free().
 */
typedef struct PcapiRequest
{
	void	   *owner;
	char	   *body;
	size_t		body_len;

	PcapiTransport transport;
	int			status;
	char	   *answer;
	size_t		answer_len;
	size_t		header_bytes;
	char		date[64];		/* the answer's, and so the next three */
	char		retry_after[64];
	char		ratelimit_remaining[32];
	char		ratelimit_reset[32];
	char		error[256];		/* libcurl's words, or ours */
	char		problem[64];	/* why we broke it off */

	void	   *easy;
	void	   *headers;
	size_t		handed;			/* bytes of body that libcurl has been given */
	bool		headers_over;	/* what still comes are trailers */
	bool		afresh;			/* it was tried again on a new connection */
} PcapiRequest;

extern bool pcapi_http_start(PcapiRequest *request, const char *url, const char *token);
extern PcapiRequest *pcapi_http_finished(void);
extern void pcapi_http_free(PcapiRequest *request);

/* wait for the latch, a socket or the timeout, and let libcurl work */
extern bool pcapi_http_wait(long timeout_ms, bool deaf);	/* true: the latch was set */
extern void pcapi_http_close_idle(void);	/* when nothing is out */
extern bool pcapi_http_worn(void);	/* a new process would be better */

/* ---- egress.c ---- */

typedef struct PcapiEgress
{
	char	   *proxy;			/* may hold a password; not to be logged */
	char	   *authorities;	/* PEM, or NULL: the system's */
	size_t		authorities_len;
	char	   *problem;		/* or NULL */
} PcapiEgress;

extern bool pcapi_egress_read(PcapiEgress *egress);
extern bool pcapi_egress_set(void *easy, const PcapiEgress *egress);
extern void pcapi_egress_free(PcapiEgress *egress);
extern void pcapi_egress_scrub(char *message);

/* ---- transfer.c ---- */

extern bool pcapi_transfer_set(PcapiRequest *request, const char *url, const char *token, const PcapiEgress *egress, void *share);
extern void pcapi_transfer_again(PcapiRequest *request);

/* code is a CURLcode */
extern bool pcapi_transfer_stale(const PcapiRequest *request, int code);
extern PcapiTransport pcapi_transfer_end(const PcapiRequest *request, int code);

/* ---- file.c ---- */

extern char *pcapi_read_file(const char *path, size_t most, size_t *len, char **problem);

/* ---- response.c ---- */

typedef enum PcapiVerdict
{
	PCAPI_A_ENTRIES,			/* one for each event */
	PCAPI_A_REFUSED,			/* the batch as a whole: split it, or failed */
	PCAPI_A_BLOCKED,			/* the same, but not in the API's words */
	PCAPI_A_RETRY,				/* an attempt that may succeed later */
	PCAPI_A_UNKNOWN,			/* may have been processed; again under the same id */
	PCAPI_A_THROTTLED,			/* no attempt */
	PCAPI_A_UNREACHABLE,		/* no attempt */
	PCAPI_A_PAUSE				/* not before somebody has acted */
} PcapiVerdict;

typedef struct PcapiEntry
{
	bool		failed;
	char	   *error;			/* or NULL */
	char	   *warning;		/* or NULL */
} PcapiEntry;

typedef struct PcapiAnswer
{
	PcapiVerdict verdict;
	int			http_status;	/* 0: none */
	PcapiEntry *entries;		/* PCAPI_A_ENTRIES: n of them */
	char	   *message;		/* what to record, or NULL; database's encoding */
	bool		unread;			/* PCAPI_A_UNKNOWN: it was a success that can't be read */
	int64		wait_ms;		/* what the API asks for; -1: nothing */
} PcapiAnswer;

/* palloc'd in the current memory context; token is only to be kept out of texts */
extern PcapiAnswer *pcapi_read_answer(const PcapiRequest *request, int n, const char *token);

/* ---- route.c ---- */

/*
 * How far the never tried events of a destination have been read.  Ids are
 * drawn in one order and committed in another, so behind the cursor there may
 * be some that were not visible yet.  Up to low there can be none: enqueue.c
 * has its transaction's id before it draws an event's id, so once all
 * transactions older than mark_xid are over, whatever was drawn up to mark is
 * visible or gone.
 */
typedef struct PcapiScan
{
	int64		cursor;			/* read up to here */
	int64		high;			/* the highest one ever read */
	int64		low;
	int64		mark;
	TransactionId mark_xid;		/* invalid: no mark */
	TimestampTz rescan_at;		/* look between low and high, even unasked */
	TimestampTz no_rescan_before;
	TimestampTz full_at;		/* look from the beginning, trusting nothing */
} PcapiScan;

typedef struct PcapiRoute
{
	dlist_node	node;
	PcapiTarget target;			/* as of the last load */
	bool		known;			/* the destination exists */
	PcapiScan	scan;
	PcapiScan	saved;			/* as of the last commit */
	PcapiLimiter limiter;
	int			refusals;		/* in a row: how far to back off */
	TimestampTz refused_at;
	int			unread;			/* successes that can't be read, in a row */
	int			blocked;		/* refusals in other words than the API's, in a row */
	TimestampTz heard_at;		/* start of the last request with a verdict for each event */
	bool		last_full;		/* the last batch was as large as it may be */
	TimestampTz last_start;
	TimestampTz wait_until;		/* asked for by the API beside a success; 0: no */
	TimestampTz next_due;		/* of its retries; 0: none */
	int			look_failures;	/* in a row, at this one alone */
	TimestampTz look_at;		/* not before; 0: any time */
	dlist_head	batches;
} PcapiRoute;

extern dlist_head pcapi_routes;

/* in a transaction; the targets as they are now */
extern void pcapi_routes_load(void);
extern void pcapi_routes_commit(void);
extern void pcapi_routes_rollback(void);
extern void pcapi_routes_clock_back(void);
extern PcapiRoute *pcapi_route_by_name(const char *destination);
extern PcapiRoute *pcapi_route_for(int dest);	/* made, as one that is gone, if there is none */

/* when the next request may start; DT_NOEND: not by time alone */
extern TimestampTz pcapi_route_opens(PcapiRoute *route, TimestampTz now);

/* in a transaction: claim a batch, or drop what can't be sent; false when nothing waits */
extern bool pcapi_route_take(PcapiRoute *route);
extern void pcapi_route_rescan(PcapiRoute *route);
extern void pcapi_route_release(PcapiRoute *route, int64 id);	/* to be read again */

/* ---- batch.c ---- */

/*
 * The way of a batch:
 *
 *	HALF -> TAKEN			its events are read again, into another batch
 *	CLAIMED -> OUT			the lease is committed, the request leaves
 *	OUT -> ANSWERED			by an answer, or without one
 *	ANSWERED -> (freed)		all is written down
 *	ANSWERED -> LEFT		all but some events, which others have locked, say
 *	LEFT -> (freed)			these too
 *	TAKEN, CLAIMED			back to HALF, or freed, if the transaction fails
 *
 * A batch of a worker before this one begins as LEFT: what became of its events
 * is not known, which is to be written down.
 */
typedef enum PcapiBatchState
{
	PCAPI_B_HALF,				/* of a refused batch: only ids, no lease */
	PCAPI_B_TAKEN,				/* a half whose events are in a claimed batch */
	PCAPI_B_CLAIMED,			/* its lease is not committed yet */
	PCAPI_B_OUT,
	PCAPI_B_ANSWERED,			/* to be settled; its destination waits for that */
	PCAPI_B_LEFT				/* the rest of it is; its destination goes on */
} PcapiBatchState;

typedef struct PcapiSending
{
	int64		id;
	ItemPointerData tid;
	TransactionId xmin;
	TimestampTz created_at;
	int			attempts;
	TimestampTz waits_since;
	TimestampTz event_time;
	TimestampTz first_attempt_at;
	bool		offline;
} PcapiSending;

typedef struct PcapiBatch
{
	dlist_node	node;
	MemoryContext context;		/* of the batch itself and all it has */
	PcapiRoute *route;
	PcapiBatchState state;
	bool		verify;			/* verify_destination's: no rows */
	bool		test_mode;		/* of the request that left */
	uint32		verify_no;
	int			n;
	PcapiSending *events;		/* in the body's order */
	int64	   *ids;			/* sorted */
	StringInfoData body;
	int64		lease;
	TimestampTz sent_at;
	int64		started_ms;		/* of pcapi_clock_ms(); 0: libcurl was not given the request */
	TimestampTz refused_since;	/* a half's: the start of what it is a half of; 0: none */
	int			life;			/* of the destination, when it was claimed */
	char	   *url;
	char	   *token;
	PcapiRequest request;

	/* once it is answered */
	PcapiSettled *settled;
	int			n_settled;
	PcapiWritten *written;		/* by the last settling: n_settled of them */
	int			n_left;
	char	   *problem;		/* why some are left; NULL: others have locked them */
	bool		accepted;		/* of the destination: something was processed */
	bool		recovered;		/* after its last refusal, if there was one */
	char	   *error;			/* or NULL, as the next two */
	char	   *backoff_reason;
	int64		backoff_ms;
	char	   *pause_reason;
	bool		paused;			/* by this settling */
	int			settle_failures;
	TimestampTz settle_at;
} PcapiBatch;

#define PCAPI_MAX_BODY	(2 * 1024 * 1024)

/* so many in a row pause the destination */
#define PCAPI_MAX_UNREAD	3	/* each may have been processed, so none too many */
#define PCAPI_MAX_BLOCKED	10	/* enough for a few bad events to be told from a destination that takes none */

extern PcapiBatch *pcapi_batch_create(PcapiRoute *route, int room);
extern bool pcapi_batch_add(PcapiBatch *batch, const PcapiClaimed *event, const char *payload, int len);
extern void pcapi_batch_seal(PcapiBatch *batch);	/* no more events */
extern bool pcapi_batch_holds(const PcapiBatch *batch, int64 id);
extern void pcapi_batch_start(PcapiBatch *batch);
extern void pcapi_batch_answered(PcapiBatch *batch);
extern void pcapi_batch_settle(void *batch);	/* a PcapiWork */
extern bool pcapi_batch_settled(PcapiBatch *batch); /* that is committed; false: some are left */
extern int	pcapi_batch_adopt(void);	/* a worker's before this one; in a transaction, once; returns how many events */
extern void pcapi_batch_free(PcapiBatch *batch);

/* ---- verify.c ---- */

extern void pcapi_verify_take(void);	/* a session's question, if there is one; routes are loaded */
extern bool pcapi_verify_asked(void);
extern void pcapi_verify_answer(PcapiBatch *batch, const PcapiAnswer *answer);

/* ---- dispatch.c ---- */

/*
 * One turn: settle what is answered, look at the tables and start what may
 * start.  Returns the ms until the next one is useful; *in_vain: the latch was
 * set for nothing that could be done now.
 */
extern long pcapi_dispatch_cycle(bool woken, bool *in_vain);
extern void pcapi_dispatch_finish(PcapiRequest *request);
extern int	pcapi_dispatch_in_flight(void);
extern void pcapi_dispatch_hold(bool hold);
extern void pcapi_dispatch_reloaded(void);
extern bool pcapi_dispatch_rests(TimestampTz *next);

/* ---- erasure.c ---- */

extern void pcapi_finish_erasures(int64 now);	/* what forget() could not see */

/* ---- handover.c ---- */

extern void pcapi_handover(void);	/* where another server sends */

/* ---- retention.c ---- */

extern void pcapi_keep_retention(int64 now);	/* ms, of pcapi_clock_ms() */
extern void pcapi_retention_reloaded(void); /* also once at the start */

/* ---- main.c ---- */

extern PcapiLive *pcapi_live;

/*
 * A subscription writes the tables, or has done so since this process started:
 * it sends nothing and writes nothing.  Once there is none any more, the
 * process exits, and the next one begins with leases and sequences.
 */
extern bool pcapi_replicates;

typedef void (*PcapiWork) (void *arg);

/*
 * In a transaction of its own, as the extension's owner; false when it failed,
 * which has been logged, shown in worker_status and rolled back.
 */
extern bool pcapi_transaction(PcapiWork work, void *arg);

#endif							/* PCAPI_WORKER_H */
