/*
 * destination_config.c
 *	  Read the destinations as the worker needs them: settings, token and state.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "common/secret.h"
#include "common/spi.h"
#include "queue/destination_config.h"
#include "queue/published.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* Return the token from its two halves. */
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

#define SELECT_CONFIGS \
	"SELECT s.dest, d.destination, d.enabled, s.paused_at IS NOT NULL AS paused," \
	" d.tag_id IS NOT NULL AS has_tag_id, d.ad_account_id, x.pad, x.masked, d.api_url," \
	" d.test_mode, d.batch_size, d.max_requests_per_minute," \
	" (1000000 * extract(epoch FROM c.now - (c.now - d.max_event_age)))::bigint AS max_event_age," \
	" (1000000 * extract(epoch FROM c.now - (c.now - d.retry_for)))::bigint AS retry_for," \
	" s.backoff_until, s.failing_since, s.backoff_reason, s.life, s.done_below" \
	" FROM pinterest_capi.destination AS d" \
	" JOIN pinterest_capi._destination_state AS s ON s.destination = d.destination" \
	" LEFT JOIN pinterest_capi._secret AS x ON x.destination = d.destination" \
	" CROSS JOIN (SELECT clock_timestamp() AS now) AS c"

List *
pcapi_destination_configs(int dest)
{
	static SPIPlanPtr plan_all = NULL;
	static SPIPlanPtr plan_one = NULL;
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(dest)};
	MemoryContext context = CurrentMemoryContext;
	List	   *configs = NIL;
	bool		others_send = pcapi_published();

	SPI_connect();
	pcapi_execute(SPI_OK_SELECT,
				  dest == 0 ? pcapi_plan(&plan_all, SELECT_CONFIGS, 0, NULL) :
				  pcapi_plan(&plan_one, SELECT_CONFIGS " WHERE s.dest = $1", 1, types),
				  dest == 0 ? NULL : values, NULL, false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PcapiDestinationConfig *config = MemoryContextAllocZero(context, sizeof(PcapiDestinationConfig));
		bool		isnull;
		bool		no_token;
		Datum		pad;
		Datum		masked;
		MemoryContext spi_context;

		config->dest = pcapi_result_int32(i, "dest");
		config->name = pcapi_result_text(i, "destination");
		config->ad_account_id = pcapi_result_text(i, "ad_account_id");
		pad = pcapi_result_datum(i, pcapi_result_column("pad"), &no_token);
		masked = pcapi_result_datum(i, pcapi_result_column("masked"), &isnull);
		if (!no_token && !isnull)
			config->token = unmask(pad, masked, context);
		config->may_read_files = has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);
		config->sendable = pcapi_result_bool(i, "has_tag_id") && config->ad_account_id && config->token;
		config->ready = config->sendable && pcapi_result_bool(i, "enabled") && !pcapi_result_bool(i, "paused") && !others_send;
		config->api_url = pcapi_result_text(i, "api_url");
		config->test_mode = pcapi_result_bool(i, "test_mode");
		config->batch_size = pcapi_result_int32(i, "batch_size");
		config->max_requests_per_minute = pcapi_result_int32(i, "max_requests_per_minute");
		config->max_event_age = pcapi_result_int64(i, "max_event_age");
		config->retry_for = pcapi_result_int64(i, "retry_for");
		config->backoff_until = pcapi_result_time(i, "backoff_until");
		config->failing_since = pcapi_result_time(i, "failing_since");
		config->backoff_reason = pcapi_result_text(i, "backoff_reason");
		config->life = pcapi_result_int32(i, "life");
		config->done_below = pcapi_result_int64(i, "done_below");

		spi_context = MemoryContextSwitchTo(context);
		configs = lappend(configs, config);
		MemoryContextSwitchTo(spi_context);
	}
	SPI_finish();
	return configs;
}
