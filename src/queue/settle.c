/*
 * settle.c
 *	  Settle a request's events: write their outcomes or retries.
 *
 * settle_fast.c settles nearly all events.  For the others there is one statement for
 * all that are final, which moves their rows from _queue to _outcome, and one for those
 * that are retried.  An event that is not queued any more (cancelled or forgotten while
 * it was in flight) has its outcome and is left alone, and so is another event with
 * the same id (in a table that was emptied and filled again).
 *
 * No lock is waited for, and an error of one row does not stop the others: if a set
 * fails, it is written by halves, each in a subtransaction, until the rows that cannot
 * be written stand alone.  These stay in the queue and in the lease, which holds the
 * error; the worker keeps their outcomes in memory and tries again
 * (worker/batch_settle.c).
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/outcome.h"
#include "queue/settle.h"
#include "queue/settle_fast.h"
#include "queue/statistics.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* the parameters of a statement that are arrays, with an element for each event */
enum
{
	A_ID,
	A_CREATED,
	A_STATUS,
	A_ATTEMPTED,
	A_HTTP,
	A_DELAY,
	A_REASON,
	A_ERROR,
	A_WARNING,
	A_TEST,
	A_COUNT
};

static const struct
{
	Oid			element;
	Oid			array;
	int16		len;
	bool		byval;
	char		align;
}			array_types[A_COUNT] = {
	[A_ID] = {INT8OID, INT8ARRAYOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
	[A_CREATED] = {TIMESTAMPTZOID, TIMESTAMPTZARRAYOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
	[A_STATUS] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_ATTEMPTED] = {INT4OID, INT4ARRAYOID, 4, true, TYPALIGN_INT},
	[A_HTTP] = {INT4OID, INT4ARRAYOID, 4, true, TYPALIGN_INT},
	[A_DELAY] = {INT8OID, INT8ARRAYOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
	[A_REASON] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_ERROR] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_WARNING] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_TEST] = {BOOLOID, BOOLARRAYOID, 1, true, TYPALIGN_CHAR},
};

/* Set an element; NULL: null. */
static void
put_text(Datum *elems, bool *nulls, int i, const char *s)
{
	nulls[i] = (s == NULL);
	elems[i] = s ? CStringGetTextDatum(s) : (Datum) 0;
}

/* the events that one statement writes, in the order of their ids */
typedef struct Part
{
	int			dest;
	TimestampTz attempted_at;
	bool		retries;
	const PcapiEventOutcome *settled;	/* all events of the request */
	PcapiWritten *written;		/* likewise */
	bool	   *retried;		/* likewise: it was retrying before */
	int		   *which;			/* n indexes of these arrays */
	int			n;
} Part;

