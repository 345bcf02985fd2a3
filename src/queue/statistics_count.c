/*
 * statistics_count.c
 *	  Count events for the statistics, in the worker.
 *
 *	   counted               not counted
 *	-------------+-----------------+---------------> ids
 *	             |                 |
 *	            mark            decided
 *
 * The mark moves from id to id and counts each event once, under what it is then.
 * Changes after that are in _statistics_change (statistics.c).  A step takes these, and moves
 * the mark, by one snapshot.  So it knows of each event whether a change was committed
 * before or after it was counted.
 *
 * The mark stays where a transaction may still commit an event with a lower id.  As for
 * the worker's cursor (worker/sender.h), a session has its transaction's id before it
 * draws an event's id: once all transactions are over that have an id now, the ids that
 * are drawn now are decided.
 *
 * Nearly all events have been sent a moment ago when the mark reaches them, by this
 * process, which remembers what they count for.  It reads the others.  What it
 * remembers is of no importance: after a crash, all of them are read.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "fmgr.h"
#include "queue/statistics.h"
#include "queue/statistics_count.h"
#include "queue/tally.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* events that are remembered: 800 kB, or some 200 ms of what one worker sends at most */
#define REMEMBERED_MAX	20000

/* changes that a step takes */
#define CHANGES_PER_STEP	10000

/* ids by which a step moves the mark at most, if it has events in memory */
#define IDS_PER_STEP	1000000


/* ---- what is remembered ---- */

typedef struct Remembered
{
	int64		id;
	TimestampTz created_at;
	PcapiCounted counted;
	bool		test_mode;
} Remembered;

static Remembered *remembered = NULL;
static int	n_remembered = 0;
static int64 last_mark = 0;		/* as read last */

int64
pcapi_statistics_read_mark(void)
{
	static SPIPlanPtr plan = NULL;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan, "SELECT " PCAPI_STATISTICS_MARK " AS mark", 0, NULL),
				  NULL, NULL, false, 0);
	last_mark = pcapi_result_int64(0, "mark");
	SPI_finish();
	return last_mark;
}

void
pcapi_statistics_remember(const PcapiEventOutcome *settled, int n, const PcapiWritten *written)
{
	if (remembered == NULL)
		remembered = MemoryContextAlloc(TopMemoryContext, sizeof(Remembered) * REMEMBERED_MAX);
	for (int i = 0; i < n && n_remembered < REMEMBERED_MAX; i++)
	{
		const PcapiEventOutcome *s = &settled[i];
		Remembered *r = &remembered[n_remembered];

		if (written[i] != PCAPI_WRITTEN || s->outcome != PCAPI_SENT || s->id <= last_mark ||
			s->created_at == 0 || s->counted.kind == PCAPI_KIND_UNKNOWN)
			continue;
		r->id = s->id;
		r->created_at = s->created_at;
		r->counted = s->counted;
		r->test_mode = s->test_mode;
		n_remembered++;
	}
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = DatumGetInt64(*(const Datum *) a);
	int64		y = DatumGetInt64(*(const Datum *) b);

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Forget the events that a session has changed: they are read again. */
static void
drop_changed(Datum array)
{
	Datum	   *ids;
	int			n;
	int			kept = 0;

	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ids, NULL, &n);
	if (n == 0 || n_remembered == 0)
		return;
	qsort(ids, n, sizeof(Datum), compare_ids);
	for (int i = 0; i < n_remembered; i++)
	{
		Datum		id = Int64GetDatum(remembered[i].id);

		if (bsearch(&id, ids, n, sizeof(Datum), compare_ids) == NULL)
			remembered[kept++] = remembered[i];
	}
	n_remembered = kept;
}

/* Forget the events up to an id. */
static void
drop_up_to(int64 id)
{
	int			kept = 0;

	for (int i = 0; i < n_remembered; i++)
		if (remembered[i].id > id)
			remembered[kept++] = remembered[i];
	n_remembered = kept;
}

/* ---- which ids are decided ---- */

/* Return the last id that was drawn; 0: none, or ids may have been drawn in advance. */
static int64
last_drawn(void)
{
	Oid			sequence = pcapi_table(PCAPI_TABLE_EVENT_SEQUENCE);
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	bool		cached;
	int64		last;

	if (!HeapTupleIsValid(tuple))
		return 0;
	cached = ((Form_pg_sequence) GETSTRUCT(tuple))->seqcache > 1;
	ReleaseSysCache(tuple);
	if (cached)
		return 0;
	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT CASE WHEN q.is_called THEN q.last_value ELSE 0 END AS last FROM pinterest_capi._event_id_seq AS q",
					  true);
	last = pcapi_result_int64(0, "last");
	SPI_finish();
	return last;
}

