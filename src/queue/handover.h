/*
 * handover.h
 *	  Make the events of a published database final once the dispatchers have them.
 */
#ifndef PCAPI_HANDOVER_H
#define PCAPI_HANDOVER_H

#include "pinterest_capi.h"

#include "access/xlogdefs.h"

/* rows that are handed over together */
typedef struct PcapiHandover
{
	int			n;
	bool		full;			/* there may be more */
	char	   *slots;			/* whose confirmation is waited for */
	Datum	   *dests;			/* n each: integer, bigint, and the xid that made the row of _retry, or 0 */
	Datum	   *ids;
	Datum	   *xmins;
	XLogRecPtr	committed;		/* end of the commit record of the transaction that chose them; the caller fills it in */
} PcapiHandover;

typedef enum PcapiHandoverState
{
	PCAPI_HANDOVER_WAITS,
	PCAPI_HANDOVER_CONFIRMED,
	PCAPI_HANDOVER_STALE		/* the dispatchers are others now: choose again */
} PcapiHandoverState;

/* Choose rows, in a transaction that the caller commits. */
extern bool pcapi_handover_choose(PcapiHandover *rows);

/* Return whether all slots have confirmed that commit. */
extern PcapiHandoverState pcapi_handover_state(const PcapiHandover *rows);

/* Make the rows final. */
extern void pcapi_handover_finish(const PcapiHandover *rows);

#endif							/* PCAPI_HANDOVER_H */