/* Compare two indexes of the array of events by the events' ids.  For qsort_arg(). */
static int
compare_places(const void *a, const void *b, void *settled)
{
	int64		x = ((const PcapiEventOutcome *) settled)[*(const int *) a].id;
	int64		y = ((const PcapiEventOutcome *) settled)[*(const int *) b].id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Choose the events not written so far that are retries, or those that are final. */
static void
choose(Part *part, int n, bool retries)
{
	part->retries = retries;
	part->which = palloc(sizeof(int) * Max(n, 1));
	part->n = 0;
	for (int i = 0; i < n; i++)
	{
		const PcapiEventOutcome *s = &part->settled[i];

		if (part->written[i] != PCAPI_WRITTEN && s->outcome != PCAPI_RELEASE && (s->outcome == PCAPI_RETRY) == retries)
			part->which[part->n++] = i;
	}
	qsort_arg(part->which, part->n, sizeof(int), compare_places, (void *) part->settled);
}

/* Make the parameters. */
static void
make_arrays(Datum arrays[A_COUNT], const Part *part)
{
	Datum	   *elems[A_COUNT];
	bool	   *nulls[A_COUNT];
	int			n = part->n;

	for (int a = 0; a < A_COUNT; a++)
	{
		elems[a] = palloc(sizeof(Datum) * n);
		nulls[a] = palloc0(sizeof(bool) * n);
	}
	for (int i = 0; i < n; i++)
	{
		const PcapiEventOutcome *s = &part->settled[part->which[i]];

		elems[A_ID][i] = Int64GetDatum(s->id);
		elems[A_CREATED][i] = TimestampTzGetDatum(s->created_at);
		nulls[A_CREATED][i] = (s->created_at == 0);
		put_text(elems[A_STATUS], nulls[A_STATUS], i, pcapi_outcome_name(s->outcome));
		elems[A_ATTEMPTED][i] = Int32GetDatum(s->attempted ? 1 : 0);
		elems[A_HTTP][i] = Int32GetDatum(s->http_status);
		nulls[A_HTTP][i] = (s->http_status == 0);
		elems[A_DELAY][i] = Int64GetDatum(s->delay_ms);
		put_text(elems[A_REASON], nulls[A_REASON], i, s->reason);
		put_text(elems[A_ERROR], nulls[A_ERROR], i, s->error);
		put_text(elems[A_WARNING], nulls[A_WARNING], i, s->warning);
		elems[A_TEST][i] = BoolGetDatum(true);
		nulls[A_TEST][i] = !s->test_mode;
	}
	for (int a = 0; a < A_COUNT; a++)
	{
		int			dims[1] = {n};
		int			lbs[1] = {1};

		arrays[a] = PointerGetDatum(construct_md_array(elems[a], nulls[a], 1, dims, lbs,
													   array_types[a].element, array_types[a].len,
													   array_types[a].byval, array_types[a].align));
	}
}

/* the parameters as rows r */
#define SETTLED_ARRAYS \
	" (SELECT $11 AS dest, a.* FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)" \
	" AS a (id, created_at, status, attempted, http_status, delay, reason, error, warning, test_mode) OFFSET 0) AS r"

/* and their rows q of the queue, if these are still of the same events */
#define STILL_QUEUED \
	SETTLED_ARRAYS " JOIN pinterest_capi._queue AS q ON" PCAPI_QUEUED_AS("r") \
	" WHERE (r.created_at IS NULL OR EXISTS (SELECT FROM pinterest_capi._event AS e" \
	" WHERE e.id = r.id AND e.created_at = r.created_at))"

/* lock those that no other transaction has locked */
#define LOCK_FREE \
	"WITH free AS MATERIALIZED (SELECT r.* FROM" STILL_QUEUED " FOR UPDATE OF q SKIP LOCKED)"

#define WRITE_FINAL \
	LOCK_FREE ", dequeued AS (" \
	" DELETE FROM pinterest_capi._queue AS q USING free AS r" \
	" WHERE" PCAPI_QUEUED_AS("r") \
	" RETURNING q.id, r.status, q.attempts + r.attempted AS attempts," \
	" CASE WHEN r.attempted > 0 THEN $12 ELSE q.last_attempt_at END AS last_attempt_at," \
	" coalesce(r.http_status, q.http_status) AS http_status, r.reason," \
	" coalesce(r.error, CASE WHEN r.status <> 'sent' THEN q.error END) AS error," \
	" CASE WHEN r.warning IS NULL THEN q.warnings" \
	" ELSE q.warnings || string_to_array(r.warning, chr(10)) END AS warnings, r.test_mode)" \
	" INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")" \
	" SELECT id, clock_timestamp(), last_attempt_at, $11, attempts, http_status," \
	" status, reason, error, warnings, test_mode FROM dequeued%s RETURNING id, attempts"

/* first_attempt_at becomes no later than this attempt, for the case that a clock was ahead */
#define WRITE_RETRIES \
	LOCK_FREE \
	" UPDATE pinterest_capi._queue AS q SET attempts = q.attempts + r.attempted," \
	" http_status = r.http_status, error = r.error," \
	" first_attempt_at = least(q.first_attempt_at, $12), last_attempt_at = $12," \
	" due_at = clock_timestamp() + r.delay * interval '1 millisecond'," \
	" warnings = CASE WHEN r.warning IS NULL OR r.warning = ANY (q.warnings)" \
	" THEN q.warnings ELSE q.warnings || r.warning END" \
	" FROM free AS r WHERE" PCAPI_QUEUED_AS("r") " RETURNING q.id, q.attempts"

