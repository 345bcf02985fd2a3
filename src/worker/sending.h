/*
 * sending.h
 *	  Senders and their batches: the types that the files of this folder share.
 */
#ifndef PCAPI_SENDING_H
#define PCAPI_SENDING_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "core/rate_limiter.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "queue/destination_config.h"
#include "queue/outcome.h"
#include "storage/itemptr.h"
#include "worker/response.h"
#include "worker/transfer.h"

/*
 * How far the never tried events of a destination have been read.  Ids are
 * drawn in one order and committed in another, so behind the cursor there may
 * be some that were not visible yet.  Up to low there can be none: enqueue.c
 * has its transaction's id before it draws an event's id, so once all
 * transactions older than mark_xid are over, whatever was drawn up to mark is
 * visible or gone.
 */
typedef struct PcapiQueueCursor
{
	int64		cursor;			/* read up to here */
	int64		high_water;		/* the highest one ever read */
	int64		low_water;
	int64		mark;
	TransactionId mark_xid;		/* invalid: no mark */
	TimestampTz rescan_at;		/* look between low and high, even unasked */
	TimestampTz no_rescan_before;
	TimestampTz full_at;		/* look from the beginning, trusting nothing */
} PcapiQueueCursor;

typedef struct PcapiSender
{
	dlist_node	node;
	PcapiDestinationConfig config;	/* as of the last load */
	bool		known;			/* the destination exists */
	PcapiQueueCursor scan;
	PcapiQueueCursor saved;		/* as of the last commit */
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
	int			poll_failures;	/* in a row, at this one alone */
	TimestampTz next_poll_at;	/* not before; 0: any time */
	dlist_head	batches;
} PcapiSender;

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
	PCAPI_BATCH_SPLIT,			/* of a refused batch: only ids, no lease */
	PCAPI_BATCH_TAKEN,			/* a half whose events are in a claimed batch */
	PCAPI_BATCH_CLAIMED,		/* its lease is not committed yet */
	PCAPI_BATCH_IN_FLIGHT,
	PCAPI_BATCH_ANSWERED,		/* to be settled; its destination waits for that */
	PCAPI_BATCH_LEFT			/* the rest of it is; its destination goes on */
} PcapiBatchState;

typedef struct PcapiBatchEvent
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
} PcapiBatchEvent;

/* What a request's end means, where it is another matter than a batch's. */
typedef struct PcapiBatch PcapiBatch;
typedef void (*PcapiAnswerHandler) (PcapiBatch *batch, const PcapiAnswer *answer);

struct PcapiBatch
{
	dlist_node	node;
	MemoryContext context;		/* of the batch itself and all it has */
	PcapiSender *sender;
	PcapiBatchState state;
	bool		verify;			/* verify_destination's: no rows */
	bool		test_mode;		/* of the request that left */
	uint32		verify_no;
	PcapiAnswerHandler on_answer;	/* NULL: the verdict is applied to the batch's events */
	int			n;
	PcapiBatchEvent *events;	/* in the body's order */
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
	PcapiEventOutcome *settled;
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
};

/* so many in a row pause the destination */
#define PCAPI_MAX_UNREAD	3	/* each may have been processed, so none too many */
#define PCAPI_MAX_BLOCKED	10	/* enough for a few bad events to be told from a destination that takes none */

#endif							/* PCAPI_SENDING_H */
