/*
 * statistics.c
 *	  Tell the statistics of events whose status changes, or that are deleted.
 *
 * The worker alone writes _statistics (statistics_count.c).  It counts each event once, when the
 * mark reaches its id, under what it is then.  Who changes a status inserts rows into
 * _statistics_change, in the same transaction: what the event was counted as is taken
 * off, what it is now is added.  So nobody waits for a row that others write.
 *
 * Whether the mark has reached an event is known for sure only if the statement's
 * snapshot shows it.  Else the row has the event's id, and the worker decides: of a
 * change that was committed before it counted the event, it takes no notice.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/statistics.h"
#include "queue/statistics_count.h"
#include "queue/tally.h"
#include "utils/builtins.h"

#define INTO_CHANGES "INSERT INTO pinterest_capi._statistics_change (id, deleted," PCAPI_COUNTED_COLUMNS("") ")"

/* an event's share as it is now, times a sign */
#define SIGNED_SUMS(sign) \
	" " sign " * sum(c.events), " sign " * sum(c.value), " sign " * sum(c.stand_in), " sign " * sum(c.stand_in_value)," \
	" " sign " * sum(c.em), " sign " * sum(c.ph), " sign " * sum(c.click_id), " sign " * sum(c.external_id)," \
	" " sign " * sum(c.hashed_maids), " sign " * sum(c.ip), " sign " * sum(c.user_agent), " sign " * sum(c.matchable)"

#define THEIR_SHARES(ids) \
	" CROSS JOIN LATERAL (SELECT * FROM pinterest_capi._counted AS v WHERE v.id = " ids ".id OFFSET 0) AS c"

/* Insert what the events count for now, times a sign. */
static void
insert_shares(Datum ids, int sign)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT8ARRAYOID, INT4OID};
	Datum		values[2] = {ids, Int32GetDatum(sign)};

	SPI_connect();
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_plan(&plan,
							 INTO_CHANGES
							 " SELECT c.above, false," PCAPI_COUNTED_KEY("c.") "," SIGNED_SUMS("$2")
							 " FROM (SELECT c.*, CASE WHEN c.id > " PCAPI_STATISTICS_MARK " THEN c.id END AS above"
							 " FROM unnest($1) AS i (id)" THEIR_SHARES("i") ") AS c"
							 " GROUP BY c.above," PCAPI_COUNTED_KEY("c."),
							 2, types),
				  values, NULL, false, 0);
	SPI_finish();
}

void
pcapi_statistics_before(Datum ids)
{
	insert_shares(ids, -1);
}

void
pcapi_statistics_after(Datum ids)
{
	insert_shares(ids, 1);
}

/* Insert what a tally has added up. */
static void
insert_tally(const PcapiTally *tally)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1];
	Datum		values[1] = {pcapi_tally_rows(tally, &types[0])};

	SPI_connect();
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_plan(&plan,
							 INTO_CHANGES " SELECT NULL, false," PCAPI_COUNTED_COLUMNS("c.") " FROM unnest($1) AS c",
							 1, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/* events that waited */
typedef struct Ended
{
	Datum	   *ids;
	Datum	   *statuses;		/* that they had */
	int			n;
} Ended;

/* Add one. */
static void
add_ended(Ended *ended, int64 id, bool retried)
{
	ended->ids[ended->n] = Int64GetDatum(id);
	ended->statuses[ended->n++] = CStringGetTextDatum(retried ? "retrying" : "queued");
}

/*
 * Insert their changes: from the status that they had, which has no reason, to what they
 * are now.  A PcapiPartWork.
 */
static void
insert_part(void *arg, int from, int n)
{
	static SPIPlanPtr plan = NULL;
	const Ended *ended = arg;
	Oid			types[2] = {INT8ARRAYOID, TEXTARRAYOID};
	Datum		values[2] = {pcapi_array(ended->ids + from, n, INT8OID), pcapi_array(ended->statuses + from, n, TEXTOID)};

	SPI_connect();
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_plan(&plan,
							 INTO_CHANGES
							 " SELECT c.above, false," PCAPI_COUNTED_KEY("c.") "," SIGNED_SUMS("c.sign")
							 " FROM (SELECT CASE WHEN c.id > " PCAPI_STATISTICS_MARK " THEN c.id END AS above, c.hour, c.dest, c.event_name, c.sent_as, s.sign,"
							 " CASE s.sign WHEN 1 THEN c.status ELSE i.status END AS status,"
							 " CASE s.sign WHEN 1 THEN c.reason END AS reason,"
							 " s.sign = 1 AND c.test_mode AS test_mode, c.currency, c.events, c.value, c.stand_in, c.stand_in_value,"
							 " c.em, c.ph, c.click_id, c.external_id, c.hashed_maids, c.ip, c.user_agent, c.matchable"
							 " FROM unnest($1, $2) AS i (id, status)" THEIR_SHARES("i")
							 " CROSS JOIN (VALUES (1), (-1)) AS s (sign)) AS c"
							 " GROUP BY c.above, c.sign," PCAPI_COUNTED_KEY("c."),
							 2, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/* Do so for all.  An event whose row cannot be read must not keep the others from being settled. */
static void
insert_ended(Ended *ended)
{
	(void) pcapi_by_halves(insert_part, ended, 0, ended->n);
}

/* Make room for some. */
static Ended
make_ended(int room)
{
	Ended		ended = {palloc(sizeof(Datum) * Max(room, 1)), palloc(sizeof(Datum) * Max(room, 1)), 0};

	return ended;
}

void
pcapi_statistics_ended(const Datum *ids, const bool *retried, int n)
{
	int64		mark = pcapi_statistics_read_mark();
	Ended		ended = make_ended(n);

	for (int i = 0; i < n; i++)
		if (DatumGetInt64(ids[i]) <= mark)
			add_ended(&ended, DatumGetInt64(ids[i]), retried[i]);
	insert_ended(&ended);
}

void
pcapi_statistics_finalized(const Datum *ids, const bool *retried, int n)
{
	Ended		ended = make_ended(n);

	for (int i = 0; i < n; i++)
		add_ended(&ended, DatumGetInt64(ids[i]), retried[i]);
	if (n > 0)
		insert_part(&ended, 0, n);
}

/*
 * An event above the mark is not counted yet; statistics_count.c finds it as it is then.  So in
 * most cases there is nothing to be written.
 */
void
pcapi_statistics_settled(const PcapiEventOutcome *settled, int n, const PcapiWritten *written,
						 const bool *fast, const bool *retried)
{
	int64		mark = pcapi_statistics_read_mark();
	PcapiTally *tally = pcapi_tally_make();
	Ended		others = make_ended(n);

	for (int i = 0; i < n; i++)
	{
		const PcapiEventOutcome *s = &settled[i];

		if (written[i] != PCAPI_WRITTEN || s->id > mark)
			continue;
		if (fast[i] && s->counted.kind != PCAPI_KIND_UNKNOWN)
		{
			pcapi_tally_add(tally, -1, s->created_at, &s->counted, "queued", NULL, false);
			pcapi_tally_add(tally, 1, s->created_at, &s->counted, pcapi_outcome_name(s->outcome), s->reason, s->test_mode);
		}
		else if (s->outcome != PCAPI_RETRY || !retried[i])
			add_ended(&others, s->id, retried[i]);
	}
	if (!pcapi_tally_is_empty(tally))
		insert_tally(tally);
	insert_ended(&others);
}