#define SELECT_LEFT	"SELECT r.id, q.attempts FROM" STILL_QUEUED

/* Execute one of these statements, and mark the events whose rows it returns. */
static void
execute(int expected, SPIPlanPtr *plans, const char *sql, const Part *part, PcapiWritten mark)
{
	Oid			types[A_COUNT + 2];
	Datum		values[A_COUNT + 2];
	char		nulls[A_COUNT + 2];
	int			column = 0;
	int			attempts_column = 0;

	for (int a = 0; a < A_COUNT; a++)
		types[a] = array_types[a].array;
	types[A_COUNT] = INT4OID;
	types[A_COUNT + 1] = TIMESTAMPTZOID;
	memset(nulls, ' ', sizeof(nulls));
	make_arrays(values, part);
	values[A_COUNT] = Int32GetDatum(part->dest);
	values[A_COUNT + 1] = TimestampTzGetDatum(part->attempted_at);
	if (part->attempted_at == 0)
		nulls[A_COUNT + 1] = 'n';

	SPI_connect();
	if (pcapi_execute(expected, expected == SPI_OK_INSERT_RETURNING ?
					  pcapi_outcome_plan(plans, sql, A_COUNT + 2, types) :
					  pcapi_plan(plans, sql, A_COUNT + 2, types), values, nulls, false, 0) > 0)
	{
		column = pcapi_result_column("id");
		attempts_column = pcapi_result_column("attempts");
	}
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(pcapi_result_datum(row, column, &isnull));
		int			attempts = DatumGetInt32(pcapi_result_datum(row, attempts_column, &isnull));

		for (int low = 0, high = part->n; low < high;)
		{
			int			middle = (low + high) / 2;
			int			place = part->which[middle];

			if (part->settled[place].id == id)
			{
				part->written[place] = mark;
				part->retried[place] = attempts > (part->settled[place].attempted ? 1 : 0);
				break;
			}
			if (part->settled[place].id < id)
				low = middle + 1;
			else
				high = middle;
		}
	}
	SPI_finish();
}

/* Write n events of a part.  A PcapiPartWork. */
static void
write_part(void *arg, int from, int n)
{
	static SPIPlanPtr final_plans[2];
	static SPIPlanPtr retry_plan = NULL;
	Part		part = *(const Part *) arg;

	part.which += from;
	part.n = n;
	if (part.retries)
		execute(SPI_OK_UPDATE_RETURNING, &retry_plan, WRITE_RETRIES, &part, PCAPI_WRITTEN);
	else
		execute(SPI_OK_INSERT_RETURNING, final_plans, WRITE_FINAL, &part, PCAPI_WRITTEN);
}

/* an event of a part, for write_single() */
typedef struct Single
{
	Part	   *part;
	int			place;
} Single;

/* Write all events of a part. */
static void
write_whole(void *arg)
{
	Part	   *part = arg;

	write_part(part, 0, part->n);
}

/* Write one event of a part. */
static void
write_single(void *arg)
{
	Single	   *single = arg;

	write_part(single->part, single->place, 1);
}

/*
 * Return whether an event fails alone with an error that is rather the server's than the row's, such as a full
 * disk or an exceeded quota, which has no SQLSTATE of its own.
 */
static bool
fails_as_server(Part *part, int place)
{
	Single		single = {part, place};
	int			code;

	return pcapi_subxact_error_code(write_single, &single, &code) != NULL &&
		(code == ERRCODE_INTERNAL_ERROR || ERRCODE_TO_CATEGORY(code) == ERRCODE_SYSTEM_ERROR);
}

/*
 * Write a part.  If it fails, and its first and its last event fail each alone as well,
 * the server is taken to be the cause, and an error is raised: the worker keeps the
 * response, writes the outcomes when it can, and sends nothing meanwhile.  Else the
 * part is written by halves.  Return why some events could not be written, or NULL.
 */
