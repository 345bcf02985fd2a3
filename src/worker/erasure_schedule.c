/*
 * erasure_schedule.c
 *	  Once a second: is there anything of people who were forgotten that
 *	  forget() could not see?
 *
 * For at most a tenth of the worker's time.  The statements are in
 * queue/erase.c.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "queue/erase.h"
#include "worker/erasure_schedule.h"
#include "worker/xact.h"

#define MAX_MS	100

static PcapiErasureScan scan;

typedef struct Step
{
	PcapiErasureScan scan;
	bool		more;
} Step;

static void
step(void *arg)
{
	Step	   *s = arg;

	s->more = pcapi_erasure_step(&s->scan);
}

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
	} while (s.more && pcapi_clock_ms() - now < MAX_MS);
}
