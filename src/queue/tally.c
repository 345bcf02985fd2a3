/*
 * tally.c
 *	  Count events in the worker's memory, as the statistics count them.
 *
 * Of the events of a request, a few have different names, currencies or hours.  So
 * their sums are added up here, and written as few rows.  An event's destination,
 * name, sent_as and currency have one number, its kind, as long as the process runs.
 * They are bounded by what is allowed and by the currencies that are used.  An event
 * whose facts have no room here is of an unknown kind, and counted by statements.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/hashfn.h"
#include "common/spi.h"
#include "common/table_columns.h"
#include "funcapi.h"
#include "queue/enqueue.h"
#include "queue/tally.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"

/* the most kinds, and the bytes of one's texts */
#define KINDS_MAX		2048
#define TEXTS_MAX		600

/* A value is counted here if it has as many decimals and whole digits at most: then no sum of them overflows. */
#define DECIMALS		4
#define WHOLE_DIGITS	9

#define IDENTIFIERS		7

/* ---- kinds ---- */

typedef struct Kind
{
	uint32		hash;
	int			dest;
	int			len;
	char	   *texts;			/* event_name, sent_as, currency: each ends with a zero, and a null is a \1 */
	const char *event_name;
	const char *sent_as;		/* or NULL, as the next */
	const char *currency;
} Kind;

static Kind kinds[KINDS_MAX];
static int	n_kinds = 1;		/* with the unknown one */
static int16 places[2 * KINDS_MAX]; /* by hash: the number of a kind; 0: free */

/* Return a text of a kind, and move on to the next one. */
static const char *
next_text(char **texts)
{
	const char *text = *texts;

	*texts += strlen(text) + 1;
	return text[0] == '\1' ? NULL : text;
}

/* Add a kind. */
static int
add_kind(uint32 hash, int dest, const char *texts, int len)
{
	Kind	   *kind = &kinds[n_kinds];
	char	   *rest = MemoryContextAlloc(TopMemoryContext, len);

	memcpy(rest, texts, len);
	kind->hash = hash;
	kind->dest = dest;
	kind->len = len;
	kind->texts = rest;
	kind->event_name = next_text(&rest);
	kind->sent_as = next_text(&rest);
	kind->currency = next_text(&rest);
	return n_kinds++;
}

/* Return the number of a kind. */
static int
find_kind(int dest, const char *texts, int len)
{
	static int	last = PCAPI_KIND_UNKNOWN;
	uint32		hash;

	/* nearly always the same as that of the event before */
	if (kinds[last].dest == dest && kinds[last].len == len && memcmp(kinds[last].texts, texts, len) == 0)
		return last;
	hash = hash_bytes((const unsigned char *) texts, len) ^ (uint32) dest;
	for (uint32 i = hash % lengthof(places);; i = (i + 1) % lengthof(places))
	{
		const Kind *kind = &kinds[places[i]];

		if (places[i] == 0)
		{
			if (n_kinds == KINDS_MAX)
				return PCAPI_KIND_UNKNOWN;
			places[i] = add_kind(hash, dest, texts, len);
			return last = places[i];
		}
		if (kind->hash == hash && kind->dest == dest && kind->len == len && memcmp(kind->texts, texts, len) == 0)
			return last = places[i];
	}
}

/* Append a text column of the row.  False: it has no room, or is stored out of line. */
static bool
append_text(char *texts, int *len, TupleTableSlot *event, int column)
{
	bool		isnull;
	Datum		d = slot_getattr(event, column, &isnull);
	struct varlena *v = (struct varlena *) DatumGetPointer(d);
	int			n;

	if (isnull)
		texts[(*len)++] = '\1';
	else
	{
		if (VARATT_IS_EXTERNAL(v) || VARATT_IS_COMPRESSED(v))
			return false;
		n = VARSIZE_ANY_EXHDR(v);
		if (*len + n + 2 > TEXTS_MAX)
			return false;
		memcpy(texts + *len, VARDATA_ANY(v), n);
		*len += n;
	}
	texts[(*len)++] = '\0';
	return true;
}

