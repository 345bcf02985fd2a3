/*
 * replay.c
 *	  replay(): queue final events again.
 *
 * Under its own event_id, an event loses its outcome and gets a row of _retry.  With a new
 * event_id, it stays as it is, a copy is queued, and the reason of the old row names it.  The old
 * row is never replayed again, or Pinterest would count the event once more; the new
 * row may be.  The payload is text that src/track/event_json.c has made, so the two keys
 * that may change can be replaced in it: within a string, a quote has a backslash before
 * it, so no string holds a key with its quotes and colon.
 */
#include "pinterest_capi.h"

#include "admin/destination_admin.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "fmgr.h"
#include "queue/destination_state.h"
#include "queue/outcome.h"
#include "queue/statistics.h"
#include "queue/wakeup.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/*
 * The number of parameters of statements that choose events: $1 destination, $2 status,
 * $3 event name, $4 since, $5 until, $6 the new event time or null, $7 whether only
 * events are chosen that were sent in test mode.
 */
#define NARGS	7

/* The number of parameters of statements that replay the chosen ones: $1 ids, $2 the new event time, $3 EVENT_ID. */
#define STEP_NARGS	3

/* matches the key event_id; a parameter, since standard_conforming_strings decides what a backslash means in a literal */
#define EVENT_ID "\"event_id\":\"([^\"\\\\]|\\\\.)*\""

/* the reason of a row that was replayed under another event_id, which follows */
#define SUCCEEDED "replayed as "

#define UNKNOWN "'" PCAPI_WARNING_UNKNOWN "'"

/*
 * Outcomes and their events, each looked up by its key (pcapi_plan() in spi.h).  If a
 * time "since" is given, events of that time are read first: their rows stand together.
 */
#define ALL_OUTCOMES	" FROM pinterest_capi._outcome AS o"
#define OUTCOMES_SINCE \
	" FROM (SELECT v.id FROM pinterest_capi._event AS v WHERE v.dest = $1 AND v.created_at >= $4 OFFSET 0) AS c" \
	" CROSS JOIN LATERAL (SELECT w.* FROM pinterest_capi._outcome AS w" \
	" WHERE w.id = c.id AND w.dest = $1 AND w.status = $2 OFFSET 0) AS o"

#define THEIR_EVENTS(and) \
	" CROSS JOIN LATERAL (SELECT v.* FROM pinterest_capi._event AS v WHERE v.id = o.id" \
	" AND ($3 IS NULL OR pinterest_capi._fold(v.event_name) = pinterest_capi._fold($3))" \
	" AND ($4 IS NULL OR v.created_at >= $4) AND ($5 IS NULL OR v.created_at < $5)" and " OFFSET 0) AS e" \
	" WHERE o.dest = $1 AND o.status = $2 AND (o.test_mode OR NOT $7)" \
	" AND (o.reason IS NULL OR o.reason NOT LIKE '" SUCCEEDED "%%')"

/*
 * Lock them, so that neither forget() empties them nor purge() or another replay()
 * takes them before this transaction ends.
 */
#define AND_LOCKED	THEIR_EVENTS(" AND v.payload IS NOT NULL") " FOR UPDATE OF o, e"

#define EVENT_TIME_IN(payload) \
	" CASE WHEN $2 IS NULL THEN " payload " ELSE regexp_replace(" payload ", '\"event_time\":-?[0-9]+'," \
	" '\"event_time\":' || floor(extract(epoch FROM $2))::bigint) END"

/* how many of the chosen events ... */
typedef struct Counts
{
	int64		n;				/* can be replayed, or were */
	int64		emptied;		/* have no payload */
	int64		offline;		/* have the action source "offline" */
	int64		old;			/* are older than max_event_age */
} Counts;

static Oid	argtypes[NARGS] = {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID};

/* Complete a statement that has %s in the place of the outcomes. */
static char *
of_outcomes(const char *sql, const char *nulls)
{
	return psprintf(sql, nulls[3] == ' ' ? OUTCOMES_SINCE : ALL_OUTCOMES);
}

