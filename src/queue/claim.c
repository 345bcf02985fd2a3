/*
 * claim.c
 *	  What the worker takes from the queue, but for events that were never tried
 *	  (fresh.c).
 *
 * One worker per database holds an advisory lock, so nothing here locks rows.
 * A row that is out stays in the queue as it is; the worker knows in memory
 * which those are, and a lease row (one per request, committed before the
 * request leaves) tells the next worker if this one dies.
 */
#include "queue/claim.h"

#include "access/detoast.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

static char *
text_column(int row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	char	   *s;

	if (isnull)
		return NULL;
	s = TextDatumGetCString(d);
	return MemoryContextStrdup(context, s);
}

static Datum
column(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

static TimestampTz
time_column(int row, int number)
{
	bool		isnull;
	Datum		d = column(row, number, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(d);
}

/* The token as it was given, from its two halves. */
static char *
unmask(Datum pad_datum, Datum masked_datum, MemoryContext context)
{
	bytea	   *pad = DatumGetByteaPP(pad_datum);
	bytea	   *masked = DatumGetByteaPP(masked_datum);
	size_t		len = Min(VARSIZE_ANY_EXHDR(pad), VARSIZE_ANY_EXHDR(masked));
	char	   *token = MemoryContextAlloc(context, len + 1);

	memcpy(token, VARDATA_ANY(masked), len);
	pcapi_xor(token, VARDATA_ANY(pad), len);
	token[len] = '\0';
	return token;
}

List *
pcapi_targets(void)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	List	   *targets = NIL;
	bool		others_send = pcapi_published();

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"SELECT s.dest, d.destination, d.enabled, s.paused_at IS NOT NULL,"
								" d.tag_id IS NOT NULL, d.ad_account_id, x.pad, x.masked, d.api_url,"
								" d.test_mode, d.batch_size, d.max_requests_per_minute,"
								" (1000000 * extract(epoch FROM c.now - (c.now - d.max_event_age)))::bigint,"
								" (1000000 * extract(epoch FROM c.now - (c.now - d.retry_for)))::bigint,"
								" s.backoff_until, s.failing_since, s.backoff_reason, s.life"
								" FROM pinterest_capi.destination AS d"
								" JOIN pinterest_capi._destination_state AS s ON s.destination = d.destination"
								" LEFT JOIN pinterest_capi._secret AS x ON x.destination = d.destination"
								" CROSS JOIN (SELECT clock_timestamp() AS now) AS c",
								0, NULL),
					 NULL, NULL, false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiTarget *t = MemoryContextAllocZero(context, sizeof(PcapiTarget));
		bool		isnull;
		bool		no_token;
		Datum		pad;
		Datum		masked;
		MemoryContext spi_context;

		t->dest = DatumGetInt32(column(i, 1, &isnull));
		t->name = text_column(i, 2, context);
		t->ad_account_id = text_column(i, 6, context);
		pad = column(i, 7, &no_token);
		masked = column(i, 8, &isnull);
		if (!no_token && !isnull)
			t->token = unmask(pad, masked, context);
		t->may_read_files = has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);
		t->sendable = DatumGetBool(column(i, 5, &isnull)) && t->ad_account_id && t->token;
		t->ready = t->sendable && DatumGetBool(column(i, 3, &isnull)) &&
			!DatumGetBool(column(i, 4, &isnull)) && !others_send;
		t->api_url = text_column(i, 9, context);
		t->test_mode = DatumGetBool(column(i, 10, &isnull));
		t->batch_size = DatumGetInt32(column(i, 11, &isnull));
		t->max_requests_per_minute = DatumGetInt32(column(i, 12, &isnull));
		t->max_event_age = DatumGetInt64(column(i, 13, &isnull));
		t->retry_for = DatumGetInt64(column(i, 14, &isnull));
		t->backoff_until = time_column(i, 15);
		t->failing_since = time_column(i, 16);
		t->backoff_reason = text_column(i, 17, context);
		t->life = DatumGetInt32(column(i, 18, &isnull));

		spi_context = MemoryContextSwitchTo(context);
		targets = lappend(targets, t);
		MemoryContextSwitchTo(spi_context);
	}
	SPI_finish();
	return targets;
}