/* Read a value, "=" or not, digits, "." and digits or not.  False: it can't be counted here. */
static bool
read_value(PcapiCounted *counted, TupleTableSlot *event)
{
	bool		isnull;
	Datum		d = slot_getattr(event, PCAPI_EVENT_VALUE, &isnull);
	struct varlena *v = (struct varlena *) DatumGetPointer(d);
	const char *s;
	const char *end;
	int			whole = 0;
	int			decimals = 0;

	if (isnull)
		return true;
	if (VARATT_IS_EXTERNAL(v) || VARATT_IS_COMPRESSED(v))
		return false;
	s = VARDATA_ANY(v);
	end = s + VARSIZE_ANY_EXHDR(v);
	counted->stand_in = s < end && *s == PCAPI_STAND_IN;
	s += counted->stand_in;
	for (; s < end && *s >= '0' && *s <= '9'; s++, whole++)
		counted->amount = counted->amount * 10 + (*s - '0');
	if (whole > WHOLE_DIGITS)
		return false;
	if (s < end && *s == '.')
		s++;
	for (; s < end && decimals < DECIMALS && *s >= '0' && *s <= '9'; s++, decimals++)
		counted->amount = counted->amount * 10 + (*s - '0');
	for (; decimals < DECIMALS; decimals++)
		counted->amount *= 10;
	return s == end;
}

void
pcapi_counted_read(PcapiCounted *counted, int dest, TupleTableSlot *event)
{
	char		texts[TEXTS_MAX + 4];	/* with room for two that are null */
	int			len = 0;
	bool		isnull;
	Datum		carries = slot_getattr(event, PCAPI_EVENT_CARRIES, &isnull);

	memset(counted, 0, sizeof(PcapiCounted));
	counted->carries = isnull ? 0 : DatumGetChar(carries);
	if (read_value(counted, event) &&
		append_text(texts, &len, event, PCAPI_EVENT_EVENT_NAME) &&
		append_text(texts, &len, event, PCAPI_EVENT_SENT_AS) &&
		append_text(texts, &len, event, PCAPI_EVENT_CURRENCY))
		counted->kind = find_kind(dest, texts, len);
	else
		counted->kind = PCAPI_KIND_UNKNOWN;
}

/* ---- sums ---- */

typedef struct Sum
{
	int64		hour;			/* number of the hour */
	int			kind;
	const char *status;
	const char *reason;
	bool		test_mode;
	int64		events;
	int64		amount;
	int64		stand_in;
	int64		stand_in_amount;
	int64		carry[IDENTIFIERS];
	int64		matchable;
} Sum;

struct PcapiTally
{
	MemoryContext context;
	Sum		   *sums;
	int			n;
	int			room;
	int			last;			/* the sum that was added to last */
};

PcapiTally *
pcapi_tally_make(void)
{
	PcapiTally *tally = palloc0(sizeof(PcapiTally));

	tally->context = CurrentMemoryContext;
	return tally;
}

static bool
is_sum_of(const Sum *s, int64 hour, int kind, const char *status, const char *reason, bool test_mode)
{
	return s->kind == kind && s->hour == hour && s->test_mode == test_mode &&
		(s->status == status || strcmp(s->status, status) == 0) &&
		(s->reason == reason || (s->reason && reason && strcmp(s->reason, reason) == 0));
}

/* Find a sum, or begin it. */
static Sum *
find_sum(PcapiTally *tally, int64 hour, int kind, const char *status, const char *reason, bool test_mode)
{
	Sum		   *s;

	if (tally->n > 0 && is_sum_of(&tally->sums[tally->last], hour, kind, status, reason, test_mode))
		return &tally->sums[tally->last];
	for (int i = 0; i < tally->n; i++)
		if (is_sum_of(&tally->sums[i], hour, kind, status, reason, test_mode))
		{
			tally->last = i;
			return &tally->sums[i];
		}
	if (tally->n == tally->room)
	{
		tally->room = Max(16, 2 * tally->room);
		tally->sums = tally->sums ? repalloc(tally->sums, sizeof(Sum) * tally->room) :
			MemoryContextAlloc(tally->context, sizeof(Sum) * tally->room);
	}
	tally->last = tally->n++;
	s = &tally->sums[tally->last];
	memset(s, 0, sizeof(Sum));
	s->hour = hour;
	s->kind = kind;
	s->status = status;
	s->reason = reason;
	s->test_mode = test_mode;
	return s;
}

