/*
 * handover.h
 *	  The worker of a published database: what a dispatcher has got, this server is done with.
 */
#ifndef PCAPI_HANDOVER_H
#define PCAPI_HANDOVER_H

#include "pinterest_capi.h"

#include "access/xlogdefs.h"

typedef struct PcapiHandover
{
	int			n;
	bool		full;			/* there may be more */
	char	   *slots;			/* whose confirmation is waited for */
	Datum	   *dests;			/* n each: integer, bigint, and which transaction has queued it */
	Datum	   *ids;
	Datum	   *xmins;
	XLogRecPtr	committed;		/* end of the commit in which they were chosen; the caller's to fill */
} PcapiHandover;

typedef enum PcapiHandoverState
{
	PCAPI_HANDOVER_WAITS,
	PCAPI_HANDOVER_CONFIRMED,
	PCAPI_HANDOVER_STALE		/* other dispatchers than when they were chosen: choose again */
} PcapiHandoverState;

extern bool pcapi_handover_choose(PcapiHandover *few);
extern PcapiHandoverState pcapi_handover_state(const PcapiHandover *few);
extern void pcapi_handover_finish(const PcapiHandover *few);

#endif							/* PCAPI_HANDOVER_H */
