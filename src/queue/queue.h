/*
 * queue.h
 *	  Every statement on the tables event, queue, outcome and lease.
 *
 * The caller's session comes in by enqueue.c, the worker by claim.c and
 * settle.c; neither knows the other.
 */
#ifndef PCAPI_QUEUE_H
#define PCAPI_QUEUE_H

#include "pinterest_capi.h"

#include "access/xact.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"

/* --- enqueue.c --- */

/*
 * One row of the event table.  status NULL queues it; any other status is
 * final ("rejected", "suppressed", "expired") and reason says why.
 * Strings are in the database's encoding.  Must not hold raw identifiers.
 */
typedef struct PcapiNewEvent
{
	int			dest;			/* number of the destination, 0: none */
	const char *destination;	/* its name, or NULL */
	TimestampTz event_time;
	const unsigned char *visitor;	/* 32 bytes, or NULL */
	const char *event_id;
	bool		event_id_generated; /* fresh: can't be there already */
	const char *event_name;
	const char *sent_as;		/* or NULL */
	List	   *warnings;		/* of char *, or NIL */
	const char *payload;		/* JSON text, or NULL */
	const char *status;			/* NULL: queue it */
	const char *reason;

	/* of an event that was tracked on another server; else 0 and NULL */
	TimestampTz created_at;
	const char *origin;
} PcapiNewEvent;

/*
 * Insert in the current transaction; false when this event_id was there
 * already for the same destination and event.  Call as the extension's owner
 * (pcapi_become_owner), outside SPI or inside.
 */
extern bool pcapi_enqueue(const PcapiNewEvent *ev);

/* the destination's number, made when it has none yet; as owner */
extern int	pcapi_destination_number(const char *destination, bool create);

extern Datum pcapi_text_array(List *strings);	/* text[] of char * */

/*
 * The plan, prepared and kept at the first call of this session; inside SPI.
 *
 * Nothing may depend on what the planner believes of a table's size: an ANALYZE
 * during a bulk import that isn't committed counts no rows.  For a join it
 * then reads from end to end what it takes for empty, by index too, once for
 * each row of the other side.  So rows of long tables are found by key: id =
 * ANY (an array), a LATERAL subquery with OFFSET 0, or PCAPI_QUEUED_AS.
 */
extern SPIPlanPtr pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *argtypes);

/*
 * The row q of _queue for dest and id of r, a subquery or function that isn't
 * flattened; with sequential scans, hash and merge joins off.  An equality of
 * dest would be good for a merge join, so an index scan without a condition
 * would count as worth having; ANY of a whole array could be left to a filter.
 */
#define PCAPI_QUEUED_AS(r) " q.dest = ANY (ARRAY[" r ".dest]) AND q.id = " r ".id"

/*
 * An INSERT ... ON CONFLICT of a kept plan, inside SPI: also while the table's
 * indexes are rebuilt by REINDEX CONCURRENTLY, when the server alone would
 * raise a unique violation now and then.  False: no row was inserted or updated.
 */
extern bool pcapi_execute_upsert(PcapiTable table, SPIPlanPtr plan, Datum *values, const char *nulls);

/*
 * An outcome for a row that leaves the queue.  There may be one already, where
 * somebody has put the row back by hand: the newer one counts, and nothing
 * stands still because of it.
 */
#define PCAPI_OUTCOME_LIST \
	"id, finished_at, last_attempt_at, dest, attempts, http_status, status, reason, error, warnings, test_mode"

/*
 * The plan of an INSERT into _outcome, prepared and kept; %s stands where ON
 * CONFLICT does, which takes an index that may be missing: then a second
 * outcome is better than none.  Two plans, of which the table as it is now
 * decides; it is locked.
 */
extern SPIPlanPtr pcapi_outcome_plan(SPIPlanPtr plans[2], const char *sql, int nargs, Oid *argtypes);

/*
 * The warnings about an event's way that are of our own, and quote nothing:
 * forget() leaves these in a row, and no others.
 */
#define PCAPI_WARNING_UNKNOWN		"outcome of an earlier attempt unknown"
#define PCAPI_WARNING_LATE			"sent more than an hour after its time, so Pinterest counts it as offline"
#define PCAPI_WARNING_IN_REQUEST	"ended during a request, Pinterest may have processed it"
#define PCAPI_WARNING_PUBLISHED		"published, the dispatcher may send it"

/* --- event_id.c --- */

#define PCAPI_EVENT_ID_MAX	200 /* bytes */

extern char *pcapi_make_event_id(TimestampTz now);
extern void pcapi_random_bytes(unsigned char *to, size_t len);	/* a few at a time */

/*
 * An event_id as it is stored: itself, or the SHA-256 of one that is too long
 * or somebody's address; *why says so, or is NULL.
 */
extern char *pcapi_stored_event_id(char *given, const char **why);

/* whether an event of this id, name and destination's number is kept; as the extension's owner */
extern bool pcapi_event_exists(const char *event_id, const char *event_name, int dest);

/* --- erase.c --- */

/* whether jsonb can hold it, without raising an error */
extern bool pcapi_is_json_object(char *json);

/* --- publish.c --- */

/* whether another server sends what is queued here; needs a transaction */
extern bool pcapi_published(void);

#define PCAPI_PUBLICATION	"pinterest_capi"

/* --- wake.c: the one thing that session and worker share beside the tables --- */

extern void pcapi_wake_at_commit(void);
extern void pcapi_wake_xact_event(XactEvent event);
extern void pcapi_worker_relcache_changed(Oid relid);

/* the token's two halves; text is masked or unmasked in place by XOR */
extern void pcapi_xor(char *data, const char *pad, size_t len);

#endif							/* PCAPI_QUEUE_H */
