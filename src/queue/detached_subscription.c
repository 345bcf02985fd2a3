/*
 * detached_subscription.c
 *	  A dispatcher's subscriptions that would consume events without taking them.
 *
 * pg_upgrade before 17 and every dump bring a subscription back disabled,
 * without its tables, and with the name of its slot.  Once it is enabled, the
 * server passes over what comes for a table that the subscription doesn't list,
 * and confirms it; the other server then takes its events for handed over.  The
 * other server can't see that, so it is prevented here: such a subscription
 * loses its slot's name, and without one the server refuses to enable it.  The
 * slot stays as it is and confirms nothing, so nothing is handed over until
 * somebody subscribes anew.
 */
#include "pinterest_capi.h"

#include "executor/spi.h"
#include "queue/detached_subscription.h"
#include "queue/published.h"
#include "utils/builtins.h"

static void
detach(const char *name, const char *slot, bool enabled)
{
	const char *quoted = quote_identifier(name);

	if (enabled && SPI_execute(psprintf("ALTER SUBSCRIPTION %s DISABLE", quoted), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not disable a subscription");
	if (SPI_execute(psprintf("ALTER SUBSCRIPTION %s SET (slot_name = NONE)", quoted), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not detach a subscription");
	ereport(LOG,
			(errmsg("subscription \"%s\" does not list the table of events, and was taken from its slot", name),
			 errdetail("A dump or pg_upgrade has brought it; enabled, it would lose what the other server hands over."),
			 errhint("Drop it, and its slot on the other server, which keeps WAL: pg_drop_replication_slot('%s'); then call pinterest_capi.subscribe() here and pinterest_capi.publish(since => ...) there; pinterest_capi.doctor() tells more.", slot)));
}

void
pcapi_detach_subscriptions(void)
{
	SPITupleTable *found;
	uint64		n;

	SPI_connect();
	if (SPI_execute("SELECT s.subname::text, s.subenabled, s.subslotname::text FROM pg_subscription AS s"
					" WHERE s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())"
					" AND '" PCAPI_PUBLICATION "' = ANY (s.subpublications) AND s.subslotname IS NOT NULL"
					" AND NOT EXISTS (SELECT FROM pg_subscription_rel AS r WHERE r.srsubid = s.oid"
					" AND r.srrelid = 'pinterest_capi._event'::regclass)", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read subscriptions");
	found = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		detach(SPI_getvalue(found->vals[i], found->tupdesc, 1),
			   SPI_getvalue(found->vals[i], found->tupdesc, 3),
			   DatumGetBool(SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull)));
	}
	SPI_finish();
}