static Datum
id_array(const int64 *ids, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

typedef struct Stored
{
	Datum		payload;
	text	   *text;			/* once it is read */
} Stored;

static void
detoast(void *arg)
{
	Stored	   *stored = arg;

	stored->text = DatumGetTextPP(stored->payload);
}

/*
 * What is stored out of line or compressed may be damaged, while the row is
 * not.  It is read in a subtransaction then: the event is put off, and those
 * beside it are sent.
 */
static text *
read_stored(PcapiClaimed *event, Datum payload)
{
	Stored		stored = {.payload = payload};

	if (VARATT_IS_EXTERNAL(DatumGetPointer(payload)) || VARATT_IS_COMPRESSED(DatumGetPointer(payload)))
		event->problem = pcapi_isolated(detoast, &stored);
	else
		detoast(&stored);
	return event->problem ? NULL : stored.text;
}

void
pcapi_read_payload(PcapiReader *reader, PcapiClaimed *event, Datum payload, bool isnull)
{
	Size		len;
	text	   *t;

	event->unread = reader->full || reader->skip(reader->arg, event->id);
	if (event->unread || isnull)
		return;

	/* the size can be told without fetching what is stored out of line */
	len = toast_raw_datum_size(payload) - VARHDRSZ;
	if (reader->any && len > reader->room)
	{
		event->unread = reader->full = true;
		return;
	}
	t = read_stored(event, payload);
	if (t == NULL)
		return;
	reader->any = true;
	reader->room -= Min(len, reader->room);
	event->payload_len = VARSIZE_ANY_EXHDR(t);
	event->payload = palloc(event->payload_len + 1);
	memcpy(event->payload, VARDATA_ANY(t), event->payload_len);
	event->payload[event->payload_len] = '\0';
	if ((Pointer) t != DatumGetPointer(payload))
		pfree(t);
}

#define SELECT_EVENTS \
	"SELECT q.id, q.attempts, greatest(e.created_at, q.due_at), e.event_time, q.first_attempt_at, e.payload, e.created_at"

/* one by one, as queue/queue.h says */
#define THEIR_EVENTS \
	" CROSS JOIN LATERAL (SELECT v.created_at, v.event_time, v.payload FROM pinterest_capi._event AS v" \
	" WHERE v.id = q.id OFFSET 0) AS e"

/* the rows of the last statement, which begins with SELECT_EVENTS */
static int
take_events(PcapiClaimed **events, PcapiReader *reader, MemoryContext context)
{
	int			n = (int) SPI_processed;
	MemoryContext old = MemoryContextSwitchTo(context);

	*events = palloc_extended(sizeof(PcapiClaimed) * Max(n, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < n; i++)
	{
		PcapiClaimed *e = &(*events)[i];
		bool		isnull;
		Datum		payload;

		e->id = DatumGetInt64(column(i, 1, &isnull));
		e->attempts = DatumGetInt32(column(i, 2, &isnull));
		e->waits_since = time_column(i, 3);
		e->event_time = time_column(i, 4);
		e->first_attempt_at = time_column(i, 5);
		e->created_at = time_column(i, 7);
		payload = column(i, 6, &isnull);
		pcapi_read_payload(reader, e, payload, isnull);
	}
	MemoryContextSwitchTo(old);
	return n;
}

/* Read-only, so by the active snapshot, as fresh.c wants it. */
int
pcapi_fetch_fresh_by_sql(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, INT8OID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(after), Int64GetDatum(limit)};
	MemoryContext context = CurrentMemoryContext;
	int			n;

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								SELECT_EVENTS
								" FROM (SELECT w.id, w.attempts, w.first_attempt_at, w.due_at FROM pinterest_capi._queue AS w"
								" WHERE w.dest = $1 AND w.id > $2 AND w.due_at IS NULL"
								" ORDER BY w.dest, w.id LIMIT $3) AS q"
								THEIR_EVENTS " ORDER BY q.id",
								3, types),
					 values, NULL, true, 0);
	n = take_events(events, reader, context);
	SPI_finish();
	return n;
}

