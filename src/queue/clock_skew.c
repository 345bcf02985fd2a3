/*
 * clock_skew.c
 *	  Due times after the server's clock was ahead and somebody has set it right.
 *
 * Retries and backoff are kept as the time at which they are over.  A clock
 * that was a year ahead would leave them waiting for a year, so what was set in
 * the future is counted from now.  Called when the worker sees the clock go
 * back, and now and then, since that may happen while no worker runs.  What a
 * clock that was behind has set is over too soon, which does no harm.
 */
#include "pinterest_capi.h"

#include "common/spi.h"
#include "queue/clock_skew.h"

/* nobody is asked to wait for longer than a day (worker/response.c), and a request takes an hour at most */
#define LONGEST "interval '26 hours'"

/* clocks of one machine differ by less between processors */
#define SLACK "interval '1 minute'"

/*
 * A destination's last error is when its backoff was set; a row's last attempt is
 * when it became a retry.  What somebody has locked is left for the next time.
 */
static const char *const statements[] = {
	"UPDATE pinterest_capi._destination_state SET"
	" backoff_until = clock_timestamp() + least(greatest(backoff_until - last_error_at, interval '0'), " LONGEST "),"
	" last_error_at = clock_timestamp(), failing_since = least(failing_since, clock_timestamp())"
	" WHERE dest = ANY (ARRAY(SELECT s.dest FROM pinterest_capi._destination_state AS s"
	" WHERE s.backoff_until > clock_timestamp()"
	" AND (s.last_error_at > clock_timestamp() + " SLACK
	" OR s.backoff_until > clock_timestamp() + " LONGEST ") FOR UPDATE SKIP LOCKED))",

	/* what has no attempt is a replay's, which is due at once */
	"WITH ahead AS MATERIALIZED (SELECT q.dest, q.id FROM pinterest_capi._destination_state AS s, pinterest_capi._queue AS q"
	" WHERE q.dest = s.dest AND q.due_at > clock_timestamp() + " SLACK
	" AND (q.last_attempt_at IS NULL OR q.last_attempt_at > clock_timestamp() + " SLACK
	" OR q.due_at > q.last_attempt_at + " LONGEST ") FOR UPDATE OF q SKIP LOCKED)"
	" UPDATE pinterest_capi._queue AS q SET"
	" due_at = clock_timestamp() + CASE WHEN q.last_attempt_at IS NULL OR q.due_at > q.last_attempt_at + " LONGEST
	" THEN interval '0' ELSE greatest(q.due_at - q.last_attempt_at, interval '0') END"
	" FROM ahead WHERE" PCAPI_QUEUED_AS("ahead")
};

void
pcapi_fix_future_times(void)
{
	SPI_connect();
	for (int i = 0; i < lengthof(statements); i++)
		pcapi_execute_sql(SPI_OK_UPDATE, statements[i], false);
	SPI_finish();
}
