/*
 * statistics.h
 *	  Tell the statistics of events whose status changes, or that are deleted.
 */
#ifndef PCAPI_STATISTICS_H
#define PCAPI_STATISTICS_H

#include "pinterest_capi.h"

#include "queue/outcome.h"

/* Columns of _statistics, of _statistics_change and of the view _counted, each with a table's name before it. */
#define PCAPI_COUNTED_KIND(t) \
	" " t "dest, " t "event_name, " t "sent_as, " t "status, " t "reason, " t "test_mode, " t "currency"
#define PCAPI_COUNTED_KEY(t) " " t "hour," PCAPI_COUNTED_KIND(t)
#define PCAPI_COUNTED_NUMBERS(t) \
	" " t "events, " t "value, " t "stand_in, " t "stand_in_value, " t "em, " t "ph, " t "click_id, " t \
	"external_id, " t "hashed_maids, " t "ip, " t "user_agent, " t "matchable"
#define PCAPI_COUNTED_COLUMNS(t) PCAPI_COUNTED_KEY(t) "," PCAPI_COUNTED_NUMBERS(t)
#define PCAPI_COUNTED_SUMS(of) \
	" sum(" of "events), sum(" of "value), sum(" of "stand_in), sum(" of "stand_in_value), sum(" of "em), sum(" of "ph), sum(" of \
	"click_id), sum(" of "external_id), sum(" of "hashed_maids), sum(" of "ip), sum(" of "user_agent), sum(" of "matchable)"

/* The day of an hour, and, as a subquery, the first hour that _statistics_day does not contain. */
#define PCAPI_DAY(t) " (" t "hour AT TIME ZONE 'UTC')::date"
#define PCAPI_FIRST_HOUR_WITHOUT_DAY \
	"(SELECT coalesce((max(d.day) + 1)::timestamp, '-infinity') AT TIME ZONE 'UTC' FROM pinterest_capi._statistics_day AS d)"

/* Subquery: the mark, as the statement's snapshot shows it. */
#define PCAPI_STATISTICS_MARK "(SELECT coalesce(max(m.mark), 0) FROM pinterest_capi._statistics_mark AS m)"

/*
 * Part of a WITH clause: count the events that the part named gone deletes, and that
 * the mark has not reached; the worker would find nothing of them.
 */
#define PCAPI_COUNT_DELETED(gone) \
	"counted AS (INSERT INTO pinterest_capi._statistics_change (id, deleted," PCAPI_COUNTED_COLUMNS("") ")" \
	" SELECT c.id, true," PCAPI_COUNTED_COLUMNS("c.") " FROM (SELECT g.id FROM " gone " AS g WHERE g.id > " \
	PCAPI_STATISTICS_MARK " OFFSET 0) AS g" \
	" CROSS JOIN LATERAL (SELECT * FROM pinterest_capi._counted AS v WHERE v.id = g.id OFFSET 0) AS c)"

/*
 * The status of the events, bigint[], is about to be changed (before), or was just
 * changed in the same transaction.  It must not change otherwise in between: their rows
 * are locked.  Outside SPI or inside.
 */
extern void pcapi_statistics_before(Datum ids);
extern void pcapi_statistics_after(Datum ids);

/*
 * Events that waited, retried or not, have just been given an outcome, in the worker or
 * in a session.
 */
extern void pcapi_statistics_finalized(const Datum *ids, const bool *retried, int n);

/*
 * In the worker: events that waited, retried or not, have just become something else.
 */
extern void pcapi_statistics_ended(const Datum *ids, const bool *retried, int n);

/*
 * In the worker: the events marked PCAPI_WRITTEN have just been settled, and fast, an
 * element for each, says whether settle_fast.c did so; retried whether the event was
 * retrying before.
 */
extern void pcapi_statistics_settled(const PcapiEventOutcome *settled, int n, const PcapiWritten *written,
									 const bool *fast, const bool *retried);

#endif							/* PCAPI_STATISTICS_H */