/*
 * The time is a parameter here and below: with clock_timestamp(), which is
 * volatile, the index would be read from end to end.
 */
int
pcapi_fetch_due(int dest, int limit, PcapiReader *reader, PcapiClaimed **events)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, TIMESTAMPTZOID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(limit), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context = CurrentMemoryContext;
	int			n;

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								SELECT_EVENTS
								" FROM (SELECT w.id, w.attempts, w.first_attempt_at, w.due_at FROM pinterest_capi._queue AS w"
								" WHERE w.dest = $1 AND w.due_at <= $3"
								" ORDER BY w.dest, w.due_at LIMIT $2) AS q"
								THEIR_EVENTS,
								3, types),
					 values, NULL, false, 0);
	n = take_events(events, reader, context);
	SPI_finish();
	return n;
}

/* those of ids that still wait, in id order; ids are sorted */
int
pcapi_fetch_ids(int dest, const int64 *ids, int n, PcapiReader *reader, PcapiClaimed **events)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, INT8ARRAYOID};
	Datum		values[2];
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = id_array(ids, n);
	SPI_execute_plan(pcapi_plan(&plan,
								SELECT_EVENTS
								" FROM unnest($2) WITH ORDINALITY AS i (id, n)"
								" CROSS JOIN LATERAL (SELECT w.id, w.attempts, w.first_attempt_at, w.due_at"
								" FROM pinterest_capi._queue AS w WHERE w.dest = $1 AND w.id = i.id OFFSET 0) AS q"
								THEIR_EVENTS " ORDER BY i.n",
								2, types),
					 values, NULL, false, 0);
	n = take_events(events, reader, context);
	SPI_finish();
	return n;
}

typedef struct Single
{
	int			dest;
	PcapiReader *reader;
	PcapiClaimed *event;
	MemoryContext context;
	bool		found;
} Single;

static void
fetch_single(void *arg)
{
	Single	   *s = arg;
	MemoryContext old = MemoryContextSwitchTo(s->context);
	PcapiClaimed *events;

	s->found = pcapi_fetch_ids(s->dest, &s->event->id, 1, s->reader, &events) > 0;
	if (s->found)
		*s->event = events[0];
	MemoryContextSwitchTo(old);
}

/*
 * Both sorts, for after an error: each event is read in a subtransaction, so
 * that a damaged page of _event, say, is a problem of those that stand on it.
 */
int
pcapi_fetch_singly(int dest, int64 after, int limit, PcapiReader *reader, PcapiClaimed **events)
{
	Oid			types[4] = {INT4OID, INT8OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[4] = {Int32GetDatum(dest), Int64GetDatum(after), Int32GetDatum(limit), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context = CurrentMemoryContext;
	PcapiClaimed *found;
	int			n;
	int			m = 0;

	SPI_connect();
	if (SPI_execute_with_args("SELECT q.id, q.first_attempt_at FROM pinterest_capi._queue AS q"
							  " WHERE q.dest = $1 AND q.id > $2 AND (q.due_at IS NULL OR q.due_at <= $4)"
							  " ORDER BY q.dest, q.id LIMIT $3",
							  4, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the queue");
	n = (int) SPI_processed;
	found = MemoryContextAllocZero(context, sizeof(PcapiClaimed) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		found[i].id = DatumGetInt64(column(i, 1, &isnull));
		found[i].first_attempt_at = time_column(i, 2);
		/* what can't be read doesn't expire */
		found[i].event_time = GetCurrentTimestamp();
	}
	SPI_finish();

	for (int i = 0; i < n; i++)
	{
		Single		s = {.dest = dest, .reader = reader, .event = &found[i], .context = context};
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		problem = pcapi_isolated(fetch_single, &s);
		if (problem)
			found[i].problem = problem;
		if (problem || s.found)
			found[m++] = found[i];
	}
	*events = found;
	return m;
}

Oid
pcapi_queue_file(void)
{
	Relation	rel = table_open(pcapi_table(PCAPI_T_QUEUE), AccessShareLock);
	Oid			file = rel->rd_rel->relfilenode;

	table_close(rel, NoLock);
	return file;
}

int
pcapi_queued_between(int dest, int64 low, int64 high, int64 **ids)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT8OID, INT8OID};
	Datum		values[3] = {Int32GetDatum(dest), Int64GetDatum(low), Int64GetDatum(high)};
	MemoryContext context = CurrentMemoryContext;
	int			n;

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"SELECT q.id FROM pinterest_capi._queue AS q"
								" WHERE q.dest = $1 AND q.id > $2 AND q.id <= $3 AND q.due_at IS NULL"
								" ORDER BY q.dest, q.id LIMIT 100000",
								3, types),
					 values, NULL, false, 0);
	n = (int) SPI_processed;
	*ids = MemoryContextAlloc(context, sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		(*ids)[i] = DatumGetInt64(column(i, 1, &isnull));
	}
	SPI_finish();
	return n;
}

