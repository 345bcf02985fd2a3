/*
 * enqueue.c
 *	  The way into the queue, in the caller's transaction.
 *
 * What an event holds is settled before (src/session); here it only becomes
 * rows.  Plans are kept for the life of the session.
 */
#include "queue/queue.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

SPIPlanPtr
pcapi_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *argtypes)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, nargs, argtypes);

		if (made == NULL)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*plan = made;
	}
	return *plan;
}

/*
 * The number is made once per destination.  Two sessions that make it at the
 * same time meet in the unique index: the second waits and then finds it.
 */
int
pcapi_destination_number(const char *destination, bool create)
{
	static SPIPlanPtr find_plan = NULL;
	static SPIPlanPtr make_plan = NULL;
	Oid			argtypes[1] = {TEXTOID};
	Datum		values[1];
	int			number = 0;
	bool		isnull;

	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	for (int turn = 0; turn < 3 && number == 0; turn++)
	{
		if (turn == 1)
		{
			if (!create)
				break;
			SPI_execute_plan(pcapi_plan(&make_plan,
										"INSERT INTO pinterest_capi._destination_state (destination) VALUES ($1)"
										" ON CONFLICT (destination) DO NOTHING RETURNING dest",
										1, argtypes),
							 values, NULL, false, 0);
		}
		else
			SPI_execute_plan(pcapi_plan(&find_plan,
										"SELECT dest FROM pinterest_capi._destination_state"
										" WHERE destination OPERATOR(pg_catalog.=) $1",
										1, argtypes),
							 values, NULL, false, 1);
		if (SPI_processed > 0)
			number = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	if (create && number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent configuration of a destination"),
				 errhint("The transaction might succeed if retried."),
				 pcapi_hide()));
	return number;
}

Datum
pcapi_text_array(List *strings)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		elems[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

bool
pcapi_enqueue(const PcapiNewEvent *ev)
{
	static SPIPlanPtr event_plan = NULL;
	static SPIPlanPtr queue_plan = NULL;
	static SPIPlanPtr outcome_plan = NULL;
	Oid			event_types[10] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, BYTEAOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, INT8OID};
	Datum		values[10];
	char		nulls[10];
	TimestampTz now = GetCurrentTimestamp();
	Datum		id;

	/*
	 * The worker remembers how far it has read, and trusts that an id drawn
	 * later than it looked belongs to a transaction whose xid is no older than
	 * the next one at that moment (worker/route.c).  So the xid comes first,
	 * the id second.
	 *
	 * The id is not left to the column's default because the sequence has to be
	 * locked before the table: DROP EXTENSION locks them in the order in which
	 * they were created, and a deadlock could take the caller's transaction.
	 */
	(void) GetCurrentTransactionId();
	id = Int64GetDatum(nextval_internal(pcapi_table(PCAPI_T_EVENT_SEQUENCE), false));

	SPI_connect();
	memset(nulls, ' ', sizeof(nulls));
	values[0] = TimestampTzGetDatum(now);
	values[1] = TimestampTzGetDatum(ev->event_time);
	values[2] = Int32GetDatum(ev->dest);
	if (ev->visitor)
	{
		bytea	   *v = palloc(VARHDRSZ + 32);

		SET_VARSIZE(v, VARHDRSZ + 32);
		memcpy(VARDATA(v), ev->visitor, 32);
		values[3] = PointerGetDatum(v);
	}
	else
		nulls[3] = 'n';
	values[4] = CStringGetTextDatum(ev->event_id);
	values[5] = CStringGetTextDatum(ev->event_name);
	if (ev->sent_as)
		values[6] = CStringGetTextDatum(ev->sent_as);
	else
		nulls[6] = 'n';
	if (ev->warnings != NIL)
		values[7] = pcapi_text_array(ev->warnings);
	else
		nulls[7] = 'n';
	if (ev->payload)
		values[8] = CStringGetTextDatum(ev->payload);
	else
		nulls[8] = 'n';

	values[9] = id;

	SPI_execute_plan(pcapi_plan(&event_plan,
								"INSERT INTO pinterest_capi._event (created_at, event_time, dest, visitor,"
								" event_id, event_name, sent_as, warnings, payload, id)"
								" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
								" ON CONFLICT (event_id, event_name, dest) DO NOTHING",
								10, event_types),
					 values, nulls, false, 0);
	if (SPI_processed == 0)
	{
		SPI_finish();
		return false;
	}

	if (ev->status == NULL)
	{
		Oid			types[2] = {INT8OID, INT4OID};
		Datum		queue_values[2] = {id, Int32GetDatum(ev->dest)};

		SPI_execute_plan(pcapi_plan(&queue_plan,
									"INSERT INTO pinterest_capi._queue (id, dest) VALUES ($1, $2)",
									2, types),
						 queue_values, NULL, false, 0);
	}
	else
	{
		Oid			types[5] = {INT8OID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID};
		Datum		outcome_values[5] = {id, TimestampTzGetDatum(now), Int32GetDatum(ev->dest)};
		char		outcome_nulls[5] = {' ', ' ', ' ', ' ', ' '};

		outcome_values[3] = CStringGetTextDatum(ev->status);
		if (ev->reason)
			outcome_values[4] = CStringGetTextDatum(ev->reason);
		else
			outcome_nulls[4] = 'n';
		SPI_execute_plan(pcapi_plan(&outcome_plan,
									"INSERT INTO pinterest_capi._outcome (id, finished_at, dest, status, reason)"
									" VALUES ($1, $2, $3, $4, $5)",
									5, types),
						 outcome_values, outcome_nulls, false, 0);
	}
	SPI_finish();
	return true;
}

/* XOR is its own inverse: the same call masks and unmasks. */
void
pcapi_xor(char *data, const char *pad, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] ^= pad[i];
}