static char *
write_as_far_as_possible(Part *part)
{
	char	   *problem;
	int			code;

	if (part->n == 0)
		return NULL;
	problem = pcapi_subxact_error_code(write_whole, part, &code);
	if (problem == NULL)
		return NULL;
	if (part->n > 1 && fails_as_server(part, 0) && fails_as_server(part, part->n - 1))
		ereport(ERROR,
				(errcode(code),
				 errmsg("could not settle events: %s", problem),
				 errhint("The answer is kept, and written down when this is over.")));
	return pcapi_by_halves(write_part, part, 0, part->n);
}

/* all events of a request, for settle_fast() */
typedef struct All
{
	Part	   *part;
	int			n;
} All;

/* Settle events that are final at their first attempt. */
static void
settle_fast(void *arg)
{
	All		   *all = arg;

	pcapi_settle_fast(all->part->dest, all->part->attempted_at, all->part->settled, all->n, all->part->written);
}

/* Delete the lease, or reduce it to the events that are left. */
static void
update_lease(int64 lease, const PcapiEventOutcome *settled, const PcapiWritten *written, int n, int left, const char *problem)
{
	static SPIPlanPtr end_plan = NULL;
	Oid			types[3] = {INT8OID, INT8ARRAYOID, TEXTOID};
	Datum		values[3] = {Int64GetDatum(lease)};

	SPI_connect();
	if (left == 0)
		pcapi_execute(SPI_OK_DELETE,
					  pcapi_plan(&end_plan, "DELETE FROM pinterest_capi._lease WHERE lease = $1", 1, types),
					  values, NULL, false, 0);
	else
	{
		Datum	   *ids = palloc(sizeof(Datum) * left);
		int			m = 0;

		for (int i = 0; i < n; i++)
			if (written[i] == PCAPI_LEFT)
				ids[m++] = Int64GetDatum(settled[i].id);
		values[1] = pcapi_array(ids, m, INT8OID);
		values[2] = CStringGetTextDatum(problem);
		pcapi_execute_once(SPI_OK_UPDATE,
						   "UPDATE pinterest_capi._lease SET ids = $2, problem = $3 WHERE lease = $1",
						   3, types, values, NULL, false, 0);
	}
	SPI_finish();
}

int
pcapi_settle(int dest, int64 lease, TimestampTz attempted_at,
			 const PcapiEventOutcome *settled, int n, PcapiWritten *written, char **problem)
{
	static SPIPlanPtr left_plan = NULL;
	Part		part = {.dest = dest, .attempted_at = attempted_at, .settled = settled, .written = written};
	bool	   *fast = palloc0(sizeof(bool) * Max(n, 1));
	bool		never_tried = n > 0;
	int			left = 0;

	*problem = NULL;
	part.retried = palloc0(sizeof(bool) * Max(n, 1));

	/* settle_fast.c locks rows in the order of the array, which must be that of ids, as in finalize.c */
	for (int i = 0; i < n; i++)
	{
		written[i] = PCAPI_NOT_THERE;
		never_tried &= ItemPointerIsValid(&settled[i].tid) &&
			(i == 0 || settled[i].id > settled[i - 1].id);
	}
	if (never_tried)
	{
		All			all = {.part = &part, .n = n};

		/* all of them or none: after an error, the statements find the event that caused it */
		if (pcapi_subxact_error(settle_fast, &all) != NULL)
			memset(written, 0, sizeof(PcapiWritten) * n);
		for (int i = 0; i < n; i++)
			fast[i] = written[i] == PCAPI_WRITTEN;
	}
	for (int retries = 0; retries < 2; retries++)
	{
		char	   *why;
		int			missing = 0;

		choose(&part, n, retries);
		why = write_as_far_as_possible(&part);
		for (int i = 0; i < part.n; i++)
			missing += written[part.which[i]] != PCAPI_WRITTEN;
		if (missing == 0)
			continue;
		choose(&part, n, retries);
		execute(SPI_OK_SELECT, &left_plan, SELECT_LEFT, &part, PCAPI_LEFT);
		for (int i = 0; i < part.n; i++)
			left += written[part.which[i]] == PCAPI_LEFT;
		if (*problem == NULL)
			*problem = why;
	}
	pcapi_statistics_settled(settled, n, written, fast, part.retried);
	if (lease != 0)
		update_lease(lease, settled, written, n, left, *problem ? *problem : PCAPI_LOCKED);
	return left;
}