/* Count the chosen events. */
static Counts
count_events(const Datum *values, const char *nulls)
{
	Counts		counts = {0};

	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   of_outcomes("SELECT count(e.payload) AS n, count(*) FILTER (WHERE e.payload IS NULL) AS emptied,"
								   " count(*) FILTER (WHERE e.payload LIKE '%%\"action_source\":\"offline\"%%') AS offline,"
								   " count(e.payload) FILTER (WHERE $6 IS NULL AND e.event_time < clock_timestamp() -"
								   " (SELECT d.max_event_age FROM pinterest_capi.destination AS d"
								   " JOIN pinterest_capi._destination_state AS s ON s.destination = d.destination"
								   " WHERE s.dest = $1)) AS old%s" THEIR_EVENTS(""), nulls),
					   NARGS, argtypes, values, nulls, false, 0);
	counts.n = pcapi_result_int64(0, "n");
	counts.emptied = pcapi_result_int64(0, "emptied");
	counts.offline = pcapi_result_int64(0, "offline");
	counts.old = pcapi_result_int64(0, "old");
	SPI_finish();
	return counts;
}

/* how events are replayed */
typedef struct Replay
{
	bool		new_event_id;
	TimestampTz event_time;		/* 0: as it is */
} Replay;

/*
 * An event that is final may have a row of _retry: the worker's, whose transaction was
 * not over when the other one made the event final.  It may even come now, thus ON
 * CONFLICT below.
 */
#define DELETE_LEFT \
	"DELETE FROM pinterest_capi._retry AS q USING unnest($1, $2) AS r (dest, id) WHERE" PCAPI_RETRY_AS("r")

/* Attempts are counted from zero again, and so is the time for which the event may be retried. */
#define REQUEUE \
	"WITH back AS (DELETE FROM pinterest_capi._outcome AS o WHERE o.id = ANY ($1)" \
	" RETURNING o.id, o.dest, o.last_attempt_at, o.warnings" \
	"), timed AS (UPDATE pinterest_capi._event AS e SET event_time = $2, payload =" \
	EVENT_TIME_IN("e.payload") \
	" WHERE $2 IS NOT NULL AND e.id = ANY (ARRAY(SELECT id FROM back))" \
	") INSERT INTO pinterest_capi._retry (id, dest, due_at, last_attempt_at, warnings)" \
	" SELECT id, dest, clock_timestamp(), last_attempt_at," \
	" CASE WHEN " UNKNOWN " = ANY (warnings) THEN ARRAY[" UNKNOWN "] END FROM back" \
	" ON CONFLICT DO NOTHING"

/* The copies are fresh, as if they were tracked now: their ids are drawn after this transaction's xid (enqueue.c). */
#define COPY \
	"WITH chosen AS MATERIALIZED (SELECT e.*, pinterest_capi._new_event_id() AS new_id" \
	" FROM pinterest_capi._event AS e WHERE e.id = ANY ($1)" \
	"), told AS (UPDATE pinterest_capi._outcome AS o SET reason = '" SUCCEEDED "' || c.new_id" \
	" FROM chosen AS c WHERE o.id = c.id" \
	") INSERT INTO pinterest_capi._event (created_at, event_time, dest, visitor, event_id," \
	" event_name, sent_as, warnings, carries, currency, value, payload)" \
	" SELECT clock_timestamp(), coalesce($2, c.event_time), c.dest, c.visitor," \
	" c.new_id, c.event_name, c.sent_as, c.warnings, c.carries, c.currency, c.value," \
	" regexp_replace(" EVENT_TIME_IN("c.payload") \
	", $3, '\"event_id\":\"' || c.new_id || '\"')" \
	" FROM chosen AS c ORDER BY c.id"

