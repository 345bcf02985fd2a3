/*
 * settle.c
 *	  What became of the events of a request, and of their destination.
 *
 * One statement for all that are final: rows leave the queue and enter the
 * outcome.  Whatever is no longer in the queue (cancelled or forgotten while
 * the request was out) has its outcome already and is not touched.
 */
#include "queue/claim.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* columns of the arrays that go with a statement */
enum
{
	A_ID,
	A_STATUS,
	A_ATTEMPTED,
	A_HTTP,
	A_DELAY,
	A_REASON,
	A_ERROR,
	A_WARNING,
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
	[A_STATUS] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_ATTEMPTED] = {INT4OID, INT4ARRAYOID, 4, true, TYPALIGN_INT},
	[A_HTTP] = {INT4OID, INT4ARRAYOID, 4, true, TYPALIGN_INT},
	[A_DELAY] = {INT8OID, INT8ARRAYOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
	[A_REASON] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_ERROR] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
	[A_WARNING] = {TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT},
};

const char *
pcapi_fate_name(PcapiFate fate)
{
	switch (fate)
	{
		case PCAPI_SENT:
			return "sent";
		case PCAPI_FAILED:
			return "failed";
		case PCAPI_EXPIRED:
			return "expired";
		default:
			return "";
	}
}

static void
put_text(Datum *elems, bool *nulls, int i, const char *s)
{
	nulls[i] = (s == NULL);
	elems[i] = s ? CStringGetTextDatum(s) : (Datum) 0;
}

