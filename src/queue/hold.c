/*
 * hold.c
 *	  Tell why a database is held: nothing is sent although its destinations are ready.
 *
 * A server that is held enqueues as usual; its events stay queued and show the reason.
 */
#include "pinterest_capi.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "common/extension.h"
#include "fmgr.h"
#include "queue/hold.h"
#include "queue/sending_server.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Such a subscription brings the rows that another server queues, and their outcomes.
 * What this server did to these rows would be done twice, and its changes would stop
 * the subscription.  A disabled subscription counts too: it may be enabled.  This is a
 * look-up in the catalog cache, at each poll of the worker.
 */
char *
pcapi_replicating_subscription(void)
{
	static const PcapiTable written[] = {PCAPI_TABLE_RETRY, PCAPI_TABLE_OUTCOME};
	char	   *name = NULL;

	for (int i = 0; i < lengthof(written) && name == NULL; i++)
	{
		CatCList   *list = SearchSysCacheList1(SUBSCRIPTIONRELMAP, ObjectIdGetDatum(pcapi_table(written[i])));

		if (list->n_members > 0)
		{
			Form_pg_subscription_rel rel = (Form_pg_subscription_rel) GETSTRUCT(&list->members[0]->tuple);

			name = get_subscription_name(rel->srsubid, true);
		}
		ReleaseCatCacheList(list);
	}
	return name;
}

char *
pcapi_hold_reason(const char **remedy)
{
	char	   *subscription;

	/* a standby sends nothing either, but it may be promoted: it is not held */
	if (RecoveryInProgress())
		return NULL;
	subscription = pcapi_replicating_subscription();
	if (subscription)
	{
		*remedy = "After the switch-over, drop the subscription; if it is to stay, leave the schema pinterest_capi out of its publication.";
		return psprintf("the subscription \"%s\" writes the queue of this database", subscription);
	}
	return pcapi_copy_reason(remedy);
}

PG_FUNCTION_INFO_V1(pcapi_sql_hold_reason);
Datum
pcapi_sql_hold_reason(PG_FUNCTION_ARGS)
{
	const char *remedy;
	char	   *reason = pcapi_hold_reason(&remedy);

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/* _claim_server(), for the install script: the server where the extension is created sends. */
PG_FUNCTION_INFO_V1(pcapi_sql_claim_server);
Datum
pcapi_sql_claim_server(PG_FUNCTION_ARGS)
{
	(void) pcapi_sending_server_claim();
	PG_RETURN_VOID();
}