/* Return the id up to which each event can be seen by the transaction's snapshot, or will never be there. */
static int64
decided_up_to(void)
{
	static int64 decided = 0;
	static int64 drawn = 0;
	static TransactionId drawn_before = InvalidTransactionId;	/* invalid: drawn is not set */
	TransactionId xmin = GetTransactionSnapshot()->xmin;

	for (int i = 0; i < 2; i++)
	{
		if (!TransactionIdIsValid(drawn_before))
		{
			drawn = last_drawn();
			drawn_before = XidFromFullTransactionId(ReadNextFullTransactionId());
		}
		if (!TransactionIdPrecedesOrEquals(drawn_before, xmin))
			break;
		decided = drawn;
		drawn_before = InvalidTransactionId;
	}
	return decided;
}

/* ---- the mark ---- */

/*
 * Read the mark.  False: wait, as a restore may be going on.  It brings rows of _event
 * first, and the mark later, which says that they are counted.  Then there are two
 * rows: the lower one is this database's own.
 */
static bool
find_mark(int64 *mark)
{
	static SPIPlanPtr plan = NULL;
	int64		rows;
	bool		restoring;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT coalesce(max(m.mark), 0) AS mark, count(*) AS rows,"
							 " coalesce(max(m.mark), 0) = 0 AND count(*) = 1 AND"
							 " (SELECT e.id > CASE WHEN q.is_called THEN q.last_value ELSE 0 END"
							 " OR e.created_at < max(m.made_at) AND clock_timestamp() < max(m.made_at) + interval '1 hour'"
							 " FROM pinterest_capi._event_id_seq AS q,"
							 " (SELECT v.id, v.created_at FROM pinterest_capi._event AS v ORDER BY v.id LIMIT 1) AS e) AS restoring"
							 " FROM pinterest_capi._statistics_mark AS m",
							 0, NULL),
				  NULL, NULL, true, 0);
	*mark = last_mark = pcapi_result_int64(0, "mark");
	rows = pcapi_result_int64(0, "rows");
	restoring = pcapi_result_bool(0, "restoring");
	if (rows > 1)
		pcapi_execute_sql(SPI_OK_DELETE,
						  "DELETE FROM pinterest_capi._statistics_mark WHERE ctid <>"
						  " (SELECT m.ctid FROM pinterest_capi._statistics_mark AS m ORDER BY m.mark DESC LIMIT 1)",
						  false);
	SPI_finish();
	return rows > 0 && !restoring;
}

