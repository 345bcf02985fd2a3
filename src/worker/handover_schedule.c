/*
 * handover_schedule.c
 *	  Once a second, in a published database: end the events that the dispatcher
 *	  has received.
 *
 * Events are handed over in groups.  A transaction chooses a group; once every
 * dispatcher's slot has confirmed that transaction's commit, another one ends
 * the group's events.
 *
 *    (no group) -- choose --> chosen -- confirmed --> finish --> (no group)
 *                               |
 *                               +-- the dispatchers have changed --> (no group)
 *
 * Left to others: the statements, and why a confirmed commit is proof
 * (src/queue/handover.c).
 */
#include "pinterest_capi.h"

#include "access/xlog.h"
#include "queue/handover.h"
#include "utils/memutils.h"
#include "worker/handover_schedule.h"
#include "worker/xact.h"

/* Full groups that are handed over in a row, before the worker does other work. */
#define GROUPS_MAX	10

static PcapiHandover group;		/* n 0: no group waits */
static MemoryContext group_context;

static void finish(void *arg);
static void choose(void *arg);

void
pcapi_continue_handover(void)
{
	if (group_context == NULL)
		group_context = AllocSetContextCreate(TopMemoryContext, "pinterest_capi handover",
											  ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < GROUPS_MAX; i++)
	{
		PcapiHandoverState state = PCAPI_HANDOVER_STALE;
		PcapiHandover next;
		bool		more = true;

		if (group.n > 0)
		{
			if (!pcapi_transaction(finish, &state) || state == PCAPI_HANDOVER_WAITS)
				return;
			more = group.full || state == PCAPI_HANDOVER_STALE;
			group.n = 0;
		}
		MemoryContextReset(group_context);
		if (!more || !pcapi_transaction(choose, &next))
			return;
		group = next;
		group.committed = XactLastCommitEnd;
	}
}

/* In a transaction: end the events of the group, if the dispatchers have received it. */
static void
finish(void *arg)
{
	PcapiHandoverState *state = arg;

	*state = pcapi_handover_state(&group);
	if (*state == PCAPI_HANDOVER_CONFIRMED)
		pcapi_handover_finish(&group);
}

/* In a transaction: choose the next group, which counts once it is committed. */
static void
choose(void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(group_context);

	(void) pcapi_handover_choose(arg);
	MemoryContextSwitchTo(old);
}
