/*
 * statistics_schedule.c
 *	  Decide when the worker counts events for the statistics.
 *
 * A step costs little if the events are remembered: it is taken some times a second
 * while there is something to count, and else once a second.  Reading other events
 * takes time from sending, and those that wait are likely to be sent before long.
 * So while requests are in flight a step reads few, unless the statistics are
 * far behind, and for no more than a fiftieth of the time.
 *
 * Left to others: what a step does (src/queue/statistics_count.c).
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "common/guc.h"
#include "queue/statistics_count.h"
#include "queue/statistics_days.h"
#include "worker/statistics_schedule.h"
#include "worker/xact.h"

#define STEP_INTERVAL_MS		200
#define IDLE_INTERVAL_MS		1000
#define DAYS_INTERVAL_MS		(60 * 1000)
#define RETENTION_INTERVAL_MS	(60 * 60 * 1000)

/* events that a step reads, and while requests are in flight */
#define READ_PER_STEP			4000
#define READ_PER_STEP_BUSY		40

/* The pause after reading, as a multiple of its duration. */
#define REST_BUSY				49
#define REST_IDLE				9

/* Once there has been more to count for so long, a step reads as many as when idle. */
#define BEHIND_MS				10000

static int64 step_at = 0;
static int64 read_at = 0;		/* when events may be read next */
static int64 caught_up_at = 0;	/* when there was last nothing more to count */

static void step(void *arg);
static void sum_days(int64 now);
static void sum_days_step(void *arg);
static void delete_old(int64 now);
static void delete_step(void *arg);

long
pcapi_count_statistics(int64 now, bool busy)
{
	PcapiCountStep s = {0};
	bool		few;
	int64		took;

	if (now < step_at)
		return (long) (step_at - now);
	if (caught_up_at == 0)
		caught_up_at = now;
	few = busy && now - caught_up_at < BEHIND_MS;
	step_at = now + IDLE_INTERVAL_MS;
	if (now >= read_at)
		s.budget = few ? READ_PER_STEP_BUSY : READ_PER_STEP;
	if (DefaultXactReadOnly || pcapi_replicates)
		return IDLE_INTERVAL_MS;
	if (!pcapi_snapshot_transaction(step, &s))
		return IDLE_INTERVAL_MS;
	pcapi_count_committed(&s);
	took = pcapi_clock_ms() - now;
	now += took;
	if (!s.more)
		caught_up_at = now;
	if (s.read)
		read_at = now + took * (busy ? REST_BUSY : REST_IDLE);
	step_at = now + (s.progress || s.more ? STEP_INTERVAL_MS : IDLE_INTERVAL_MS);
	sum_days(now);
	delete_old(now);
	return (long) (step_at - now);
}

/* In a transaction with one snapshot: take a step. */
static void
step(void *arg)
{
	pcapi_count_step(arg);
}

/* Once a minute: add up the days that are over. */
static void
sum_days(int64 now)
{
	static int64 due = 0;
	bool		more = false;

	if (now < due)
		return;
	if (!pcapi_transaction(sum_days_step, &more) || !more)
		due = now + DAYS_INTERVAL_MS;
}

/* In a transaction: add up some of them. */
static void
sum_days_step(void *arg)
{
	bool	   *more = arg;

	*more = pcapi_statistics_days_step();
}

/* Once an hour: delete the statistics that are kept too long. */
static void
delete_old(int64 now)
{
	static int64 due = 0;
	bool		more = false;

	if (now < due)
		return;
	if (!pcapi_transaction(delete_step, &more) || !more)
		due = now + RETENTION_INTERVAL_MS;
}

/* In a transaction: delete some of them. */
static void
delete_step(void *arg)
{
	bool	   *more = arg;

	*more = pcapi_statistics_retention_step(pcapi_statistics_retention);
}
