/*
 * clock_skew.c
 *	  Correct due times that were set while the server's clock was ahead.
 *
 * A retry and a backoff are stored as the time at which they end.  A clock that was
 * a year ahead would leave them waiting for a year.  So the wait of a time that was
 * set in the future is counted from now.  The worker calls this when it sees the
 * clock go back, and from time to time, since the clock may be set while no worker
 * runs.  A clock that was behind has left times that end too soon, which does no
 * harm.
 */
#include "pinterest_capi.h"

#include "common/spi.h"
#include "queue/clock_skew.h"

/* limit of a wait: a backoff is a day at most (worker/response.c), and a request takes an hour at most (guc.c) */
#define LONGEST "interval '26 hours'"

/* clocks of the processors of one machine differ by less */
#define SLACK "interval '1 minute'"

/*
 * A destination's backoff was set at its last error, a row became a retry at its last
 * attempt.  Rows that another transaction has locked are left for the next call.
 */
static const char *const statements[] = {
	"UPDATE pinterest_capi._destination_state SET"
	" backoff_until = clock_timestamp() + least(greatest(backoff_until - last_error_at, interval '0'), " LONGEST "),"
	" last_error_at = clock_timestamp(), failing_since = least(failing_since, clock_timestamp())"
	" WHERE dest = ANY (ARRAY(SELECT s.dest FROM pinterest_capi._destination_state AS s"
	" WHERE s.backoff_until > clock_timestamp()"
	" AND (s.last_error_at > clock_timestamp() + " SLACK
	" OR s.backoff_until > clock_timestamp() + " LONGEST ") FOR UPDATE SKIP LOCKED))",

	/* a row without an attempt was replayed, and is due at once */
	"WITH ahead AS MATERIALIZED (SELECT q.dest, q.id FROM pinterest_capi._destination_state AS s, pinterest_capi._retry AS q"
	" WHERE q.dest = s.dest AND q.due_at > clock_timestamp() + " SLACK
	" AND (q.last_attempt_at IS NULL OR q.last_attempt_at > clock_timestamp() + " SLACK
	" OR q.due_at > q.last_attempt_at + " LONGEST ") FOR UPDATE OF q SKIP LOCKED)"
	" UPDATE pinterest_capi._retry AS q SET"
	" due_at = clock_timestamp() + CASE WHEN q.last_attempt_at IS NULL OR q.due_at > q.last_attempt_at + " LONGEST
	" THEN interval '0' ELSE greatest(q.due_at - q.last_attempt_at, interval '0') END"
	" FROM ahead WHERE" PCAPI_RETRY_AS("ahead")
};

void
pcapi_fix_future_times(void)
{
	SPI_connect();
	for (int i = 0; i < lengthof(statements); i++)
		pcapi_execute_sql(SPI_OK_UPDATE, statements[i], false);
	SPI_finish();
}
