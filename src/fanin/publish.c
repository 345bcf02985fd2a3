/*
 * publish.c
 *	  publish(): another server, the dispatcher, sends the events of this database; and the
 *	  functions that the dispatcher calls here.
 *
 * A database is published while the publication pinterest_capi has the table _event; no
 * other state says so.  The row filter passes rows with their destination's name: those
 * that were queued here, and not those that were final at once.  How rows are handed over
 * is in src/queue/handover.c; subscribe.c and apply.c are the dispatcher's side.
 */
#include "pinterest_capi.h"

#include "access/xlog.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/extension.h"
#include "common/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "queue/published.h"
#include "queue/statistics.h"
#include "queue/wakeup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define EVENT_TABLE "pinterest_capi._event"

/* Execute a utility statement. */
static void
run(const char *sql)
{
	SPI_connect();
	pcapi_execute_sql(SPI_OK_UTILITY, sql, false);
	SPI_finish();
}

/* Create the publication, as the caller: the server checks his rights. */
static void
make_publication(void)
{
	if (pcapi_published())
		return;
	if (wal_level < PCAPI_WAL_LEVEL_TO_PUBLISH)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wal_level is too low to publish events"),
				 errhint("Set wal_level = logical, and restart the server."),
				 pcapi_errhide()));

	/* a dump brings the publication back without the table, as that belongs to the extension */
	if (OidIsValid(get_publication_oid(PCAPI_PUBLICATION, true)))
		run("ALTER PUBLICATION " PCAPI_PUBLICATION " ADD TABLE " EVENT_TABLE " WHERE (destination IS NOT NULL)");
	else
		run("CREATE PUBLICATION " PCAPI_PUBLICATION " FOR TABLE " EVENT_TABLE " WHERE (destination IS NOT NULL)"
			" WITH (publish = 'insert')");
}

/* Queue events whose rows are locked again.  A PcapiStep. */
static int64
requeue_step(Datum dests, Datum ids, void *arg)
{
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {ids};
	int64		n;

	pcapi_statistics_before(ids);
	SPI_connect();
	pcapi_execute_once(SPI_OK_INSERT,
					   "WITH back AS (DELETE FROM pinterest_capi._outcome AS o WHERE o.id = ANY ($1)"
					   " RETURNING o.id, o.dest, o.warnings)"
					   " INSERT INTO pinterest_capi._retry (id, dest, due_at, warnings)"
					   " SELECT id, dest, clock_timestamp(), warnings FROM back"
					   " ON CONFLICT DO NOTHING",
					   1, types, values, NULL, false, 0);
	n = (int64) SPI_processed;
	SPI_finish();
	pcapi_statistics_after(ids);
	return n;
}

/*
 * Queue events that were handed over since a time again, for a dispatcher that has lost
 * them.  A dispatcher that has one drops it as the same event.
 */
static int64
hand_over_again(TimestampTz since)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(since)};
	PcapiUserContext saved;
	int64		n;

	pcapi_switch_to_owner(&saved, true);
	n = pcapi_in_steps("SELECT o.dest, o.id FROM pinterest_capi._outcome AS o"
					   " WHERE o.status = 'queued' AND o.finished_at >= $1"
					   " AND (SELECT e.payload IS NOT NULL FROM pinterest_capi._event AS e WHERE e.id = o.id)"
					   " FOR UPDATE OF o",
					   1, types, values, NULL, requeue_step, NULL);
	pcapi_wake_at_commit();
	pcapi_restore_user(&saved);
	return n;
}

PG_FUNCTION_INFO_V1(pcapi_sql_publish);
Datum
pcapi_sql_publish(PG_FUNCTION_ARGS)
{
	int64		n = 0;

	pcapi_check_writable("publish()");
	make_publication();
	if (!PG_ARGISNULL(0))
		run(psprintf("GRANT EXECUTE ON FUNCTION pinterest_capi._make_slot(pg_catalog.text),"
					 " pinterest_capi._attach(pg_catalog.text) TO %s",
					 quote_identifier(GetUserNameFromId(PG_GETARG_OID(0), false))));
	if (!PG_ARGISNULL(1))
		n = hand_over_again(PG_GETARG_TIMESTAMPTZ(1));
	pcapi_wake_at_commit();
	PG_RETURN_INT64(n);
}

/* ---- called by the other server, through subscribe() ---- */

/* Raise an error unless the database is published. */
static void
check_published(void)
{
	if (!pcapi_published())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the events of database \"%s\" are not published", get_database_name(MyDatabaseId)),
				 errhint("Call pinterest_capi.publish() there."),
				 pcapi_errhide()));
}

/*
 * _make_slot(): a transaction that has written can't create a slot, so the row of
 * _subscriber is written by another one (_attach).  Until then the slot does not count.
 */
PG_FUNCTION_INFO_V1(pcapi_sql_make_slot);
Datum
pcapi_sql_make_slot(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(0)};

	check_published();
	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT FROM pg_catalog.pg_create_logical_replication_slot($1::pg_catalog.name, 'pgoutput')",
					   1, types, values, NULL, false, 0);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(GetDatabaseEncodingName()));
}

/*
 * _attach(): the slot's name is new each time (subscribe.c), so that a slot that was
 * dropped and created again is never taken for the old one: what was committed between
 * the two went through neither.
 */
PG_FUNCTION_INFO_V1(pcapi_sql_attach);
Datum
pcapi_sql_attach(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(0)};
	PcapiUserContext saved;

	pcapi_check_writable("_attach()");
	check_published();
	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	pcapi_execute_once(SPI_OK_INSERT,
					   "INSERT INTO pinterest_capi._subscriber (slot, emit_below, attached_at, looked_at)"
					   " SELECT $1, s.last_value, clock_timestamp(), clock_timestamp()"
					   " FROM pinterest_capi._event_id_seq AS s, pg_replication_slots AS l"
					   " WHERE l.slot_name = $1 AND l.plugin = 'pgoutput' AND l.database = current_database()",
					   1, types, values, NULL, false, 0);
	if (SPI_processed == 0)
		pcapi_error_invalid_parameter(("no such replication slot"),
									  ("Have the dispatcher make it, with pinterest_capi.subscribe()."));
	SPI_finish();
	pcapi_wake_at_commit();
	pcapi_restore_user(&saved);
	PG_RETURN_VOID();
}