/* Replay events whose rows are locked.  A PcapiStep. */
static int64
replay_step(Datum dests, Datum ids, void *arg)
{
	const Replay *replay = arg;
	Oid			types[STEP_NARGS] = {INT8ARRAYOID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[STEP_NARGS] = {ids, TimestampTzGetDatum(replay->event_time), CStringGetTextDatum(EVENT_ID)};
	char		nulls[STEP_NARGS] = {' ', replay->event_time == 0 ? 'n' : ' ', ' '};
	Oid			left_types[2] = {INT4ARRAYOID, INT8ARRAYOID};
	Datum		left[2] = {dests, ids};
	int64		n;

	pcapi_statistics_before(ids);
	SPI_connect();
	if (!replay->new_event_id)
		pcapi_execute_once(SPI_OK_DELETE, DELETE_LEFT, lengthof(left_types), left_types, left, NULL, false, 0);
	pcapi_execute_once(SPI_OK_INSERT, replay->new_event_id ? COPY : REQUEUE, STEP_NARGS, types, values, nulls, false, 0);
	n = (int64) SPI_processed;
	SPI_finish();
	pcapi_statistics_after(ids);
	return n;
}

/* Replay the chosen events. */
static int64
replay_events(const Replay *replay, const Datum *values, const char *nulls)
{
	int			level = pcapi_plan_by_key();
	int64		n = pcapi_in_steps(of_outcomes("SELECT o.dest, o.id%s" AND_LOCKED, nulls), NARGS, argtypes, values, nulls,
								   replay_step, unconstify(Replay *, replay));

	AtEOXact_GUC(true, level);
	return n;
}

/* Return whether a status is a final one. */
static bool
is_final(const char *status)
{
	static const char *const final[] = {"sent", "failed", "expired", "rejected", "suppressed", "cancelled"};

	for (int i = 0; i < lengthof(final); i++)
		if (strcmp(status, final[i]) == 0)
			return true;
	return false;
}

/* Notify the caller of chosen events that can't be replayed, will expire, or are offline. */
static void
notice_exceptions(const Counts *counts)
{
	if (counts->emptied > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld event has no payload and cannot be replayed",
							   "%lld events have no payload and cannot be replayed",
							   counts->emptied, (long long) counts->emptied),
				 errdetail("Payloads are emptied after pinterest_capi.payload_retention and by forget; what a gate stopped never had one."),
				 errhint("Track such an event again, under another event_id."),
				 pcapi_errhide()));
	if (counts->old > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld event is older than max_event_age and will expire",
							   "%lld events are older than max_event_age and will expire",
							   counts->old, (long long) counts->old),
				 errhint("Use event_time_now => true to send with the current time."),
				 pcapi_errhide()));
	if (counts->offline > 0)
		ereport(WARNING,
				(errmsg_plural("%lld offline event is among them", "%lld offline events are among them",
							   counts->offline, (long long) counts->offline),
				 errdetail("Pinterest cannot deduplicate offline events: what it has processed before counts twice."),
				 errhint("What must not go is taken back with cancel, as long as it waits; dry_run => true only counts."),
				 pcapi_errhide()));
}

PG_FUNCTION_INFO_V1(pcapi_sql_replay);
Datum
pcapi_sql_replay(PG_FUNCTION_ARGS)
{
	char	   *destination = pcapi_text_arg(fcinfo, 0);
	char	   *status = pcapi_text_arg(fcinfo, 1);
	bool		new_event_id = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	bool		event_time_now = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	bool		dry_run = !PG_ARGISNULL(7) && PG_GETARG_BOOL(7);
	Datum		values[NARGS];
	char		nulls[NARGS] = {' ', ' ', ' ', ' ', ' ', ' ', ' '};
	bool		only_tested = false;
	Replay		replay = {new_event_id, event_time_now ? GetCurrentTimestamp() : 0};
	PcapiUserContext saved;
	Counts		counts;

	if (status == NULL || !is_final(status))
		pcapi_error_invalid_parameter(("status must be a final one"),
									  ("Final are sent, failed, expired, rejected, suppressed and cancelled."));
	if (!dry_run)
		pcapi_check_writable("replay()");

	pcapi_switch_to_owner(&saved, true);
	/* the sequence before the table, as in enqueue.c */
	if (new_event_id && !dry_run)
		LockRelationOid(pcapi_table(PCAPI_TABLE_EVENT_SEQUENCE), RowExclusiveLock);
	pcapi_check_destination(destination);
	values[0] = Int32GetDatum(pcapi_destination_number(destination, false));
	values[1] = CStringGetTextDatum(status);
	for (int i = 2; i <= 4; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		if (PG_ARGISNULL(i))
			nulls[i] = 'n';
	}
	values[5] = TimestampTzGetDatum(replay.event_time);
	if (!event_time_now)
		nulls[5] = 'n';

	/*
	 * An event that was sent in test mode counts for the first time when it
	 * is sent again under the same event_id.  If there are such events, those
	 * that Pinterest has processed are not chosen.
	 */
	if (strcmp(status, "sent") == 0 && !new_event_id)
	{
		values[6] = BoolGetDatum(true);
		counts = count_events(values, nulls);
		only_tested = counts.n > 0;
	}
	values[6] = BoolGetDatum(only_tested);
	if (!only_tested)
		counts = count_events(values, nulls);
	if (!dry_run && counts.n > 0)
	{
		counts.n = replay_events(&replay, values, nulls);
		pcapi_wake_at_commit();
	}
	pcapi_restore_user(&saved);
	if (only_tested)
		ereport(NOTICE,
				(errmsg("only events that were sent in test mode are taken, Pinterest has discarded these"),
				 errhint("Events that were sent for real are taken where there is none of these, or with new_event_id => true."),
				 pcapi_errhide()));
	notice_exceptions(&counts);
	PG_RETURN_INT64(counts.n);
}
