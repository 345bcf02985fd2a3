/*
 * handover_schedule.c
 *	  Once a second, in a published database: what has the dispatcher got?
 *
 * A turn is done with the few rows that the last one chose, if they have
 * arrived, and chooses the next.  Statements are in src/queue/handover.c.
 */
#include "pinterest_capi.h"

#include "access/xlog.h"
#include "queue/handover.h"
#include "utils/memutils.h"
#include "worker/handover_schedule.h"
#include "worker/xact.h"

/* full turns one after the other, before others have theirs */
#define TURNS_MAX	10

static MemoryContext few_context;
static PcapiHandover few;		/* n 0: none is waited for */

static void
finish(void *arg)
{
	PcapiHandoverState *state = arg;

	*state = pcapi_handover_state(&few);
	if (*state == PCAPI_HANDOVER_CONFIRMED)
		pcapi_handover_finish(&few);
}

static void
choose(void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(few_context);

	(void) pcapi_handover_choose(arg);
	MemoryContextSwitchTo(old);
}

void
pcapi_handover(void)
{
	if (few_context == NULL)
		few_context = AllocSetContextCreate(TopMemoryContext, "pinterest_capi handover",
											ALLOCSET_DEFAULT_SIZES);
	for (int turn = 0; turn < TURNS_MAX; turn++)
	{
		PcapiHandoverState state = PCAPI_HANDOVER_STALE;
		PcapiHandover next;
		bool		more = true;

		if (few.n > 0)
		{
			if (!pcapi_transaction(finish, &state) || state == PCAPI_HANDOVER_WAITS)
				return;
			more = few.full || state == PCAPI_HANDOVER_STALE;
			few.n = 0;
		}
		MemoryContextReset(few_context);
		if (!more || !pcapi_transaction(choose, &next))
			return;
		few = next;
		few.committed = XactLastCommitEnd;
	}
}
