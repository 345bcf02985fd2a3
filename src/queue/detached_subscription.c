/*
 * detached_subscription.c
 *	  Detach a dispatcher's subscriptions that would consume events without storing them.
 *
 * pg_upgrade to a version before 17 and every dump bring a subscription back
 * disabled, without its tables, and with the name of its slot.  Once it is enabled,
 * the server ignores rows of a table that the subscription doesn't list, and confirms
 * them; the other server then counts its events as handed over.  The other server
 * can't see that, so it is prevented here: such a subscription loses the name of its
 * slot, and without one the server refuses to enable it.  The slot stays as it is and
 * confirms nothing, so nothing is handed over until somebody subscribes again.
 */
#include "pinterest_capi.h"

#include "common/spi.h"
#include "queue/detached_subscription.h"
#include "queue/published.h"
#include "utils/builtins.h"

/* a subscription that names a slot and doesn't list our table */
typedef struct Detachable
{
	const char *name;
	const char *slot;
	bool		enabled;
} Detachable;

/* Disable a subscription and take the slot's name from it. */
static void
detach(const Detachable *subscription)
{
	const char *quoted = quote_identifier(subscription->name);

	if (subscription->enabled)
		pcapi_execute_sql(SPI_OK_UTILITY, psprintf("ALTER SUBSCRIPTION %s DISABLE", quoted), false);
	pcapi_execute_sql(SPI_OK_UTILITY, psprintf("ALTER SUBSCRIPTION %s SET (slot_name = NONE)", quoted), false);
	ereport(LOG,
			(errmsg("subscription \"%s\" does not list the table of events, and was taken from its slot", subscription->name),
			 errdetail("A dump or pg_upgrade has brought it; enabled, it would lose what the other server hands over."),
			 errhint("Drop it, and its slot on the other server, which keeps WAL: pg_drop_replication_slot('%s'); then call pinterest_capi.subscribe() here and pinterest_capi.publish(since => ...) there; pinterest_capi.doctor() tells more.", subscription->slot)));
}

void
pcapi_detach_subscriptions(void)
{
	List	   *found = NIL;
	ListCell   *lc;

	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT s.subname::text AS name, s.subenabled AS enabled, s.subslotname::text AS slot FROM pg_subscription AS s"
					  " WHERE s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())"
					  " AND '" PCAPI_PUBLICATION "' = ANY (s.subpublications) AND s.subslotname IS NOT NULL"
					  " AND NOT EXISTS (SELECT FROM pg_subscription_rel AS r WHERE r.srsubid = s.oid"
					  " AND r.srrelid IN ('pinterest_capi._event'::regclass, 'pinterest_capi._call'::regclass))",
					  true);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Detachable *s = palloc(sizeof(Detachable));

		s->name = pcapi_result_text(i, "name");
		s->slot = pcapi_result_text(i, "slot");
		s->enabled = pcapi_result_bool(i, "enabled");
		found = lappend(found, s);
	}
	foreach(lc, found)
		detach(lfirst(lc));
	SPI_finish();
}
