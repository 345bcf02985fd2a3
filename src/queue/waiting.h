/*
 * waiting.h
 *	  Which events wait, as conditions for statements.
 *
 * An event waits if it has no row in _outcome, and either a row in _retry or an id above
 * its destination's done_below.  One without any of these is a stray: it is never sent,
 * and doctor() names it.
 *
 * The conditions are scalar subqueries, which the planner doesn't make joins of: so each
 * is a look-up by key whatever it believes of the tables' sizes (common/spi.h), if
 * sequential scans are off (pcapi_plan_by_key()).
 */
#ifndef PCAPI_WAITING_H
#define PCAPI_WAITING_H

/* condition: the event with this id has an outcome */
#define PCAPI_IS_FINAL(id) \
	" (SELECT true FROM pinterest_capi._outcome AS final WHERE final.id = " id " LIMIT 1) IS NOT NULL"

/* condition: it has none */
#define PCAPI_NOT_FINAL(id) \
	" (SELECT true FROM pinterest_capi._outcome AS final WHERE final.id = " id " LIMIT 1) IS NULL"

/* condition: it has a row in _retry */
#define PCAPI_IS_RETRIED(dest_, id_) \
	" (SELECT true FROM pinterest_capi._retry AS again WHERE again.dest = " dest_ " AND again.id = " id_ " LIMIT 1) IS NOT NULL"

/* expression: each event of the destination with an id up to this has an outcome or a row in _retry */
#define PCAPI_DONE_BELOW(dest_) \
	" coalesce((SELECT state.done_below FROM pinterest_capi._destination_state AS state WHERE state.dest = " dest_ "), 0)"

/*
 * Condition: the row of _event, a table's alias, waits.  The events of a number that no
 * destination has wait as well, for somebody to give them to one; 0 is no destination.
 */
#define PCAPI_WAITS(e) \
	" (" e ".dest <> 0 AND" PCAPI_NOT_FINAL(e ".id") \
	" AND (" e ".id >" PCAPI_DONE_BELOW(e ".dest") " OR" PCAPI_IS_RETRIED(e ".dest", e ".id") "))"

/*
 * Query: dest and id of the events of a destination that wait, in the order of ids.  The
 * index of _event is read from done_below on, without the rows of other destinations;
 * dest + 0, since no other index is to be read.
 */
#define PCAPI_WAITING_OF(dest_) \
	"SELECT w.dest, w.id FROM (" \
	"SELECT e.dest, e.id FROM pinterest_capi._event AS e" \
	" WHERE e.id >" PCAPI_DONE_BELOW(dest_) " AND e.dest + 0 = " dest_ " AND" PCAPI_NOT_FINAL("e.id") \
	" UNION ALL" \
	" SELECT q.dest, q.id FROM pinterest_capi._retry AS q WHERE q.dest = " dest_ \
	" AND q.id <=" PCAPI_DONE_BELOW(dest_) " AND" PCAPI_NOT_FINAL("q.id") \
	") AS w ORDER BY w.id"

#endif							/* PCAPI_WAITING_H */