static int
compare_settled(const void *a, const void *b)
{
	int64		x = (*(const PcapiSettled *const *) a)->id;
	int64		y = (*(const PcapiSettled *const *) b)->id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * The arrays for those settled that are retries, or that are final; not of
 * those that are done with.  In the order of their ids, in which operate.c
 * locks rows too.
 */
static int
make_arrays(Datum arrays[A_COUNT], const PcapiSettled *settled, const bool *done, int n, bool retries)
{
	const PcapiSettled **sorted = palloc(sizeof(PcapiSettled *) * Max(n, 1));
	Datum	   *elems[A_COUNT];
	bool	   *nulls[A_COUNT];
	int			m = 0;

	for (int i = 0; i < n; i++)
		sorted[i] = &settled[i];
	qsort(sorted, n, sizeof(PcapiSettled *), compare_settled);

	for (int a = 0; a < A_COUNT; a++)
	{
		elems[a] = palloc(sizeof(Datum) * Max(n, 1));
		nulls[a] = palloc0(sizeof(bool) * Max(n, 1));
	}
	for (int i = 0; i < n; i++)
	{
		const PcapiSettled *s = sorted[i];

		if (done[s - settled] || s->fate == PCAPI_RELEASE || (s->fate == PCAPI_RETRY) != retries)
			continue;
		elems[A_ID][m] = Int64GetDatum(s->id);
		put_text(elems[A_STATUS], nulls[A_STATUS], m, pcapi_fate_name(s->fate));
		elems[A_ATTEMPTED][m] = Int32GetDatum(s->attempted ? 1 : 0);
		elems[A_HTTP][m] = Int32GetDatum(s->http_status);
		nulls[A_HTTP][m] = (s->http_status == 0);
		elems[A_DELAY][m] = Int64GetDatum(s->delay_ms);
		put_text(elems[A_REASON], nulls[A_REASON], m, s->reason);
		put_text(elems[A_ERROR], nulls[A_ERROR], m, s->error);
		put_text(elems[A_WARNING], nulls[A_WARNING], m, s->warning);
		m++;
	}
	for (int a = 0; m > 0 && a < A_COUNT; a++)
	{
		int			dims[1] = {m};
		int			lbs[1] = {1};

		arrays[a] = PointerGetDatum(construct_md_array(elems[a], nulls[a], 1, dims, lbs,
													   array_types[a].element, array_types[a].len,
													   array_types[a].byval, array_types[a].align));
	}
	return m;
}

#define SETTLED_ARRAYS \
	" (SELECT $9 AS dest, a.* FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)" \
	" AS a (id, status, attempted, http_status, delay, reason, error, warning) OFFSET 0) AS r"

void
pcapi_settle(int dest, int64 lease, TimestampTz attempted_at, const PcapiSettled *settled, int n)
{
	bool	   *done = palloc(sizeof(bool) * Max(n, 1));
	bool		never_tried = n > 0;

	static SPIPlanPtr final_plan = NULL;
	static SPIPlanPtr retry_plan = NULL;
	static SPIPlanPtr lease_plan = NULL;
	Oid			types[A_COUNT + 2];
	Datum		values[A_COUNT + 2];
	char		nulls[A_COUNT + 2];
	Oid			lease_types[1] = {INT8OID};
	Datum		lease_values[1] = {Int64GetDatum(lease)};

	for (int a = 0; a < A_COUNT; a++)
		types[a] = array_types[a].array;
	types[A_COUNT] = INT4OID;
	types[A_COUNT + 1] = TIMESTAMPTZOID;
	memset(nulls, ' ', sizeof(nulls));

	/*
	 * All of them at once, or by the statements below: rows are locked in the
	 * order of their ids, as operate.c does, so that neither waits for the
	 * other.
	 */
	for (int i = 0; i < n; i++)
	{
		done[i] = false;
		never_tried &= ItemPointerIsValid(&settled[i].tid) &&
			(i == 0 || settled[i].id > settled[i - 1].id);
	}
	if (never_tried)
		pcapi_finish(dest, attempted_at, settled, n, done);

	SPI_connect();
	values[A_COUNT] = Int32GetDatum(dest);
	values[A_COUNT + 1] = TimestampTzGetDatum(attempted_at);
	if (attempted_at == 0)
		nulls[A_COUNT + 1] = 'n';

	if (make_arrays(values, settled, done, n, false) > 0)
		SPI_execute_plan(pcapi_plan(&final_plan,
									"WITH gone AS ("
									" DELETE FROM pinterest_capi._queue AS q USING" SETTLED_ARRAYS
									" WHERE" PCAPI_QUEUED_AS("r")
									" RETURNING q.id, r.status, q.attempts + r.attempted AS attempts,"
									" CASE WHEN r.attempted > 0 THEN $10 ELSE q.last_attempt_at END AS last_attempt_at,"
									" coalesce(r.http_status, q.http_status) AS http_status, r.reason,"
									" coalesce(r.error, CASE WHEN r.status <> 'sent' THEN q.error END) AS error,"
									" CASE WHEN r.warning IS NULL THEN q.warnings"
									" ELSE q.warnings || string_to_array(r.warning, chr(10)) END AS warnings)"
									" INSERT INTO pinterest_capi._outcome (id, finished_at, last_attempt_at, dest,"
									" attempts, http_status, status, reason, error, warnings)"
									" SELECT id, clock_timestamp(), last_attempt_at, $9, attempts, http_status,"
									" status, reason, error, warnings FROM gone",
									A_COUNT + 2, types),
						 values, nulls, false, 0);
	if (make_arrays(values, settled, done, n, true) > 0)
		SPI_execute_plan(pcapi_plan(&retry_plan,
									"UPDATE pinterest_capi._queue AS q SET attempts = q.attempts + r.attempted,"
									" http_status = r.http_status, error = r.error,"
									" first_attempt_at = coalesce(q.first_attempt_at, $10), last_attempt_at = $10,"
									" due_at = clock_timestamp() + r.delay * interval '1 millisecond',"
									" warnings = CASE WHEN r.warning IS NULL OR r.warning = ANY (q.warnings)"
									" THEN q.warnings ELSE q.warnings || r.warning END"
									" FROM" SETTLED_ARRAYS " WHERE" PCAPI_QUEUED_AS("r"),
									A_COUNT + 2, types),
						 values, nulls, false, 0);
	if (lease != 0)
		SPI_execute_plan(pcapi_plan(&lease_plan,
									"DELETE FROM pinterest_capi._lease WHERE lease = $1",
									1, lease_types),
						 lease_values, NULL, false, 0);
	SPI_finish();
}

/* recovered: it takes events, whatever was the matter before */
void
pcapi_target_sent(int dest, bool recovered)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, BOOLOID};
	Datum		values[2] = {Int32GetDatum(dest), BoolGetDatum(recovered)};

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"UPDATE pinterest_capi._destination_state SET last_sent_at = clock_timestamp(),"
								" failing_since = CASE WHEN NOT $2 THEN failing_since END,"
								" backoff_until = CASE WHEN NOT $2 THEN backoff_until END,"
								" backoff_reason = CASE WHEN NOT $2 THEN backoff_reason END WHERE dest = $1",
								2, types),
					 values, NULL, false, 0);
	SPI_finish();
}

