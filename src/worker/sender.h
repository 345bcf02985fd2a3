/*
 * sender.h
 *	  A destination as the worker sees it: its settings, how far its queue
 *	  is read, its batches.
 */
#ifndef PCAPI_SENDER_H
#define PCAPI_SENDER_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "core/rate_limiter.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "queue/destination_config.h"
#include "queue/id_ranges.h"
#include "worker/batch.h"

/* So many in a row pause the destination. */
#define PCAPI_MAX_UNREAD	3	/* few, since each of these events may have been processed */
#define PCAPI_MAX_BLOCKED	10	/* enough to tell a few bad events from a destination that accepts none */

/*
 * How far the fresh (never tried) events of a destination are read, by id:
 *
 *         low_water       mark       high_water
 *             |             |             |
 *    ---------+-------------+-------------+---------> ids
 *    all rows | rows may still be         | no row
 *    are read | committed                 | is read
 *
 * Ids are drawn in one order and committed in another.  So up to high_water
 * there can be rows that were not visible when position passed them: those
 * of the ids in unread.  rescan.c finds the ranges that have become visible,
 * and moves them to late.  Up to low_water there are none: enqueue.c assigns
 * its transaction's id before it draws an event's id, so once all transactions
 * older than mark_xid have ended, each row up to mark is visible or rolled
 * back, and mark becomes low_water.
 */
typedef struct PcapiQueueCursor
{
	int64		position;		/* the last id read */
	int64		high_water;		/* the highest id ever read, of any destination */
	int64		low_water;
	int64		mark;
	TransactionId mark_xid;		/* next transaction id when mark was set; invalid: no mark */
	TimestampTz rescan_at;		/* next rescan, even without a wake-up */
	TimestampTz no_rescan_before;
	TimestampTz full_rescan_at; /* next read from the first id, without relying on any of the above */
} PcapiQueueCursor;

/*
 * A destination's states, as the worker sees them:
 *
 *               +--------- an answer about events ---------+
 *               v                                          |
 *    load --> ready -------------- back_off() ------------> failing
 *      ^        |                                          |
 *      |        | pause_sender(), or a session             |
 *      |        v                                          |
 *      +----- paused <-------------------------------------+
 *    resumed or
 *    configured
 *
 *    any state -- drop_destination --> dropped -- its last batch ends --> (freed)
 *
 *    ready        config.ready, refusals is 0
 *    failing      config.ready, refusals > 0: one request at a time, and none
 *                 before config.backoff_until
 *    paused       not config.ready: no request but verify_destination's.  The
 *                 same holds where it is disabled.
 *    dropped      not exists: no request at all
 *
 * Failing and pause are in the tables too, so that the next worker starts in the
 * same state.
 */
struct PcapiSender
{
	dlist_node	node;			/* in pcapi_sender_list */
	PcapiDestinationConfig config;	/* as of the last load */
	bool		exists;			/* the destination is not dropped */
	PcapiQueueCursor cursor;
	PcapiQueueCursor committed_cursor;	/* as of the last commit */
	bool		positioned;		/* the cursor has a place */
	PcapiIdRanges unread;		/* ids up to high_water whose rows weren't visible */
	PcapiIdRanges late;			/* ranges of such ids where some are visible now, to be read next */
	int64		done_below;		/* as of the last commit: pcapi_sender_done_below() */
	TimestampTz done_at;		/* when it was last written by itself */
	PcapiLimiter limiter;

	/* Counted in a row; an answer about events sets them to 0. */
	int			refusals;		/* of the destination as a whole: decides the backoff */
	int			unreadable;		/* successes whose body cannot be read */
	int			blocked;		/* refusals in other words than the API's */

	TimestampTz refused_at;		/* the last refusal */
	TimestampTz last_verdicts_start;	/* start of the latest request with a verdict for each event */
	TimestampTz last_start;		/* start of the latest request */
	bool		last_batch_full;	/* more events wait, probably */
	TimestampTz retry_after;	/* no request before, since the API asked for that beside a success; 0: any time */
	TimestampTz next_due;		/* the earliest due time of its retries; 0: none */
	int			poll_failures;	/* in a row, of its own polls (poll_one_by_one) */
	TimestampTz next_poll_at;	/* no poll before; 0: any time */
	dlist_head	batches;
};

extern dlist_head pcapi_sender_list;

/* Return the sender, or the batch, that a list's node belongs to; NULL at the list's end. */
static inline PcapiSender *
pcapi_sender_of_node(dlist_node *node)
{
	return node == &pcapi_sender_list.head ? NULL : dlist_container(PcapiSender, node, node);
}

static inline PcapiBatch *
pcapi_batch_of_node(PcapiSender *sender, dlist_node *node)
{
	return node == &sender->batches.head ? NULL : dlist_container(PcapiBatch, node, node);
}

/*
 * Loop over the senders, or over a sender's batches.  The body may free the
 * current one and no other, and does not see what it adds.
 */
#define pcapi_foreach_sender(sender) \
	for (PcapiSender *sender = pcapi_sender_of_node(pcapi_sender_list.head.next), *next_##sender; \
		 sender != NULL && (next_##sender = pcapi_sender_of_node(sender->node.next), true); \
		 sender = next_##sender)

#define pcapi_foreach_batch(sender, batch) \
	for (PcapiBatch *batch = pcapi_batch_of_node(sender, (sender)->batches.head.next), *next_##batch; \
		 batch != NULL && (next_##batch = pcapi_batch_of_node(sender, batch->node.next), true); \
		 batch = next_##batch)

/* In a transaction: update the senders from the tables. */
extern void pcapi_senders_load(void);

/*
 * In a transaction: update one sender, which exists, from the tables.  False: its
 * destination is not there any more.
 */
extern bool pcapi_sender_reload(PcapiSender *sender);

/* The transaction is committed: keep cursors and claims. */
extern void pcapi_senders_commit(void);

/* The transaction has failed: set cursors and claims back to the last commit. */
extern void pcapi_senders_rollback(void);

/* The wall clock was set back: forget all times by it that are kept in memory alone. */
extern void pcapi_senders_clock_back(void);

/* Return the sender of an existing destination, or NULL. */
extern PcapiSender *pcapi_sender_by_name(const char *destination);

/* Return the sender with a number; where there is none, create one as of a dropped destination. */
extern PcapiSender *pcapi_sender_for(int dest);

/* Return when the next request may start; DT_NOEND: not by time alone. */
extern TimestampTz pcapi_sender_next_start(PcapiSender *sender, TimestampTz now);

/*
 * Return an id so that each event of the destination up to it has an outcome or a row in
 * _retry, once a batch (or NULL) is settled.
 */
extern int64 pcapi_sender_done_below(PcapiSender *sender, const PcapiBatch *settled);

/* Have the event read again, before others. */
extern void pcapi_sender_requeue(PcapiSender *sender, int64 id);

/* Return whether one of the batches holds the event; for PcapiPayloadBudget, so sender is a void pointer. */
extern bool pcapi_sender_holds(void *sender, int64 id);

/* Return how many events the batches hold. */
extern int	pcapi_sender_count_held(PcapiSender *sender);

#endif							/* PCAPI_SENDER_H */
