/*
 * subscribe.c
 *	  subscribe(): this server sends the events of another one.
 *
 * It creates an ordinary subscription, which is administered by the server's own means.
 * In addition to CREATE SUBSCRIPTION, the slot gets a name that no slot had before, and is
 * registered on the other server, which then hands over what was queued before the slot
 * (src/fanin/publish.c, src/queue/handover.c).  So there is no initial copy.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/extension.h"
#include "common/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "queue/published.h"
#include "replication/syncrep.h"
#include "replication/walreceiver.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/* what the prefix and the number leave of a slot's name, which has 63 bytes at most */
#define NAME_MAX_BYTES	39

/* Raise an error unless a name can be part of a slot's name. */
static void
check_name(const char *name)
{
	size_t		len = strlen(name);

	if (len == 0 || len > NAME_MAX_BYTES || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
		pcapi_error_invalid_parameter(("name must have 1 to %d lower-case letters, digits and underscores", NAME_MAX_BYTES),
									  ("It becomes the name of a subscription, part of a replication slot's, and the origin of events."));
}

/* Error context callback: the connection string in the statement may hold a password; messages of libpq don't. */
static void
hide(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

/* Execute a statement on the other server.  Return the text that it returns, or NULL; raise its errors here. */
static char *
ask(WalReceiverConn * conn, const char *sql)
{
	Oid			types[1] = {TEXTOID};
	WalRcvExecResult *result = walrcv_exec(conn, sql, 1, types);
	char	   *answer = NULL;

	if (result->status != WALRCV_OK_TUPLES)
		ereport(ERROR,
				(errcode(result->sqlstate ? result->sqlstate : ERRCODE_CONNECTION_FAILURE),
				 errmsg("the other server refuses: %s", result->err ? result->err : "unexpected answer"),
				 errhint("The role needs LOGIN and REPLICATION there, and to be named in pinterest_capi.publish(role).")));
	if (result->tuplestore)
	{
		TupleTableSlot *slot = MakeSingleTupleTableSlot(result->tupledesc, &TTSOpsMinimalTuple);
		bool		isnull;

		if (tuplestore_gettupleslot(result->tuplestore, true, false, slot))
		{
			Datum		d = slot_getattr(slot, 1, &isnull);

			if (!isnull)
				answer = TextDatumGetCString(d);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	walrcv_clear_result(result);
	return answer;
}

/*
 * Raise an error unless each text of the other server can be stored here: an event that
 * can't be would stop the subscription.  A source answers "source" and its encoding, and
 * carries only what has a form in UTF-8.
 */
static void
check_encoding(const char *theirs)
{
	static const char source[] = "source ";
	bool		is_source = strncmp(theirs, source, strlen(source)) == 0;
	int			encoding = pg_char_to_encoding(is_source ? theirs + strlen(source) : theirs);

	if (encoding == GetDatabaseEncoding() ||
		(is_source && GetDatabaseEncoding() == PG_UTF8) ||
		(GetDatabaseEncoding() == PG_UTF8 && encoding != PG_SQL_ASCII))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("events in encoding \"%s\" cannot all be stored in a database of encoding \"%s\"",
					pg_encoding_to_char(encoding), GetDatabaseEncodingName()),
			 errhint("Use a dispatcher's database with encoding UTF8.")));
}

/*
 * What is confirmed to the other server is on this server's disk in any case.  If commits
 * wait for standbys, it has to be there too, or a promoted standby would lack what the
 * other server no longer keeps.  That costs a round trip for each transaction, so it is
 * left out without such standbys.
 */
static void
create_subscription(const char *connection, const char *name, const char *slot)
{
	SPI_connect();
	pcapi_execute_sql(SPI_OK_UTILITY,
					  psprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION " PCAPI_PUBLICATION
							   " WITH (create_slot = false, slot_name = %s, copy_data = false,"
							   " synchronous_commit = %s)",
							   quote_identifier(name), quote_literal_cstr(connection), quote_identifier(slot),
							   SyncRepStandbyNames && SyncRepStandbyNames[0] != '\0' ? "'on'" : "'off'"),
					  false);
	SPI_finish();
}

/* Drop a slot on the other server: one that nothing reads from keeps its WAL for ever. */
static void
drop_slot(WalReceiverConn * conn, const char *slot, MemoryContext context)
{
	Oid			types[1] = {TEXTOID};
	MemoryContext old = MemoryContextSwitchTo(context);

	walrcv_clear_result(walrcv_exec(conn, psprintf("SELECT pg_catalog.pg_drop_replication_slot(%s)",
												   quote_literal_cstr(slot)), 1, types));
	MemoryContextSwitchTo(old);
}

/* Create the slot there and the subscription here.  After an error, the slot is dropped again. */
static void
make_both(WalReceiverConn * conn, const char *connection, const char *name, const char *slot, MemoryContext context)
{
	volatile bool made = false;

	PG_TRY();
	{
		char	   *encoding = ask(conn, psprintf("SELECT pinterest_capi._make_slot(%s)", quote_literal_cstr(slot)));

		made = true;
		check_encoding(encoding ? encoding : "");
		(void) ask(conn, psprintf("SELECT pinterest_capi._attach(%s)", quote_literal_cstr(slot)));
		create_subscription(connection, name, slot);
	}
	PG_CATCH();
	{
		if (made)
			drop_slot(conn, slot, context);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

PG_FUNCTION_INFO_V1(pcapi_sql_subscribe);
Datum
pcapi_sql_subscribe(PG_FUNCTION_ARGS)
{
	ErrorContextCallback errors = {.callback = hide, .previous = error_context_stack};
	MemoryContext context = CurrentMemoryContext;
	WalReceiverConn *conn;
	uint32		number;
	char	   *connection;
	char	   *name;
	char	   *slot;
	char	   *err = NULL;

	error_context_stack = &errors;
	pcapi_check_writable("subscribe()");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		pcapi_error_invalid_parameter(("connection and name must not be null"),
									  ("Give how to reach the other server's database, as in 'host=shop-1 dbname=shop user=dispatcher', and a name for it."));
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to subscribe"),
				 errhint("Only superusers may have another server's events sent from here.")));
	connection = text_to_cstring(PG_GETARG_TEXT_PP(0));
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_name(name);

	/* a rollback would not drop the slot */
	PreventInTransactionBlock(true, "subscribe()");

	if (!pg_strong_random(&number, sizeof(number)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values"),
				 errhint("Check the server's source of randomness: OpenSSL's, or /dev/urandom.")));
	slot = psprintf("pinterest_capi_%s_%08x", name, number);

	load_file("libpqwalreceiver", false);
	conn = PcapiWalrcvConnect(connection, name, &err);
	if (conn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("could not connect to the other server: %s", err),
				 errhint("Check the connection string, and pg_hba.conf on that server.")));
	PG_TRY();
	{
		make_both(conn, connection, name, slot, context);
	}
	PG_FINALLY();
	{
		walrcv_disconnect(conn);
	}
	PG_END_TRY();
	error_context_stack = errors.previous;
	PG_RETURN_VOID();
}
