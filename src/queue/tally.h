/*
 * tally.h
 *	  Count events in the worker's memory, as the statistics count them.
 */
#ifndef PCAPI_TALLY_H
#define PCAPI_TALLY_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "executor/tuptable.h"

/* the kind of an event that is not counted in memory */
#define PCAPI_KIND_UNKNOWN	0

/* what of an event is counted, besides its hour and its status */
typedef struct PcapiCounted
{
	int64		amount;			/* its value in ten-thousandths, 0: none */
	int16		kind;			/* destination, name, sent_as and currency; or PCAPI_KIND_UNKNOWN */
	char		carries;		/* PCAPI_CARRIES_... */
	bool		stand_in;		/* the value is the destination's default */
} PcapiCounted;

/* Read it from a row of _event. */
extern void pcapi_counted_read(PcapiCounted *counted, int dest, TupleTableSlot *event);

/* sums of events, in the memory context in which the tally was made */
typedef struct PcapiTally PcapiTally;

extern PcapiTally *pcapi_tally_make(void);

/* Add an event, or with the sign -1 take one off.  The status is a constant; the reason is kept as it is, or NULL. */
extern void pcapi_tally_add(PcapiTally *tally, int sign, TimestampTz created_at, const PcapiCounted *counted,
							const char *status, const char *reason, bool test_mode);

extern bool pcapi_tally_is_empty(const PcapiTally *tally);

/* Return the sums as an array of rows of _statistics, and the array's type. */
extern Datum pcapi_tally_rows(const PcapiTally *tally, Oid *type);

#endif							/* PCAPI_TALLY_H */
