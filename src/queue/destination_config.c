/*
 * destination_config.c
 *	  The destinations as the worker needs them: settings, token and state.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "catalog/pg_authid.h"
#include "common/secret.h"
#include "common/spi.h"
#include "executor/spi.h"
#include "queue/destination_config.h"
#include "queue/published.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* The token as it was given, from its two halves. */
static char *
unmask(Datum pad_datum, Datum masked_datum, MemoryContext context)
{
	bytea	   *pad = DatumGetByteaPP(pad_datum);
	bytea	   *masked = DatumGetByteaPP(masked_datum);
	size_t		len = Min(VARSIZE_ANY_EXHDR(pad), VARSIZE_ANY_EXHDR(masked));
	char	   *token = MemoryContextAlloc(context, len + 1);

	memcpy(token, VARDATA_ANY(masked), len);
	pcapi_xor(token, VARDATA_ANY(pad), len);
	token[len] = '\0';
	return token;
}

List *
pcapi_destination_configs(void)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	List	   *configs = NIL;
	bool		others_send = pcapi_published();

	SPI_connect();
	SPI_execute_plan(pcapi_plan(&plan,
								"SELECT s.dest, d.destination, d.enabled, s.paused_at IS NOT NULL,"
								" d.tag_id IS NOT NULL, d.ad_account_id, x.pad, x.masked, d.api_url,"
								" d.test_mode, d.batch_size, d.max_requests_per_minute,"
								" (1000000 * extract(epoch FROM c.now - (c.now - d.max_event_age)))::bigint,"
								" (1000000 * extract(epoch FROM c.now - (c.now - d.retry_for)))::bigint,"
								" s.backoff_until, s.failing_since, s.backoff_reason, s.life"
								" FROM pinterest_capi.destination AS d"
								" JOIN pinterest_capi._destination_state AS s ON s.destination = d.destination"
								" LEFT JOIN pinterest_capi._secret AS x ON x.destination = d.destination"
								" CROSS JOIN (SELECT clock_timestamp() AS now) AS c",
								0, NULL),
					 NULL, NULL, false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiDestinationConfig *t = MemoryContextAllocZero(context, sizeof(PcapiDestinationConfig));
		bool		isnull;
		bool		no_token;
		Datum		pad;
		Datum		masked;
		MemoryContext spi_context;

		t->dest = DatumGetInt32(pcapi_result_datum(i, 1, &isnull));
		t->name = pcapi_result_text(i, 2, context);
		t->ad_account_id = pcapi_result_text(i, 6, context);
		pad = pcapi_result_datum(i, 7, &no_token);
		masked = pcapi_result_datum(i, 8, &isnull);
		if (!no_token && !isnull)
			t->token = unmask(pad, masked, context);
		t->may_read_files = has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);
		t->sendable = DatumGetBool(pcapi_result_datum(i, 5, &isnull)) && t->ad_account_id && t->token;
		t->ready = t->sendable && DatumGetBool(pcapi_result_datum(i, 3, &isnull)) &&
			!DatumGetBool(pcapi_result_datum(i, 4, &isnull)) && !others_send;
		t->api_url = pcapi_result_text(i, 9, context);
		t->test_mode = DatumGetBool(pcapi_result_datum(i, 10, &isnull));
		t->batch_size = DatumGetInt32(pcapi_result_datum(i, 11, &isnull));
		t->max_requests_per_minute = DatumGetInt32(pcapi_result_datum(i, 12, &isnull));
		t->max_event_age = DatumGetInt64(pcapi_result_datum(i, 13, &isnull));
		t->retry_for = DatumGetInt64(pcapi_result_datum(i, 14, &isnull));
		t->backoff_until = pcapi_result_time(i, 15);
		t->failing_since = pcapi_result_time(i, 16);
		t->backoff_reason = pcapi_result_text(i, 17, context);
		t->life = DatumGetInt32(pcapi_result_datum(i, 18, &isnull));

		spi_context = MemoryContextSwitchTo(context);
		configs = lappend(configs, t);
		MemoryContextSwitchTo(spi_context);
	}
	SPI_finish();
	return configs;
}