TimestampTz
pcapi_next_due(int dest)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, TIMESTAMPTZOID};
	Datum		values[2] = {Int32GetDatum(dest), TimestampTzGetDatum(GetCurrentTimestamp())};
	TimestampTz due = 0;

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"SELECT w.due_at FROM pinterest_capi._queue AS w"
								" WHERE w.dest = $1 AND w.due_at > $2"
								" ORDER BY w.dest, w.due_at LIMIT 1",
								2, types),
					 values, NULL, false, 1);
	if (SPI_processed > 0)
		due = time_column(0, 1);
	SPI_finish();
	return due;
}

/*
 * The lease is all that tells the server's successor, after a failover, that a
 * request was out.  So it must be where the events are: the commit waits for
 * synchronous standbys as an ordinary session's does, and for the disk in any
 * case.
 */
static void
commit_as_sessions_do(void)
{
	const char *setting = GetConfigOptionResetString("synchronous_commit");

	if (strcmp(setting, "off") != 0)
		(void) set_config_option("synchronous_commit", setting, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

int64
pcapi_lease(int dest, const int64 *ids, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, INT8ARRAYOID};
	Datum		values[2];
	int64		lease;
	bool		isnull;

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = id_array(ids, n);
	SPI_execute_plan(pcapi_plan(&plan,
								"INSERT INTO pinterest_capi._lease (dest, taken_at, ids)"
								" VALUES ($1, clock_timestamp(), $2) RETURNING lease",
								2, types),
					 values, NULL, false, 0);
	lease = DatumGetInt64(column(0, 1, &isnull));
	SPI_finish();
	commit_as_sessions_do();
	return lease;
}

/* All there are, those too of whose events none waits. */
List *
pcapi_leases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *leases = NIL;

	SPI_connect();
	SPI_execute("SELECT l.lease, l.dest, l.taken_at, w.ids FROM pinterest_capi._lease AS l CROSS JOIN LATERAL"
				" (SELECT coalesce(array_agg(q.id ORDER BY q.id), '{}') AS ids FROM unnest(l.ids) AS i (id)"
				" CROSS JOIN LATERAL (SELECT v.id FROM pinterest_capi._queue AS v WHERE v.dest = l.dest AND v.id = i.id OFFSET 0) AS q) AS w"
				" ORDER BY l.lease",
				true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiLease *lease;
		ArrayType  *ids;
		bool		isnull;
		MemoryContext old;

		ids = DatumGetArrayTypeP(column(i, 4, &isnull));
		old = MemoryContextSwitchTo(context);
		lease = palloc0(sizeof(PcapiLease));
		lease->lease = DatumGetInt64(column(i, 1, &isnull));
		lease->dest = DatumGetInt32(column(i, 2, &isnull));
		lease->taken_at = time_column(i, 3);
		lease->n = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
		lease->ids = palloc(sizeof(int64) * Max(lease->n, 1));
		memcpy(lease->ids, ARR_DATA_PTR(ids), sizeof(int64) * lease->n);
		leases = lappend(leases, lease);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return leases;
}