static void
move_mark(int64 mark)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(mark)};

	SPI_connect();
	pcapi_execute(SPI_OK_UPDATE,
				  pcapi_plan(&plan, "UPDATE pinterest_capi._statistics_mark SET mark = $1", 1, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/* ---- counting ---- */

#define ADDING \
	" DO UPDATE SET" \
	" events = s.events + excluded.events, value = s.value + excluded.value," \
	" stand_in = s.stand_in + excluded.stand_in, stand_in_value = s.stand_in_value + excluded.stand_in_value," \
	" em = s.em + excluded.em, ph = s.ph + excluded.ph, click_id = s.click_id + excluded.click_id," \
	" external_id = s.external_id + excluded.external_id, hashed_maids = s.hashed_maids + excluded.hashed_maids," \
	" ip = s.ip + excluded.ip, user_agent = s.user_agent + excluded.user_agent, matchable = s.matchable + excluded.matchable"

/* Add the rows of a WITH clause's part named summed to the rows of the same keys. */
#define ADD_TO_HOURS \
	"INSERT INTO pinterest_capi._statistics AS s (" PCAPI_COUNTED_COLUMNS("") ")" \
	" SELECT" PCAPI_COUNTED_COLUMNS("t.") " FROM summed AS t" \
	" ON CONFLICT (hour, dest, event_name, status, sent_as, reason, test_mode, currency)" ADDING

/* Add those of days that are there as a whole (statistics_days.c). */
#define ADD_TO_DAYS \
	"INSERT INTO pinterest_capi._statistics_day AS s (day," PCAPI_COUNTED_KIND("") "," PCAPI_COUNTED_NUMBERS("") ")" \
	" SELECT" PCAPI_DAY("t.") "," PCAPI_COUNTED_KIND("t.") "," PCAPI_COUNTED_SUMS("t.") " FROM summed AS t" \
	" WHERE t.hour < " PCAPI_FIRST_HOUR_WITHOUT_DAY " GROUP BY" PCAPI_DAY("t.") "," PCAPI_COUNTED_KIND("t.") \
	" ON CONFLICT (day, dest, event_name, status, sent_as, reason, test_mode, currency)" ADDING

/* Add changes and delete them.  Return how many. */
static int64
take_changes(int64 mark)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		values[2] = {Int64GetDatum(mark), Int32GetDatum(CHANGES_PER_STEP)};
	int64		n;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "WITH taken AS (DELETE FROM pinterest_capi._statistics_change WHERE ctid = ANY"
							 " (ARRAY(SELECT n.ctid FROM pinterest_capi._statistics_change AS n LIMIT $2)) RETURNING *),"
							 " summed (" PCAPI_COUNTED_COLUMNS("") ") AS"
							 " (SELECT" PCAPI_COUNTED_KEY("t.") "," PCAPI_COUNTED_SUMS("t.") " FROM taken AS t"
							 " WHERE t.id IS NULL OR t.deleted = (t.id > $1) GROUP BY" PCAPI_COUNTED_KEY("t.") "),"
							 " hours AS (" ADD_TO_HOURS "), days AS (" ADD_TO_DAYS ")"
							 " SELECT count(*) AS n, coalesce(array_agg(t.id) FILTER (WHERE t.id > $1), '{}') AS ids FROM taken AS t",
							 2, types),
				  values, NULL, false, 0);
	n = pcapi_result_int64(0, "n");
	if (n > 0)
	{
		drop_changed(pcapi_result_array(0, "ids"));
		pcapi_execute_sql(SPI_OK_DELETE,
						  "DELETE FROM pinterest_capi._statistics AS s WHERE s.status IN ('queued', 'retrying') AND s.events = 0",
						  false);
		pcapi_execute_sql(SPI_OK_DELETE,
						  "DELETE FROM pinterest_capi._statistics_day AS s WHERE s.status IN ('queued', 'retrying') AND s.events = 0",
						  false);
	}
	SPI_finish();
	return n;
}

/* the ids that a step counts */
typedef struct Range
{
	int64		mark;			/* up to here they are counted */
	int64		end;			/* up to here they will be */
	uint8	   *known;			/* a bit for each id from mark + 1 on: it is remembered */
	int64		room;			/* how many ids have a bit */
	Datum	   *lows;			/* the ids that are not: n ranges, ends included */
	Datum	   *highs;
	int			n;
} Range;

static bool
is_known(const Range *range, int64 id)
{
	int64		i = id - range->mark - 1;

	return i < range->room && (range->known[i / 8] & (1 << i % 8)) != 0;
}

/* Note the remembered events in the range.  One that is there twice is forgotten once. */
static void
note_known(Range *range)
{
	range->room = range->end - range->mark;
	range->known = palloc0(range->room / 8 + 1);
	for (int i = 0; i < n_remembered; i++)
	{
		int64		bit = remembered[i].id - range->mark - 1;

		if (bit < 0 || bit >= range->room)
			continue;
		if (range->known[bit / 8] & (1 << bit % 8))
			remembered[i--] = remembered[--n_remembered];
		else
			range->known[bit / 8] |= 1 << bit % 8;
	}
}

/* Return the id of the last of some events behind an id; the range's limit if there are fewer. */
static int64
end_of_some(int64 after, int64 limit, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT8OID, INT8OID, INT4OID};
	Datum		values[3] = {Int64GetDatum(after), Int64GetDatum(limit), Int32GetDatum(n)};
	int64		end;

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "SELECT count(*) AS n, max(n.id) AS last FROM (SELECT e.id FROM pinterest_capi._event AS e"
							 " WHERE e.id > $1 AND e.id <= $2 ORDER BY e.id LIMIT $3) AS n",
							 3, types),
				  values, NULL, true, 0);
	end = pcapi_result_int64(0, "n") < n ? limit : pcapi_result_int64(0, "last");
	SPI_finish();
	return end;
}

/*
 * Choose the ids from the mark on, and up to a limit, that a step counts: those that are
 * remembered, and of the others as many as the budget has room for.
 */