void
pcapi_tally_add(PcapiTally *tally, int sign, TimestampTz created_at, const PcapiCounted *counted,
				const char *status, const char *reason, bool test_mode)
{
	/* timestamps before 2000 are negative */
	int64		hour = created_at >= 0 ? created_at / USECS_PER_HOUR : -((USECS_PER_HOUR - 1 - created_at) / USECS_PER_HOUR);
	Sum		   *s = find_sum(tally, hour, counted->kind, status, reason, test_mode);
	char		c = counted->carries;

	s->events += sign;
	s->amount += sign * counted->amount;
	if (counted->stand_in)
	{
		s->stand_in += sign;
		s->stand_in_amount += sign * counted->amount;
	}
	for (int i = 0; i < IDENTIFIERS; i++)
		s->carry[i] += sign * (c >> i & 1);
	if ((c & (PCAPI_CARRIES_EM | PCAPI_CARRIES_MAIDS)) != 0 ||
		(c & (PCAPI_CARRIES_IP | PCAPI_CARRIES_USER_AGENT)) == (PCAPI_CARRIES_IP | PCAPI_CARRIES_USER_AGENT))
		s->matchable += sign;
}

bool
pcapi_tally_is_empty(const PcapiTally *tally)
{
	return tally->n == 0;
}

/* ---- rows ---- */

/* Return whether events were added that have not been taken off again. */
static bool
is_any(const Sum *s)
{
	int64		any = s->events | s->amount | s->stand_in | s->stand_in_amount | s->matchable;

	for (int i = 0; i < IDENTIFIERS; i++)
		any |= s->carry[i];
	return any != 0;
}

/* the columns of _statistics; specs/table_columns.spec compares them with the catalog */
enum
{
	S_HOUR,
	S_DEST,
	S_EVENT_NAME,
	S_SENT_AS,
	S_STATUS,
	S_REASON,
	S_TEST_MODE,
	S_CURRENCY,
	S_EVENTS,
	S_VALUE,
	S_STAND_IN,
	S_STAND_IN_VALUE,
	S_EM,
	S_MATCHABLE = S_EM + IDENTIFIERS,
	S_COLUMNS
};

/* Set a text column; it stays null for NULL. */
static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* Make a row. */
static Datum
make_row(const Sum *s, TupleDesc desc)
{
	const Kind *kind = &kinds[s->kind];
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	/* columns that somebody has added are null */
	memset(nulls, true, sizeof(bool) * desc->natts);
	memset(nulls, false, sizeof(bool) * S_COLUMNS);
	values[S_HOUR] = TimestampTzGetDatum(s->hour * USECS_PER_HOUR);
	values[S_DEST] = Int32GetDatum(kind->dest);
	set_text(values, nulls, S_EVENT_NAME, kind->event_name);
	set_text(values, nulls, S_SENT_AS, kind->sent_as);
	set_text(values, nulls, S_STATUS, s->status);
	set_text(values, nulls, S_REASON, s->reason);
	values[S_TEST_MODE] = BoolGetDatum(s->test_mode);
	set_text(values, nulls, S_CURRENCY, kind->currency);
	values[S_EVENTS] = Int64GetDatum(s->events);
	values[S_VALUE] = NumericGetDatum(int64_div_fast_to_numeric(s->amount, DECIMALS));
	values[S_STAND_IN] = Int64GetDatum(s->stand_in);
	values[S_STAND_IN_VALUE] = NumericGetDatum(int64_div_fast_to_numeric(s->stand_in_amount, DECIMALS));
	for (int i = 0; i < IDENTIFIERS; i++)
		values[S_EM + i] = Int64GetDatum(s->carry[i]);
	values[S_MATCHABLE] = Int64GetDatum(s->matchable);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

Datum
pcapi_tally_rows(const PcapiTally *tally, Oid *type)
{
	Relation	rel = table_open(pcapi_table(PCAPI_TABLE_STATISTICS), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *rows = palloc(sizeof(Datum) * Max(tally->n, 1));
	int			n = 0;
	Datum		array;

	if (desc->natts < S_COLUMNS)
		elog(ERROR, "table \"%s\" has %d columns, %d are needed", RelationGetRelationName(rel), desc->natts, S_COLUMNS);
	*type = get_array_type(rel->rd_rel->reltype);
	for (int i = 0; i < tally->n; i++)
	{
		if (is_any(&tally->sums[i]))
			rows[n++] = make_row(&tally->sums[i], desc);
	}
	array = pcapi_array(rows, n, rel->rd_rel->reltype);
	table_close(rel, NoLock);
	return array;
}
