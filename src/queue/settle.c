/*
 * settle.c
 *	  Settle a request's events: write their outcomes or retries.
 *
 * settle_fast.c settles nearly all events.  For the others there is one statement for
 * all that are final, which inserts into _outcome and deletes from _retry, and one for
 * those that are retried.  An event that is final already (cancelled or forgotten while
 * it was in flight) has its outcome and is left alone, and so is another event with
 * the same id (in a table that was emptied and filled again).
 *
 * No lock is waited for, and an error of one row does not stop the others: if a set
 * fails, it is written by halves, each in a subtransaction, until the rows that cannot
 * be written stand alone.  These go on waiting, and stay in the lease, which holds the
 * error; the worker keeps their outcomes in memory and tries again
 * (worker/batch_settle.c).  The same becomes of events to which a session is giving an
 * outcome at this moment.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/outcome.h"
#include "queue/settle.h"
#include "queue/settle_fast.h"
#include "queue/statistics.h"
#include "queue/waiting.h"
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

/*
 * Choose the events not written so far that are retries, or those that are final.  pending:
 * also those whose outcome another transaction is about to write.
 */
static void
choose(Part *part, int n, bool retries, bool pending)
{
	PcapiOutcomeLook *look = NULL;

	part->retries = retries;
	part->which = palloc(sizeof(int) * Max(n, 1));
	part->n = 0;
	for (int i = 0; i < n; i++)
	{
		const PcapiEventOutcome *s = &part->settled[i];

		if (part->written[i] == PCAPI_WRITTEN || s->outcome == PCAPI_RELEASE || (s->outcome == PCAPI_RETRY) != retries)
			continue;
		if (!pending)
		{
			if (look == NULL)
				look = pcapi_outcome_look_begin();
			if (look && pcapi_outcome_look(look, s->id) == PCAPI_OUTCOME_PENDING)
				continue;
		}
		part->which[part->n++] = i;
	}
	if (look)
		pcapi_outcome_look_end(look);
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

/* those whose events are the same as when they were read, and have no outcome */
#define STILL_WAITING \
	SETTLED_ARRAYS " WHERE (r.created_at IS NULL OR" \
	" (SELECT e.dest = r.dest AND e.created_at = r.created_at FROM pinterest_capi._event AS e WHERE e.id = r.id LIMIT 1))" \
	" AND" PCAPI_NOT_FINAL("r.id")

/*
 * Lock their rows of _retry that no other transaction has locked, and choose the events
 * whose row is locked here or that have none.
 */
#define CHOOSE \
	"WITH r AS MATERIALIZED (SELECT r.* FROM" STILL_WAITING ")," \
	" free AS MATERIALIZED (SELECT q.* FROM r JOIN pinterest_capi._retry AS q ON" PCAPI_RETRY_AS("r") \
	" FOR UPDATE OF q SKIP LOCKED)"
#define NO_RETRY \
	" NOT (" PCAPI_IS_RETRIED("r.dest", "r.id") ")"

#define WRITE_FINAL \
	CHOOSE ", gone AS (DELETE FROM pinterest_capi._retry AS q USING free AS r WHERE" PCAPI_RETRY_AS("r") ")" \
	" INSERT INTO pinterest_capi._outcome (" PCAPI_OUTCOME_LIST ")" \
	" SELECT r.id, clock_timestamp(), CASE WHEN r.attempted > 0 THEN $12 ELSE q.last_attempt_at END, r.dest," \
	" coalesce(q.attempts, 0) + r.attempted, coalesce(r.http_status, q.http_status), r.status, r.reason," \
	" coalesce(r.error, CASE WHEN r.status <> 'sent' THEN q.error END)," \
	" CASE WHEN r.warning IS NULL THEN q.warnings" \
	" ELSE q.warnings || string_to_array(r.warning, chr(10)) END, r.test_mode" \
	" FROM r LEFT JOIN free AS q ON q.id = r.id" \
	" WHERE q.id IS NOT NULL OR" NO_RETRY " ORDER BY r.id%s RETURNING id, attempts"

/* first_attempt_at becomes no later than this attempt, for the case that a clock was ahead */
#define WRITE_RETRIES \
	CHOOSE ", again AS (" \
	" UPDATE pinterest_capi._retry AS q SET attempts = q.attempts + r.attempted," \
	" http_status = r.http_status, error = r.error," \
	" first_attempt_at = least(q.first_attempt_at, $12), last_attempt_at = $12," \
	" due_at = clock_timestamp() + r.delay * interval '1 millisecond'," \
	" warnings = CASE WHEN r.warning IS NULL OR r.warning = ANY (q.warnings)" \
	" THEN q.warnings ELSE q.warnings || r.warning END" \
	" FROM (SELECT r.* FROM r JOIN free AS f ON f.id = r.id OFFSET 0) AS r" \
	" WHERE" PCAPI_RETRY_AS("r") " RETURNING q.id, q.attempts)," \
	" first AS (INSERT INTO pinterest_capi._retry (id, dest, attempts, http_status, due_at, first_attempt_at," \
	" last_attempt_at, error, warnings)" \
	" SELECT r.id, r.dest, r.attempted, r.http_status, clock_timestamp() + r.delay * interval '1 millisecond'," \
	" $12, $12, r.error, CASE WHEN r.warning IS NOT NULL THEN ARRAY[r.warning] END" \
	" FROM r WHERE" NO_RETRY " ORDER BY r.id RETURNING id, attempts)" \
	" SELECT id, attempts FROM again UNION ALL SELECT id, attempts FROM first"

#define SELECT_LEFT	"SELECT r.id, 0 AS attempts FROM" STILL_WAITING

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

/*
 * Lock the events of a part, which are retries, and leave out those that another
 * transaction has locked.  finalize.c locks events too: so an event isn't made final by
 * who takes it for one that was never tried, while it becomes a retry.  What is read
 * from here on shows what was final before the lock.  One that couldn't be read is not
 * read here either.
 */
static void
lock_events(Part *part)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	Oid			types[1] = {INT8ARRAYOID};
	Datum	   *ids = palloc(sizeof(Datum) * part->n);
	Datum		values[1];
	int		   *free;
	int			n_ids = 0;
	int			n = 0;
	int			row = 0;

	for (int i = 0; i < part->n; i++)
		if (part->settled[part->which[i]].created_at != 0)
			ids[n_ids++] = Int64GetDatum(part->settled[part->which[i]].id);
	values[0] = pcapi_array(ids, n_ids, INT8OID);
	free = MemoryContextAlloc(context, sizeof(int) * part->n);
	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "WITH free AS MATERIALIZED (SELECT e.id FROM pinterest_capi._event AS e WHERE e.id = ANY ($1)"
							 " FOR NO KEY UPDATE SKIP LOCKED)"
							 " SELECT i.id FROM unnest($1) AS i (id) LEFT JOIN free AS f ON f.id = i.id"
							 " WHERE f.id IS NOT NULL OR NOT EXISTS (SELECT FROM pinterest_capi._event AS e WHERE e.id = i.id OFFSET 0)"
							 " ORDER BY i.id",
							 1, types),
				  values, NULL, false, 0);
	for (int i = 0; i < part->n; i++)
	{
		const PcapiEventOutcome *s = &part->settled[part->which[i]];

		if (s->created_at == 0)
			free[n++] = part->which[i];
		else if (row < (int) SPI_processed && pcapi_result_int64(row, "id") == s->id)
		{
			free[n++] = part->which[i];
			row++;
		}
	}
	SPI_finish();
	part->which = free;
	part->n = n;
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
	{
		lock_events(&part);
		execute(SPI_OK_SELECT, &retry_plan, WRITE_RETRIES, &part, PCAPI_WRITTEN);
	}
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

	/* rows are inserted in the order of ids, as in finalize.c */
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

		choose(&part, n, retries, false);
		why = write_as_far_as_possible(&part);
		choose(&part, n, retries, true);
		if (part.n == 0)
			continue;
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
