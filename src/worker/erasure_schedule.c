/*
 * erasure_schedule.c
 *	  Once a second: erase what forget() could not see, as its transactions were
 *	  still open.
 *
 * It takes at most a tenth of the worker's time.
 *
 * Left to others: the statements and the order of an erasure (src/queue/erase.c).
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "queue/erase.h"
#include "worker/erasure_schedule.h"
#include "worker/xact.h"

/* Time for the steps of one second. */
#define ERASURE_MAX_MS	100

/* As of the last step that committed. */
static PcapiErasureScan scan;

typedef struct Step
{
	PcapiErasureScan scan;
	bool		more;
} Step;

static void step(void *arg);

void
pcapi_continue_erasures(int64 now)
{
	Step		s;

	if (DefaultXactReadOnly)
		return;
	do
	{
		s.scan = scan;
		if (!pcapi_transaction(step, &s))
			return;
		scan = s.scan;
	} while (s.more && pcapi_clock_ms() - now < ERASURE_MAX_MS);
}

/* In a transaction: make a step from a copy of the scan, which counts once it is committed. */
static void
step(void *arg)
{
	Step	   *s = arg;

	s->more = pcapi_erasure_step(&s->scan);
}
