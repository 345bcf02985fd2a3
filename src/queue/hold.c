/*
 * hold.c
 *	  Why nothing is sent from a database although its destinations are ready.
 *
 * A server that is held enqueues as ever; its events wait as queued, with the
 * reason, and nothing is sent to any destination.
 */
#include "queue/hold.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "queue/queue.h"
#include "queue/sending_server.h"
#include "utils/builtins.h"

char *
pcapi_hold_reason(void)
{
	/* a standby sends nothing either, and may become the one that does */
	if (RecoveryInProgress())
		return NULL;
	return pcapi_copy_reason();
}

PG_FUNCTION_INFO_V1(pcapi_sql_hold_reason);
Datum
pcapi_sql_hold_reason(PG_FUNCTION_ARGS)
{
	char	   *reason = pcapi_hold_reason();

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/* Of the install script: whoever makes the extension is the one that sends. */
PG_FUNCTION_INFO_V1(pcapi_sql_claim_server);
Datum
pcapi_sql_claim_server(PG_FUNCTION_ARGS)
{
	(void) pcapi_sending_server_claim();
	PG_RETURN_VOID();
}
