/*
 * outcome.h
 *	  The final status of an event, and the statement that writes it.
 */
#ifndef PCAPI_OUTCOME_H
#define PCAPI_OUTCOME_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "queue/tally.h"
#include "storage/itemptr.h"

/* begin of the error and the reason of an event whose payload cannot be read; views.sql and doctor.sql compare with it */
#define PCAPI_UNREADABLE "payload cannot be read"

/* what becomes of an event after a request */
typedef enum PcapiOutcome
{
	PCAPI_RELEASE,				/* nothing: it waits as before */
	PCAPI_SENT,
	PCAPI_FAILED,
	PCAPI_EXPIRED,
	PCAPI_RETRY
} PcapiOutcome;

/* an event to be settled */
typedef struct PcapiEventOutcome
{
	int64		id;
	ItemPointerData tid;		/* place of the event's row when it was read; another row may stand there now */
	TransactionId xmin;			/* the row's, when it was read */
	TimestampTz created_at;		/* of the event; 0: any event with the id is meant */
	PcapiOutcome outcome;
	bool		attempted;		/* counts as an attempt */
	PcapiCounted counted;		/* if tid is valid */
	bool		test_mode;		/* of the request: Pinterest checks and discards */
	int			http_status;	/* 0: none */
	int64		delay_ms;		/* PCAPI_RETRY: from now */
	const char *reason;			/* or NULL, as the next two; in the database's encoding */
	const char *error;
	const char *warning;		/* a final outcome may have several, a line each */
} PcapiEventOutcome;

/* whether an outcome was written */
typedef enum PcapiWritten
{
	PCAPI_NOT_THERE,			/* the event waits no more, or is another one */
	PCAPI_WRITTEN,
	PCAPI_LEFT					/* the event waits, and its outcome could not be written */
} PcapiWritten;

/* The columns of an INSERT into _outcome for events that have waited. */
#define PCAPI_OUTCOME_LIST \
	"id, finished_at, last_attempt_at, dest, attempts, http_status, status, reason, error, warnings, test_mode"

/*
 * The extension's own warnings about the delivery of an event.  They quote nothing:
 * forget() leaves these in a row, and no others.
 */
#define PCAPI_WARNING_UNKNOWN		"outcome of an earlier attempt unknown"
#define PCAPI_WARNING_LATE			"sent more than an hour after its time, so Pinterest counts it as offline"
#define PCAPI_WARNING_IN_REQUEST	"ended during a request, Pinterest may have processed it"
#define PCAPI_WARNING_PUBLISHED		"published, the dispatcher may send it"

/* Return the outcome as the status of a row, or an empty string if it is not final. */
extern const char *pcapi_outcome_name(PcapiOutcome outcome);

/*
 * Return the plan of an INSERT into _outcome, which is prepared and kept.  In sql, %s
 * stands in the place of ON CONFLICT DO NOTHING: the first outcome of an event stays.
 * ON CONFLICT needs an index that may be missing, and no rules; then a second outcome is
 * better than none.  So there are two plans: the table, which is locked here, decides.
 */
extern SPIPlanPtr pcapi_outcome_plan(SPIPlanPtr plans[2], const char *sql, int nargs, Oid *argtypes);

/* ---- outcomes of transactions that are not over ---- */

/* the outcome of an event */
typedef enum PcapiOutcomeState
{
	PCAPI_OUTCOME_NONE,
	PCAPI_OUTCOME_THERE,
	PCAPI_OUTCOME_PENDING		/* another transaction is inserting or deleting it */
} PcapiOutcomeState;

/* a scan that looks at outcomes, without waiting for anybody */
typedef struct PcapiOutcomeLook PcapiOutcomeLook;

/* Begin looking.  NULL: the table has no index that can be read; then each outcome would be NONE. */
extern PcapiOutcomeLook *pcapi_outcome_look_begin(void);
extern PcapiOutcomeState pcapi_outcome_look(PcapiOutcomeLook *look, int64 id);
extern void pcapi_outcome_look_end(PcapiOutcomeLook *look);

/* Return those of the ids, a bigint[], whose outcome isn't PENDING. */
extern Datum pcapi_without_pending(Datum ids);

#endif							/* PCAPI_OUTCOME_H */