void
pcapi_target_backoff(int dest, int64 delay_ms, const char *reason)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, TEXTOID};
	Datum		values[3];

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = Int64GetDatum(delay_ms);
	values[2] = CStringGetTextDatum(reason);
	SPI_execute_plan(pcapi_plan(&plan,
								"UPDATE pinterest_capi._destination_state SET"
								" failing_since = coalesce(failing_since, clock_timestamp()),"
								" backoff_until = greatest(backoff_until, clock_timestamp() + $2 * interval '1 millisecond'),"
								" backoff_reason = $3, last_error = $3, last_error_at = clock_timestamp()"
								" WHERE dest = $1",
								3, types),
					 values, NULL, false, 0);
	SPI_finish();
}

void
pcapi_target_error(int dest, const char *error)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2];

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = CStringGetTextDatum(error);
	SPI_execute_plan(pcapi_plan(&plan,
								"UPDATE pinterest_capi._destination_state SET last_error = $2,"
								" last_error_at = clock_timestamp() WHERE dest = $1",
								2, types),
					 values, NULL, false, 0);
	SPI_finish();
}

/*
 * What is read of the destination after this stays so until the transaction's
 * end: configure_destination comes to this row last.
 */
void
pcapi_target_lock(int dest)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(dest)};

	SPI_connect();
	SPI_execute_with_args("SELECT FROM pinterest_capi._destination_state WHERE dest = $1 FOR UPDATE",
						  1, types, values, NULL, false, 0);
	SPI_finish();
}

/* False when it was paused already, so that one log line and one message are enough. */
bool
pcapi_target_pause(int dest, const char *name, const char *reason)
{
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2];
	bool		paused;

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = CStringGetTextDatum(reason);
	SPI_execute_with_args("UPDATE pinterest_capi._destination_state SET paused_at = clock_timestamp(),"
						  " paused_reason = $2, last_error = $2, last_error_at = clock_timestamp()"
						  " WHERE dest = $1 AND paused_at IS NULL",
						  2, types, values, NULL, false, 0);
	paused = (SPI_processed > 0);
	SPI_finish();
	if (paused)
		pcapi_notify(name, "paused", reason);
	return paused;
}

/* NOTIFY pinterest_capi, at the commit of the current transaction; a payload has under 8000 bytes */
void
pcapi_notify(const char *destination, const char *status, const char *message)
{
	StringInfoData json;
	char	   *clipped = pstrdup(message);

	clipped[pg_mbcliplen(clipped, strlen(clipped), 1000)] = '\0';
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"destination\": ");
	escape_json(&json, destination);
	appendStringInfoString(&json, ", \"status\": ");
	escape_json(&json, status);
	appendStringInfoString(&json, ", \"message\": ");
	escape_json(&json, clipped);
	appendStringInfoChar(&json, '}');
	Async_Notify("pinterest_capi", json.data);
	pfree(json.data);
}
