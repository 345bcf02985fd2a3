/*
 * retention_schedule.c
 *	  When to clear away what is kept too long.
 *
 * Events become final in about the order of their ids, so what is to be deleted
 * stands at the front, and what is to be emptied behind what was emptied last:
 * both are followed for as long as there is something to do.  About the order
 * is not quite, so once a day, and when a worker starts, all are gone over.
 * The statements are in queue/retention.c.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "common/guc.h"
#include "common/subxact.h"
#include "queue/clock_skew.h"
#include "queue/finalize.h"
#include "queue/retention.h"
#include "worker/retention_schedule.h"
#include "worker/xact.h"

/* ms */
#define STEP_INTERVAL_MS			20
#define EVERY		60000
#define ALL_EVERY	(24 * 60 * 60 * 1000L)

/* of the worker's time: a tenth where there is something to do, a hundredth for looking */
#define REST_AFTER_WORK	9
#define REST_AFTER_LOOK	99

typedef enum Walk
{
	ALL,						/* from the first event to the last */
	FRONT,						/* from the first event, while there is something to do */
	STALE,						/* likewise from where that ended the last time */
	VISITORS
} Walk;

static Walk walk = ALL;
static bool begun = false;
static int64 after;				/* where the walk is */
static int64 stale_after = 0;	/* up to here payloads have been emptied */
static PcapiVisitorPlace place;

static int64 at = 0;			/* when the next step is due; 0: soon */
static int64 all_at = 0;		/* and the next walk over all; 0: it is this one, or the next */
static int64 visitors_at = 0;	/* and the next one over visitors */

/* of the last step */
static int64 changed;
static bool more;

static void
cancel_orphans(void *arg)
{
	pcapi_cancel_orphaned_events();
}

static void
fix_future_times(void *arg)
{
	pcapi_fix_future_times();
}

/* Three things that have nothing to do with each other: what stops one is for the next time. */
static void
step(void *arg)
{
	if (walk == VISITORS)
	{
		changed = 0;
		more = pcapi_click_retention_step(pcapi_click_id_retention, &place);
		return;
	}
	if (!begun && walk != STALE)
	{
		(void) pcapi_subxact_error(cancel_orphans, NULL);
		(void) pcapi_subxact_error(fix_future_times, NULL);
	}
	more = pcapi_retention_step(pcapi_retention, pcapi_payload_retention, &after, &changed);
}

static void
begin(Walk next)
{
	walk = next;
	begun = false;
	after = next == STALE ? stale_after : 0;
	memset(&place, 0, sizeof(place));
}

/* After a step: on, or to the next walk; false: that was the last one. */
static bool
advance(int64 now, int64 took)
{
	static int64 visitors_took = 0;

	begun = true;
	if (changed > 0)
		stale_after = Max(stale_after, after);
	switch (walk)
	{
		case ALL:
			if (more)
				return true;
			break;
		case FRONT:
			if (!more || changed == 0)
				begin(STALE);
			return true;
		case STALE:
			if (more && changed > 0)
				return true;
			break;
		case VISITORS:
			visitors_took += took;
			if (more)
				return true;
			visitors_at = now + Max(EVERY, REST_AFTER_LOOK * visitors_took);
			return false;
	}
	if (now < visitors_at)
		return false;
	visitors_took = 0;
	begin(VISITORS);
	return true;
}

/* After a reload the next walk is due, over all where what was passed by may be kept too long now. */
void
pcapi_retention_reloaded(void)
{
	static char *known = NULL;
	char	   *now = psprintf("%s/%s/%s", pcapi_retention, pcapi_payload_retention,
							   pcapi_click_id_retention);

	at = 0;
	if (known && strcmp(known, now) == 0)
	{
		pfree(now);
		return;
	}
	if (known)
	{
		pfree(known);
		all_at = 0;
		visitors_at = 0;
		begin(ALL);
	}
	known = now;
}

void
pcapi_apply_retention(int64 now)
{
	int64		took;
	bool		ok;

	if (at == 0)
		at = now + STEP_INTERVAL_MS;
	if (now < at || DefaultXactReadOnly)
		return;
	ok = pcapi_transaction(step, NULL);
	took = pcapi_clock_ms() - now;
	now += took;
	if (ok && advance(now, took))
	{
		at = now + Max(STEP_INTERVAL_MS, took * (changed > 0 ? REST_AFTER_WORK : REST_AFTER_LOOK));
		return;
	}
	at = now + EVERY;
	if (ok && all_at == 0)
		all_at = now + ALL_EVERY;
	if (all_at != 0 && now < all_at)
		begin(FRONT);
	else
	{
		all_at = 0;
		begin(ALL);
	}
}
