/*
 * batch.h
 *	  The events of one request, from the claim to the settled outcome.
 */
#ifndef PCAPI_BATCH_H
#define PCAPI_BATCH_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "queue/outcome.h"
#include "queue/payload.h"
#include "storage/itemptr.h"
#include "worker/response.h"
#include "worker/transfer.h"

/* Maximum size of a request's body in bytes. */
#define PCAPI_MAX_BODY	(2 * 1024 * 1024)

/*
 * The states of a batch.  A batch holds its events, so that no other batch
 * claims them; only a TAKEN one does not.
 *
 *      a poll claims     part of a refused       lease of a worker
 *         events             batch                that has ended
 *           |                  |                        |
 *           |                SPLIT <------+             |
 *           |                  |          | rollback    |
 *           |    a poll claims |          |             |
 *           |    its events    v          |             |
 *           |                TAKEN -------+             |
 *           |                  | commit                 |
 *           |                  v                        |
 *           |               (freed)                     |
 *           v                                           |
 *        CLAIMED -- rollback --> (freed)                |
 *           | commit of the lease;                      |
 *           v the request starts                        |
 *       IN_FLIGHT                                       |
 *           | the request ends, with                    |
 *           v an answer or without                      v
 *        ANSWERED -- some rows are not settled --> PARTLY_SETTLED
 *           |                                           |
 *           | all rows are settled                      | all rows are settled
 *           v                                           v
 *        (freed)                                     (freed)
 *
 * A SPLIT is freed too where its destination is paused or dropped.
 *
 * Rows are not settled where another transaction has locked them or where
 * writing them fails.  If the settling transaction itself fails (a full disk),
 * the batch keeps its state.  Either way the worker retries later.
 *
 * While a batch is ANSWERED, its destination starts no request, so that no
 * second answer is added to one that cannot be written.  PARTLY_SETTLED stops
 * its destination only beyond MAX_UNSETTLED_EVENTS (sender.c).
 */
typedef enum PcapiBatchState
{
	PCAPI_BATCH_SPLIT,			/* part of a refused batch: only ids, no lease */
	PCAPI_BATCH_TAKEN,			/* a SPLIT whose events this transaction claims in another batch */
	PCAPI_BATCH_CLAIMED,		/* its lease is not committed yet */
	PCAPI_BATCH_IN_FLIGHT,		/* its request is in flight */
	PCAPI_BATCH_ANSWERED,		/* its request has ended; nothing is settled */
	PCAPI_BATCH_PARTLY_SETTLED	/* what it still holds could not be settled */
} PcapiBatchState;

/* An event as it was claimed. */
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
	PcapiCounted counted;
	bool		offline;
} PcapiBatchEvent;

typedef struct PcapiSender PcapiSender;
typedef struct PcapiBatch PcapiBatch;
typedef void (*PcapiAnswerHandler) (PcapiBatch *batch, const PcapiAnswer *answer);

struct PcapiBatch
{
	dlist_node	node;			/* in sender->batches */
	MemoryContext context;		/* of the batch itself and all that it points to */
	PcapiSender *sender;
	PcapiBatchState state;
	bool		verify;			/* verify_destination's: it has no rows */
	bool		test_mode;		/* of the request, as it was started */
	uint32		verify_no;		/* number of verify_destination's question */
	PcapiAnswerHandler on_answer;	/* NULL: pcapi_apply_verdict() */
	int			n;				/* events, or ids where only these are known */
	PcapiBatchEvent *events;	/* in the body's order */
	int64	   *ids;			/* sorted */
	int64		first_fresh;	/* no lower id may be without a row in _retry */
	StringInfoData body;
	int64		lease;
	TimestampTz sent_at;		/* start of the request */
	int64		started_ms;		/* the same by pcapi_clock_ms(); 0: libcurl did not get the request */
	TimestampTz refused_since;	/* start of the request that was split first; 0: none was */
	int			life;			/* of the destination, at the claim */
	char	   *url;
	char	   *token;
	PcapiRequest request;

	/* Set when the request ends: what is to be written. */
	PcapiEventOutcome *outcomes;
	int			n_outcomes;
	bool		accepted;		/* the API accepted at least one event */
	bool		recovered;		/* the request started after the destination's last refusal, and ends its backoff */
	char	   *error;			/* or NULL, as the next two */
	char	   *backoff_reason;
	char	   *pause_reason;
	int64		backoff_ms;

	/* Set by each settling. */
	PcapiWritten *written;		/* one for each of the outcomes */
	char	   *settle_problem; /* why rows are not settled; NULL: other transactions have locked them */
	bool		paused;			/* it paused the destination */
	int			settle_failures;	/* in a row */
	TimestampTz next_settle_at;
};

/* Create a batch in state CLAIMED with room for so many events, and add it to the sender's. */
extern PcapiBatch *pcapi_batch_create(PcapiSender *sender, int room);

/* Add an event.  Return false where the body would become too large; the first event always fits. */
extern bool pcapi_batch_add(PcapiBatch *batch, const PcapiQueuedEvent *event, const char *payload, int len);

/* End the body and list the ids: no event is added after that. */
extern void pcapi_batch_seal(PcapiBatch *batch);

/* Sort the ids, which pcapi_batch_holds() searches. */
extern void pcapi_batch_sort_ids(PcapiBatch *batch);

/* Return whether the event is in the batch. */
extern bool pcapi_batch_holds(const PcapiBatch *batch, int64 id);

/* Remove the batch from its sender and free it; its token is overwritten. */
extern void pcapi_batch_free(PcapiBatch *batch);

#endif							/* PCAPI_BATCH_H */