static void
choose_range(Range *range, int64 mark, int64 decided, int budget)
{
	int64		unknown = 0;
	int			room = 64;

	range->mark = mark;
	range->end = Min(decided, mark + IDS_PER_STEP);
	note_known(range);
	for (int64 id = mark + 1; id <= range->end; id++)
	{
		int64		skip = (id - mark - 1) / 8;

		/* eight at once */
		if ((id - mark - 1) % 8 == 0 && range->known[skip] == 0xff)
			id += 7;
		else if (!is_known(range, id) && ++unknown > budget)
		{
			int64		end = budget > 0 ? end_of_some(mark, decided, budget) : id - 1;

			/* many ids, and few events: as if none of them were remembered */
			if (end > range->end)
				range->room = 0;
			range->end = Max(end, id - 1);
			break;
		}
	}

	range->lows = palloc(sizeof(Datum) * room);
	range->highs = palloc(sizeof(Datum) * room);
	range->n = 0;
	for (int64 id = mark + 1; id <= range->end; id++)
	{
		int64		low = id;

		if (range->room == 0)
			id = range->end + 1;
		while (id <= range->end && !is_known(range, id))
			id++;
		if (id == low)
			continue;
		if (range->n == room)
		{
			room *= 2;
			range->lows = repalloc(range->lows, sizeof(Datum) * room);
			range->highs = repalloc(range->highs, sizeof(Datum) * room);
		}
		range->lows[range->n] = Int64GetDatum(low);
		range->highs[range->n++] = Int64GetDatum(id - 1);
	}
}

/* Count the events of the range.  In a subtransaction. */
static void
count_range(void *arg)
{
	const Range *range = arg;
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {InvalidOid, INT8ARRAYOID, INT8ARRAYOID};
	Datum		values[3];
	PcapiTally *tally = pcapi_tally_make();

	for (int i = 0; i < n_remembered; i++)
	{
		const Remembered *r = &remembered[i];

		if (r->id > range->mark && r->id <= range->end && range->room > 0)
			pcapi_tally_add(tally, 1, r->created_at, &r->counted, "sent", NULL, r->test_mode);
	}
	values[0] = pcapi_tally_rows(tally, &types[0]);
	values[1] = pcapi_array(range->lows, range->n, INT8OID);
	values[2] = pcapi_array(range->highs, range->n, INT8OID);
	SPI_connect();
	pcapi_execute(SPI_OK_INSERT,
				  pcapi_plan(&plan,
							 "WITH summed (" PCAPI_COUNTED_COLUMNS("") ") AS"
							 " (SELECT" PCAPI_COUNTED_KEY("t.") "," PCAPI_COUNTED_SUMS("t.") " FROM (SELECT" PCAPI_COUNTED_COLUMNS("t.")
							 " FROM unnest($1) AS t UNION ALL SELECT" PCAPI_COUNTED_COLUMNS("c.")
							 " FROM unnest($2, $3) AS r (low, high) CROSS JOIN LATERAL"
							 " (SELECT v.* FROM pinterest_capi._counted AS v WHERE v.id >= r.low AND v.id <= r.high OFFSET 0) AS c) AS t"
							 " GROUP BY" PCAPI_COUNTED_KEY("t.") "), days AS (" ADD_TO_DAYS ") " ADD_TO_HOURS,
							 3, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/*
 * Count the events of the range.  If one cannot be read (a damaged page), count only
 * those before it; the next step does without it.
 */
static void
count_readable(Range *range, int budget)
{
	int			code;
	char	   *problem;

	while ((problem = pcapi_subxact_error_code(count_range, range, &code)) != NULL)
	{
		int64		n = range->end - range->mark;

		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_INTERNAL_ERROR)
			ereport(ERROR,
					(errcode(code),
					 errmsg("could not count events: %s", problem),
					 errhint("It is tried again; event_statistics is right meanwhile.")));
		if (n == 1)
			return;
		choose_range(range, range->mark, range->mark + n / 2, budget);
	}
}

void
pcapi_count_step(PcapiCountStep *step)
{
	int64		decided;
	Range		range;

	step->progress = step->more = step->read = false;
	step->mark = -1;
	if (!find_mark(&step->mark))
		return;
	decided = decided_up_to();
	switch (take_changes(step->mark))
	{
		case 0:
			break;
		case CHANGES_PER_STEP:
			/* a change that is left must not be of an event that the mark passes now */
			step->progress = step->more = true;
			return;
		default:
			step->progress = true;
	}
	if (decided <= step->mark)
		return;
	choose_range(&range, step->mark, decided, step->budget);
	if (range.end <= step->mark)
	{
		step->more = true;
		return;
	}
	count_readable(&range, step->budget);
	move_mark(range.end);
	step->mark = range.end;
	step->read = range.n > 0;
	step->more = range.end < decided;
	step->progress = true;
}

void
pcapi_count_committed(const PcapiCountStep *step)
{
	if (step->mark < 0)
		return;
	last_mark = step->mark;
	drop_up_to(step->mark);
}
