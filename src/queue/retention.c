/*
 * retention.c
 *	  Delete final events, empty their payloads and delete click ids once they are kept too
 *	  long, in steps of some thousand rows.
 *
 * The worker decides when to take a step, and from where (worker/retention_schedule.c).
 */
#include "pinterest_capi.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/subxact.h"
#include "queue/retention.h"
#include "queue/statistics.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"

/* final events, and what a step does to them */
typedef struct Step
{
	const char *sql;
	Datum	   *ids;
	int			n;
	int64	   *changed;		/* counts the rows */
} Step;

/* first attempt: all rows, which nearly always succeeds */
#define DELETE_ALL \
	"WITH finished AS (DELETE FROM pinterest_capi._outcome WHERE id = ANY ($1) RETURNING id)," \
	" deleted AS (DELETE FROM pinterest_capi._event WHERE id = ANY (ARRAY(SELECT id FROM finished))), " \
	PCAPI_COUNT_DELETED("finished") \
	" SELECT count(*) AS n FROM finished"

/* second attempt: those whose two rows no other transaction has locked */
#define DELETE_FREE \
	"WITH o AS MATERIALIZED (SELECT w.id FROM pinterest_capi._outcome AS w WHERE w.id = ANY ($1) FOR UPDATE SKIP LOCKED)," \
	" e AS MATERIALIZED (SELECT v.id FROM pinterest_capi._event AS v WHERE v.id = ANY (ARRAY(SELECT id FROM o)) FOR UPDATE SKIP LOCKED)," \
	" deleted AS (DELETE FROM pinterest_capi._event WHERE id = ANY (ARRAY(SELECT id FROM e)) RETURNING id)," \
	" finished AS (DELETE FROM pinterest_capi._outcome WHERE id = ANY (ARRAY(SELECT id FROM deleted UNION ALL" \
	" SELECT id FROM o WHERE NOT EXISTS (SELECT FROM pinterest_capi._event AS v WHERE v.id = o.id OFFSET 0))) RETURNING id), " \
	PCAPI_COUNT_DELETED("deleted") \
	" SELECT count(*) AS n FROM finished"

#define EMPTY_ALL \
	"WITH emptied AS (UPDATE pinterest_capi._event SET payload = NULL, visitor = NULL" \
	" WHERE id = ANY ($1) AND payload IS NOT NULL RETURNING id) SELECT count(*) AS n FROM emptied"
#define EMPTY_FREE \
	"WITH e AS MATERIALIZED (SELECT v.id FROM pinterest_capi._event AS v" \
	" WHERE v.id = ANY ($1) AND v.payload IS NOT NULL FOR UPDATE SKIP LOCKED)," \
	" emptied AS (UPDATE pinterest_capi._event SET payload = NULL, visitor = NULL" \
	" WHERE id = ANY (ARRAY(SELECT id FROM e)) RETURNING id) SELECT count(*) AS n FROM emptied"

/* outcomes of a clock that was ahead, which would be kept too long */
#define CORRECT_TIMES \
	"WITH o AS MATERIALIZED (SELECT w.id FROM pinterest_capi._outcome AS w WHERE w.id = ANY ($1) FOR UPDATE SKIP LOCKED)," \
	" corrected AS (UPDATE pinterest_capi._outcome SET finished_at = clock_timestamp() WHERE id = ANY (ARRAY(SELECT id FROM o)))" \
	" SELECT 0::bigint AS n"

/* Execute the step's statement for n of its events.  A PcapiPartWork. */
static void
change(void *arg, int from, int n)
{
	Step	   *step = arg;
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1];

	values[0] = pcapi_array(step->ids + from, n, INT8OID);
	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT, step->sql, 1, types, values, NULL, false, 0);
	*step->changed += pcapi_result_int64(0, "n");
	SPI_finish();
}

/* Execute it for all of them. */
static void
change_all(void *arg)
{
	Step	   *step = arg;

	change(step, 0, step->n);
}

/*
 * Change all events at once.  If that fails, change those that no other transaction has
 * locked, by halves: an event that can't be changed, since somebody's foreign key
 * refers to it, say, stands alone at last, and stays.
 */
static void
change_possible(const char *all_sql, const char *free_sql, Datum ids, int64 *changed)
{
	Step		step = {.sql = all_sql, .changed = changed};

	deconstruct_array(DatumGetArrayTypeP(ids), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &step.ids, NULL, &step.n);
	if (step.n == 0 || pcapi_subxact_error(change_all, &step) == NULL)
		return;
	step.sql = free_sql;
	(void) pcapi_by_halves(change, &step, 0, step.n);
}

/*
 * Return whether a deletion fires somebody's trigger or foreign key, which the worker's
 * session_replication_role would skip.
 */
static bool
deletion_is_watched(PcapiTable table)
{
	Relation	rel = table_open(pcapi_table(table), AccessShareLock);
	bool		watched = rel->trigdesc && rel->trigdesc->trig_delete_after_row;

	table_close(rel, NoLock);
	return watched;
}

/*
 * No outcome is deleted whose event may still be about to come, in a restored dump: it
 * would be taken for fresh.  So there must be an event behind these.
 */
