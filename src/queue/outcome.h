/*
 * outcome.h
 *	  What became of an event: its final status, and the statement that writes it.
 */
#ifndef PCAPI_OUTCOME_H
#define PCAPI_OUTCOME_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "storage/itemptr.h"

/* how the error and the reason of an event begin whose payload cannot be read; doctor() looks for it */
#define PCAPI_UNREADABLE "payload cannot be read"

typedef enum PcapiOutcome
{
	PCAPI_RELEASE,				/* as if it had never been taken */
	PCAPI_SENT,
	PCAPI_FAILED,
	PCAPI_EXPIRED,
	PCAPI_RETRY
} PcapiOutcome;

typedef struct PcapiEventOutcome
{
	int64		id;
	ItemPointerData tid;		/* as claimed, as the next two; it may be another row's by now */
	TransactionId xmin;
	TimestampTz created_at;		/* of the event that is meant; 0: whichever has the id */
	PcapiOutcome outcome;
	bool		attempted;		/* counts as an attempt */
	bool		test_mode;		/* of the request: Pinterest checks and discards */
	int			http_status;	/* 0: none */
	int64		delay_ms;		/* PCAPI_RETRY: from now */
	const char *reason;			/* or NULL, as the next two; database's encoding */
	const char *error;
	const char *warning;		/* of something final: may be several, a line each */
} PcapiEventOutcome;

/* what has become of one of them */
typedef enum PcapiWritten
{
	PCAPI_NOT_THERE,			/* it waits no longer, or is another event */
	PCAPI_WRITTEN,
	PCAPI_LEFT					/* it waits, and could not be written */
} PcapiWritten;

/*
 * An outcome for a row that leaves the queue.  There may be one already, where
 * somebody has put the row back by hand: the newer one counts, and nothing
 * stands still because of it.
 */
#define PCAPI_OUTCOME_LIST \
	"id, finished_at, last_attempt_at, dest, attempts, http_status, status, reason, error, warnings, test_mode"

/*
 * The warnings about an event's way that are of our own, and quote nothing:
 * forget() leaves these in a row, and no others.
 */
#define PCAPI_WARNING_UNKNOWN		"outcome of an earlier attempt unknown"
#define PCAPI_WARNING_LATE			"sent more than an hour after its time, so Pinterest counts it as offline"
#define PCAPI_WARNING_IN_REQUEST	"ended during a request, Pinterest may have processed it"
#define PCAPI_WARNING_PUBLISHED		"published, the dispatcher may send it"

extern const char *pcapi_outcome_name(PcapiOutcome outcome);	/* as status */

/*
 * The plan of an INSERT into _outcome, prepared and kept; %s stands where ON
 * CONFLICT does, which takes an index that may be missing: then a second
 * outcome is better than none.  Two plans, of which the table as it is now
 * decides; it is locked.
 */
extern SPIPlanPtr pcapi_outcome_plan(SPIPlanPtr plans[2], const char *sql, int nargs, Oid *argtypes);

#endif							/* PCAPI_OUTCOME_H */
