/*
 * destination_state.c
 *	  The state of a destination: its number, pause, backoff and last error.
 *
 * Sessions and the worker both write these rows; each statement changes one row,
 * found by the destination's number or name.  destination_state.h shows the states.
 */
#include "pinterest_capi.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_insert.h"
#include "common/unix_time.h"
#include "mb/pg_wchar.h"
#include "queue/destination_state.h"
#include "queue/wakeup.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/*
 * The number is made once per destination.  Two sessions that make it at the same
 * time meet in the unique index: the second one waits, and then finds it.  The
 * sequence may be behind if logical replication has brought destinations.
 */
int
pcapi_destination_number(const char *destination, bool create)
{
	static SPIPlanPtr find_plan = NULL;
	static SPIPlanPtr make_plan = NULL;
	Oid			argtypes[1] = {TEXTOID};
	Datum		values[1];
	int			number = 0;

	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	for (int attempt = 0; attempt < 9 && number == 0; attempt++)
	{
		if (attempt % 2 == 1)
		{
			if (!create)
				break;
			(void) pcapi_execute_upsert(PCAPI_TABLE_DESTINATION_STATE,
										pcapi_plan(&make_plan,
												   "INSERT INTO pinterest_capi._destination_state (dest, destination)"
												   " SELECT pg_catalog.int4(GREATEST(pg_catalog.nextval('pinterest_capi._destination_state_dest_seq'),"
												   " (SELECT pg_catalog.max(s.dest) OPERATOR(pg_catalog.+) 1::pg_catalog.int8"
												   " FROM pinterest_capi._destination_state AS s))), $1"
												   " ON CONFLICT DO NOTHING RETURNING dest",
												   1, argtypes),
										values, NULL);
		}
		else
			pcapi_execute(SPI_OK_SELECT,
						  pcapi_plan(&find_plan,
									 "SELECT dest FROM pinterest_capi._destination_state"
									 " WHERE destination OPERATOR(pg_catalog.=) $1",
									 1, argtypes),
						  values, NULL, false, 1);
		if (SPI_processed > 0)
			number = pcapi_result_int32(0, "dest");
	}
	SPI_finish();
	if (create && number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent configuration of a destination"),
				 errhint("The transaction might succeed if retried."),
				 pcapi_errhide()));
	return number;
}

void
pcapi_destination_taken(int dest, int life, bool sent, bool recovered, int64 done_below)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[5] = {INT4OID, INT4OID, BOOLOID, BOOLOID, INT8OID};
	Datum		values[5] = {Int32GetDatum(dest), Int32GetDatum(life), BoolGetDatum(sent), BoolGetDatum(recovered), Int64GetDatum(done_below)};

	SPI_connect();
	pcapi_execute(SPI_OK_UPDATE,
				  pcapi_plan(&plan,
							 "UPDATE pinterest_capi._destination_state SET"
							 " last_sent_at = CASE WHEN $3 THEN clock_timestamp() ELSE last_sent_at END,"
							 " failing_since = CASE WHEN NOT $4 THEN failing_since END,"
							 " backoff_until = CASE WHEN NOT $4 THEN backoff_until END,"
							 " backoff_reason = CASE WHEN NOT $4 THEN backoff_reason END,"
							 " done_below = greatest(done_below, $5) WHERE dest = $1 AND life = $2",
							 5, types),
				  values, NULL, false, 0);
	SPI_finish();
}

/* A minute's place is reused each hour, so it starts from zero if it is of another hour. */
void
pcapi_destination_count(int dest, int life, int sent, int failed)
{
	static SPIPlanPtr plan = NULL;
	int32		minute = pcapi_unix_us(GetCurrentTimestamp()) / USECS_PER_MINUTE;
	Oid			types[6] = {INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID};
	Datum		values[6] = {Int32GetDatum(dest), Int32GetDatum(life), Int32GetDatum(sent), Int32GetDatum(failed),
		Int32GetDatum(minute), Int32GetDatum(3 * (minute % 60))};

	SPI_connect();
	pcapi_execute(SPI_OK_UPDATE,
				  pcapi_plan(&plan,
							 "UPDATE pinterest_capi._destination_state AS s SET last_hour[$6 + 1] = $5,"
							 " last_hour[$6 + 2] = CASE s.last_hour[$6 + 1] WHEN $5 THEN s.last_hour[$6 + 2] ELSE 0 END + $3,"
							 " last_hour[$6 + 3] = CASE s.last_hour[$6 + 1] WHEN $5 THEN s.last_hour[$6 + 3] ELSE 0 END + $4"
							 " WHERE s.dest = $1 AND s.life = $2",
							 6, types),
				  values, NULL, false, 0);
	SPI_finish();
}

