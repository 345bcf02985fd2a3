/*
 * destination_admin.c
 *	  Pause, resume and drop a destination.
 *
 * These functions don't wait for the worker.  A request that is in flight is settled
 * when its response comes.
 */
#include "pinterest_capi.h"

#include "admin/destination_admin.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "fmgr.h"
#include "queue/destination_state.h"
#include "queue/hold.h"
#include "queue/sending_server.h"
#include "queue/wakeup.h"
#include "utils/builtins.h"

void
pcapi_unknown_destination(void)
{
	pcapi_error_invalid_parameter(("unknown destination"),
								  ("The view pinterest_capi.destination_status lists those that exist."));
}

void
pcapi_check_destination(const char *destination)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	bool		found;

	if (destination == NULL)
		pcapi_unknown_destination();
	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	pcapi_execute_once(SPI_OK_SELECT,
					   "SELECT FROM pinterest_capi.destination WHERE destination = $1",
					   1, types, values, NULL, false, 1);
	found = (SPI_processed > 0);
	SPI_finish();
	if (!found)
		pcapi_unknown_destination();
}

int
pcapi_require_destination(const char *destination)
{
	pcapi_check_destination(destination);
	return pcapi_destination_number(destination, true);
}

PG_FUNCTION_INFO_V1(pcapi_sql_pause_destination);
Datum
pcapi_sql_pause_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = pcapi_text_arg(fcinfo, 0);
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2];
	PcapiUserContext saved;

	pcapi_check_writable("pause_destination()");
	pcapi_switch_to_owner(&saved, true);
	values[0] = Int32GetDatum(pcapi_require_destination(destination));
	values[1] = CStringGetTextDatum("by pause_destination");
	SPI_connect();
	pcapi_execute_once(SPI_OK_UPDATE,
					   "UPDATE pinterest_capi._destination_state SET paused_at = clock_timestamp(),"
					   " paused_reason = $2 WHERE dest = $1 AND paused_at IS NULL",
					   2, types, values, NULL, false, 0);
	if (SPI_processed > 0)
	{
		pcapi_notify(destination, "paused", "by pause_destination");
		pcapi_wake_at_commit();
	}
	SPI_finish();
	pcapi_restore_user(&saved);
	PG_RETURN_VOID();
}

/*
 * A user who configures or resumes a destination on this server declares that it sends.
 * If it was held as a copy of another one, that ends for all destinations.
 */
void
pcapi_claim_server(void)
{
	const char *remedy;
	char	   *reason;

	if (pcapi_sending_server_claim())
		ereport(NOTICE,
				(errmsg("this server sends from now on"),
				 errdetail("It was held as a copy of another one, for all destinations."),
				 errhint("What waits in its queue is sent too: pinterest_capi.cancel() or pinterest_capi.pause_destination() in the same transaction keeps it."),
				 pcapi_errhide()));
	reason = pcapi_hold_reason(&remedy);
	if (reason)
		ereport(NOTICE,
				(errmsg("nothing is sent from this server: %s", reason),
				 errhint("%s", remedy),
				 pcapi_errhide()));
}

PG_FUNCTION_INFO_V1(pcapi_sql_resume_destination);
Datum
pcapi_sql_resume_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = pcapi_text_arg(fcinfo, 0);
	PcapiUserContext saved;

	pcapi_check_writable("resume_destination()");
	pcapi_switch_to_owner(&saved, true);
	pcapi_require_destination(destination);
	pcapi_claim_server();
	pcapi_unpause(destination);
	pcapi_restore_user(&saved);
	PG_RETURN_VOID();
}

/* Foreign keys delete what belongs to it, and the trigger _destination_guard() cancels its events. */
PG_FUNCTION_INFO_V1(pcapi_sql_drop_destination);
Datum
pcapi_sql_drop_destination(PG_FUNCTION_ARGS)
{
	char	   *destination = pcapi_text_arg(fcinfo, 0);
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	PcapiUserContext saved;

	pcapi_check_writable("drop_destination()");
	pcapi_switch_to_owner(&saved, true);
	pcapi_require_destination(destination);
	values[0] = CStringGetTextDatum(destination);
	SPI_connect();
	pcapi_execute_once(SPI_OK_DELETE,
					   "DELETE FROM pinterest_capi.destination WHERE destination = $1",
					   1, types, values, NULL, false, 0);
	SPI_finish();
	pcapi_restore_user(&saved);
	PG_RETURN_VOID();
}
