/*
 * retention_schedule.c
 *	  Decide when the worker deletes what is kept too long.
 *
 * Events become final in about the order of their ids.  So events to be deleted
 * stand at the front, and payloads to be emptied stand behind those that were
 * emptied last.  Once a minute two passes follow both, for as long as they find
 * something to do.  The order is only approximate, so once a day, at the start
 * of a worker, and after a change of the settings a pass reads all events.
 *
 *    once a day:     FULL ------------> VISITORS --> pause
 *    once a minute:  FRONT --> STALE -> VISITORS --> pause
 *
 * VISITORS is skipped while its own interval lasts.
 * A pass makes steps of a few rows, each in a transaction of its own, and pauses
 * in between.
 *
 * Left to others: the statements of a step (src/queue/retention.c).
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

#define STEP_INTERVAL_MS		20	/* at least, from step to step */
#define PASS_INTERVAL_MS		60000
#define FULL_PASS_INTERVAL_MS	(24 * 60 * 60 * 1000L)

/* The pause after a step, as a multiple of its duration: a tenth of the time where there is work, else a hundredth. */
#define REST_AFTER_WORK	9
#define REST_AFTER_SCAN	99

typedef enum RetentionPass
{
	PASS_FULL,					/* from the first event to the last */
	PASS_FRONT,					/* from the first event, while steps find something */
	PASS_STALE,					/* likewise, from the payload that was emptied last */
	PASS_VISITORS				/* over the click ids of all visitors */
} RetentionPass;

static RetentionPass pass = PASS_FULL;
static bool begun = false;		/* a step of this pass is done */
static int64 after;				/* the id up to which this pass has come */
static int64 stale_after = 0;	/* the id up to which payloads are emptied */
static PcapiVisitorPlace place; /* likewise of visitors */

static int64 step_at = 0;		/* when the next step is due; 0: soon */
static int64 full_pass_at = 0;	/* when the next full pass is due; 0: this one is it, or the next */
static int64 visitors_at = 0;	/* when the next pass over visitors is due */

/* Of the last step. */
static int64 changed;
static bool more;

static void step(void *arg);
static void cancel_orphans(void *arg);
static void fix_future_times(void *arg);
static bool advance(int64 now, int64 took);
static void begin(RetentionPass next);

void
pcapi_retention_reloaded(void)
{
	static char *known = NULL;
	char	   *now = psprintf("%s/%s/%s", pcapi_retention, pcapi_payload_retention,
							   pcapi_click_id_retention);

	step_at = 0;
	if (known && strcmp(known, now) == 0)
	{
		pfree(now);
		return;
	}
	/* By the new settings, rows that earlier passes have read may be kept too long. */
	if (known)
	{
		pfree(known);
		full_pass_at = 0;
		visitors_at = 0;
		begin(PASS_FULL);
	}
	known = now;
}

void
pcapi_apply_retention(int64 now)
{
	int64		took;
	bool		ok;

	if (step_at == 0)
		step_at = now + STEP_INTERVAL_MS;
	if (now < step_at || DefaultXactReadOnly)
		return;
	ok = pcapi_transaction(step, NULL);
	took = pcapi_clock_ms() - now;
	now += took;
	if (ok && advance(now, took))
	{
		step_at = now + Max(STEP_INTERVAL_MS, took * (changed > 0 ? REST_AFTER_WORK : REST_AFTER_SCAN));
		return;
	}

	/* The passes are done, or a step failed: pause, then begin with the first one. */
	step_at = now + PASS_INTERVAL_MS;
	if (ok && full_pass_at == 0)
		full_pass_at = now + FULL_PASS_INTERVAL_MS;
	if (full_pass_at != 0 && now < full_pass_at)
		begin(PASS_FRONT);
	else
	{
		full_pass_at = 0;
		begin(PASS_FULL);
	}
}

/*
 * In a transaction: make a step.  The first one of a pass over events also
 * cancels orphans and fixes future times.  These are independent of each other,
 * so an error in one of them does not stop the step; the next pass repeats it.
 */
static void
step(void *arg)
{
	if (pass == PASS_VISITORS)
	{
		changed = 0;
		more = pcapi_click_retention_step(pcapi_click_id_retention, &place);
		return;
	}
	if (!begun && pass != PASS_STALE)
	{
		(void) pcapi_subxact_error(cancel_orphans, NULL);
		(void) pcapi_subxact_error(fix_future_times, NULL);
	}
	more = pcapi_retention_step(pcapi_retention, pcapi_payload_retention, &after, &changed);
}

/* In a subtransaction: call pcapi_cancel_orphaned_events(). */
static void
cancel_orphans(void *arg)
{
	pcapi_cancel_orphaned_events();
}

/* In a subtransaction: call pcapi_fix_future_times(). */
static void
fix_future_times(void *arg)
{
	pcapi_fix_future_times();
}

/* After a step: stay in the pass, or begin the next one.  Return false where all passes are done. */
static bool
advance(int64 now, int64 took)
{
	static int64 visitors_took = 0;

	begun = true;
	if (changed > 0)
		stale_after = Max(stale_after, after);
	switch (pass)
	{
		case PASS_FULL:
			if (more)
				return true;
			break;
		case PASS_FRONT:
			if (!more || changed == 0)
				begin(PASS_STALE);
			return true;
		case PASS_STALE:
			if (more && changed > 0)
				return true;
			break;
		case PASS_VISITORS:
			visitors_took += took;
			if (more)
				return true;
			visitors_at = now + Max(PASS_INTERVAL_MS, REST_AFTER_SCAN * visitors_took);
			return false;
	}
	if (now < visitors_at)
		return false;
	visitors_took = 0;
	begin(PASS_VISITORS);
	return true;
}

/* Begin a pass. */
static void
begin(RetentionPass next)
{
	pass = next;
	begun = false;
	after = next == PASS_STALE ? stale_after : 0;
	memset(&place, 0, sizeof(place));
}