void
pcapi_destination_done(int dest, int life, int64 done_below)
{
	Oid			types[3] = {INT4OID, INT4OID, INT8OID};
	Datum		values[3] = {Int32GetDatum(dest), Int32GetDatum(life), Int64GetDatum(done_below)};

	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state SET done_below = $3 WHERE dest = ANY (ARRAY("
					   "SELECT s.dest FROM pinterest_capi._destination_state AS s"
					   " WHERE s.dest = $1 AND s.life = $2 AND s.done_below < $3 FOR NO KEY UPDATE SKIP LOCKED))",
					   3, types, values, NULL, false, 0);
	SPI_finish();
}

/* Without a token, a sequence that was never used is rather that of a dump that is being restored. */
void
pcapi_destinations_restart(void)
{
	SPI_connect();
	pcapi_execute_sql(SPI_OK_UPDATE,
					  "UPDATE pinterest_capi._destination_state SET done_below = 0"
					  " WHERE done_below > (SELECT s.last_value FROM pinterest_capi._event_id_seq AS s"
					  " WHERE s.is_called OR EXISTS (SELECT FROM pinterest_capi._secret))",
					  false);
	SPI_finish();
}

/* failing_since becomes no later than now, for the case that a clock was ahead. */
void
pcapi_destination_backoff(int dest, int life, int64 delay_ms, const char *reason)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {INT4OID, INT4OID, INT8OID, TEXTOID};
	Datum		values[4];

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = Int32GetDatum(life);
	values[2] = Int64GetDatum(delay_ms);
	values[3] = CStringGetTextDatum(reason);
	pcapi_execute(SPI_OK_UPDATE,
				  pcapi_plan(&plan,
							 "UPDATE pinterest_capi._destination_state SET"
							 " failing_since = least(failing_since, clock_timestamp()),"
							 " backoff_until = greatest(backoff_until, clock_timestamp() + $3 * interval '1 millisecond'),"
							 " backoff_reason = $4, last_error = $4, last_error_at = clock_timestamp()"
							 " WHERE dest = $1 AND life = $2",
							 4, types),
				  values, NULL, false, 0);
	SPI_finish();
}

void
pcapi_destination_error(int dest, int life, const char *error)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT4OID, INT4OID, TEXTOID};
	Datum		values[3];

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = Int32GetDatum(life);
	values[2] = CStringGetTextDatum(error);
	pcapi_execute(SPI_OK_UPDATE,
				  pcapi_plan(&plan,
							 "UPDATE pinterest_capi._destination_state SET last_error = $3,"
							 " last_error_at = clock_timestamp() WHERE dest = $1 AND life = $2",
							 3, types),
				  values, NULL, false, 0);
	SPI_finish();
}

void
pcapi_destination_lock(int dest)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(dest)};

	SPI_connect();
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT FROM pinterest_capi._destination_state WHERE dest = $1 FOR UPDATE",
					   1, types, values, NULL, false, 0);
	SPI_finish();
}

bool
pcapi_destination_pause(int dest, int life, const char *name, const char *reason)
{
	Oid			types[3] = {INT4OID, INT4OID, TEXTOID};
	Datum		values[3];
	bool		paused;

	SPI_connect();
	values[0] = Int32GetDatum(dest);
	values[1] = Int32GetDatum(life);
	values[2] = CStringGetTextDatum(reason);
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state SET paused_at = clock_timestamp(),"
					   " paused_reason = $3, last_error = $3, last_error_at = clock_timestamp()"
					   " WHERE dest = $1 AND life = $2 AND paused_at IS NULL",
					   3, types, values, NULL, false, 0);
	paused = (SPI_processed > 0);
	SPI_finish();
	if (paused)
		pcapi_notify(name, "paused", reason);
	return paused;
}

/* The message is clipped: a payload of NOTIFY must have less than 8000 bytes. */
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

void
pcapi_unpause(const char *destination)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(pcapi_destination_number(destination, true))};
	bool		was_paused = false;

	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE_RETURNING,
					   "WITH before AS (SELECT dest, paused_at FROM pinterest_capi._destination_state"
					   " WHERE dest = $1 FOR UPDATE)"
					   " UPDATE pinterest_capi._destination_state AS s SET paused_at = NULL, paused_reason = NULL,"
					   " failing_since = NULL, backoff_until = NULL, backoff_reason = NULL, dropped_at = NULL"
					   " FROM before WHERE s.dest = before.dest RETURNING before.paused_at IS NOT NULL AS was_paused",
					   1, types, values, NULL, false, 0);
	if (SPI_processed > 0)
		was_paused = pcapi_result_bool(0, "was_paused");
	SPI_finish();
	if (was_paused)
		pcapi_notify(destination, "ready", "what waited is sent");
	pcapi_wake_at_commit();
}

void
pcapi_end_backoff(const char *destination)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(destination)};

	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state"
					   " SET failing_since = NULL, backoff_until = NULL, backoff_reason = NULL"
					   " WHERE destination = $1 AND failing_since IS NOT NULL",
					   1, types, values, NULL, false, 0);
	SPI_finish();
}