bool
pcapi_retention_step(const char *retention, const char *payload_retention, int64 *after,
					 int64 *changed)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[3];
	Datum		old;
	Datum		stale;
	Datum		ahead;
	bool		found;
	int			level;

	*changed = 0;
	SPI_connect();
	values[0] = CStringGetTextDatum(retention);
	values[1] = CStringGetTextDatum(payload_retention);
	values[2] = Int64GetDatum(*after);
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "WITH next AS ("
							 " SELECT o.id, o.finished_at < clock_timestamp() - $1::interval AS old,"
							 " o.finished_at < clock_timestamp() - $2::interval AS stale,"
							 " o.finished_at > clock_timestamp() + interval '1 minute' AS ahead"
							 " FROM pinterest_capi._outcome AS o WHERE o.id > $3 ORDER BY o.id LIMIT 2000"
							 ") SELECT max(id) AS top, ARRAY(SELECT id FROM next WHERE old"
							 " AND (SELECT true FROM pinterest_capi._event AS v WHERE v.id >= (SELECT max(id) FROM next) LIMIT 1)) AS old,"
							 " ARRAY(SELECT id FROM next WHERE stale AND NOT old) AS stale, ARRAY(SELECT id FROM next WHERE ahead) AS ahead FROM next",
							 3, types),
				  values, NULL, false, 0);
	found = !pcapi_result_is_null(0, "top");
	if (found)
		*after = pcapi_result_int64(0, "top");
	old = pcapi_result_array(0, "old");
	stale = pcapi_result_array(0, "stale");
	ahead = pcapi_result_array(0, "ahead");
	SPI_finish();

	level = NewGUCNestLevel();
	if (deletion_is_watched(PCAPI_TABLE_EVENT) || deletion_is_watched(PCAPI_TABLE_OUTCOME))
		(void) set_config_option("session_replication_role", "origin", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	change_possible(DELETE_ALL, DELETE_FREE, old, changed);
	AtEOXact_GUC(true, level);
	change_possible(EMPTY_ALL, EMPTY_FREE, stale, changed);
	change_possible(CORRECT_TIMES, CORRECT_TIMES, ahead, changed);
	return found;
}

bool
pcapi_visitor_place_param(const PcapiVisitorPlace *place, Datum *value)
{
	bytea	   *after;

	if (!place->begun)
		return false;
	after = palloc(VARHDRSZ + place->len);
	SET_VARSIZE(after, VARHDRSZ + place->len);
	memcpy(VARDATA(after), place->after, place->len);
	*value = PointerGetDatum(after);
	return true;
}

void
pcapi_visitor_place_set(PcapiVisitorPlace *place)
{
	bytea	   *last;
	bool		isnull;

	place->begun = false;
	if (SPI_processed == 0)
		return;
	last = DatumGetByteaPP(pcapi_result_datum(0, pcapi_result_column("visitor"), &isnull));
	place->len = VARSIZE_ANY_EXHDR(last);
	/* a longer key is none of the extension's */
	place->begun = place->len <= sizeof(place->after);
	if (place->begun)
		memcpy(place->after, VARDATA_ANY(last), place->len);
}

/*
 * A visitor of whom nothing but the click is stored is deleted.  A row that another
 * transaction has locked is left for the next pass, so that a long transaction doesn't
 * keep this one from the other rows.
 */
bool
pcapi_click_retention_step(const char *retention, PcapiVisitorPlace *place)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {TEXTOID, BYTEAOID};
	Datum		values[2] = {0};
	char		nulls[2] = {' ', 'n'};

	SPI_connect();
	values[0] = CStringGetTextDatum(retention);
	if (pcapi_visitor_place_param(place, &values[1]))
		nulls[1] = ' ';
	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan,
							 "WITH next AS ("
							 " SELECT v.visitor FROM pinterest_capi._visitor AS v"
							 " WHERE v.visitor > coalesce($2, '') ORDER BY v.visitor LIMIT 2000"
							 "), old AS ("
							 " SELECT v.visitor, v.user_data = '{}' AND v.consent IS NULL AS bare"
							 " FROM pinterest_capi._visitor AS v WHERE v.visitor = ANY (ARRAY(SELECT visitor FROM next))"
							 " AND v.click_id_at < clock_timestamp() - $1::interval FOR UPDATE SKIP LOCKED"
							 "), ahead AS ("	/* set by a clock that was ahead: a newer click would not count */
							 " SELECT v.visitor FROM pinterest_capi._visitor AS v WHERE v.visitor = ANY (ARRAY(SELECT visitor FROM next))"
							 " AND v.click_id_at > clock_timestamp() + interval '1 minute' FOR UPDATE SKIP LOCKED"
							 "), corrected AS ("
							 " UPDATE pinterest_capi._visitor SET click_id_at = clock_timestamp()"
							 " WHERE visitor = ANY (ARRAY(SELECT visitor FROM ahead))"
							 "), deleted AS ("
							 " DELETE FROM pinterest_capi._visitor WHERE visitor = ANY (ARRAY(SELECT visitor FROM old WHERE bare))"
							 "), emptied AS ("
							 " UPDATE pinterest_capi._visitor SET click_id = NULL, click_id_at = NULL"
							 " WHERE visitor = ANY (ARRAY(SELECT visitor FROM old WHERE NOT bare))"
							 ") SELECT visitor FROM next ORDER BY visitor DESC LIMIT 1",
							 2, types),
				  values, nulls, false, 0);
	pcapi_visitor_place_set(place);
	SPI_finish();
	return place->begun;
}
